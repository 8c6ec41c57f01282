"""`python -m services.web.migrate FROM --owner E [--apply]`: old sessions become jobs of this owner."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from libs.config import ConfigError, read, refuse_forgotten_switch
from libs.storage.backend import open_store
from libs.storage.errors import StorageError
from libs.storage.store import ObjectStore
from services.web.auth.user import user_of
from services.web.config import WebConfig
from services.web.migrate import importing, old
from services.web.migrate.importing import Fate
from services.web.migrate.old import LeftOut, OldSession
from services.web.render.document import RenderLimits

_WORDS = {
    Fate.ENDED: "complete: {read} pages",
    Fate.CONTINUES: "{read} pages are there, {missing}",
    Fate.THERE: "there already",
    Fate.DELETED: "was imported and deleted since",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0, 1 where the storage fails, 2 for a wrong argument or setting, 3 for sessions
    that were left out.
    """
    given = _parser().parse_args(arguments)
    try:
        config = read(WebConfig, os.environ)
        refuse_forgotten_switch(config.running_in_cloud, config.k_service)
        return asyncio.run(_migrate(config, given.folder, given.owner, apply=given.apply))
    except ConfigError as error:
        return _fail(str(error), 2)
    except StorageError as error:
        return _fail(f"the storage did not answer ({type(error).__name__}): run the command again, it goes on", 1)


async def _migrate(config: WebConfig, folder: Path, owner: str, *, apply: bool) -> int:
    try:
        folders = old.sessions(folder)
    except OSError as error:
        return _fail(f"{folder}: {error.strerror}. Name the folder that holds the old sessions.", 2)
    left = 0
    async with open_store(
        in_cloud=config.running_in_cloud, folder=Path(config.storage_path), bucket=config.gcs_bucket_name
    ) as store:
        for one in folders:
            try:
                line = await _one(store, one, owner, config, apply=apply)
            except (LeftOut, OSError) as error:
                left += 1
                line = f"left out: {error}."
            print(f"{one.name}  {line}", flush=True)
    done = len(folders) - left
    print(
        f"{len(folders)} sessions, {left} left out."
        + ("" if apply else f" Nothing was written: --apply imports {done}.")
    )
    return 3 if left else 0


async def _one(store: ObjectStore, folder: Path, owner: str, config: WebConfig, *, apply: bool) -> str:
    """The line of one session. Raises `LeftOut`, `OSError`, `StorageError`."""
    session = await asyncio.to_thread(old.read, folder)
    files = importing.files_of(store, session, owner)
    if apply:
        limits = RenderLimits(
            render_seconds=config.render_seconds,
            memory_bytes=config.child_memory_bytes,
            max_pages=config.max_pages,
            max_side=config.max_side,
            max_pixels=config.max_pixels,
        )
        fate = await importing.bring(files, session, owner, limits)
    else:
        fate = await importing.fate_of(files, session)
    words = _WORDS[fate].format(read=len(session.texts), missing=_missing(session))
    return f"{words}; job {files.session_id}"


def _missing(session: OldSession) -> str:
    if session.total_pages:
        return f"{session.total_pages - len(session.texts)} will be read when the service runs"
    return "the others will be read when the service runs"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gnosis-ocr migrate",
        description="Import the sessions of the first version (input/, images/, output/, status.json). Without --apply "
        "it only says what would become of each. The old files stay as they are, and a repeat changes nothing.",
    )
    parser.add_argument("folder", type=Path, metavar="FROM", help="the folder of the old sessions: /tmp/ocr_sessions")
    parser.add_argument("--owner", type=_email, required=True, help="the e-mail address of the jobs' owner")
    parser.add_argument("--apply", action="store_true", help="import them")
    return parser


def _email(text: str) -> str:
    try:
        return user_of(text).email
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _fail(line: str, code: int) -> int:
    print(f"gnosis-ocr migrate: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())

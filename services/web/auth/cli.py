"""`python -m services.web.auth.cli`: create, list and revoke API keys in the storage that the settings name."""

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from libs import eventlog
from libs.config import ConfigError, read, refuse_forgotten_switch
from libs.storage.backend import open_store
from libs.storage.errors import NotFound, PreconditionFailed, StorageError
from libs.storage.store import ObjectStore
from services.serving import audit
from services.serving.audit import Outcome
from services.web.auth import apikey, keyring
from services.web.auth.apikey import MAX_DAYS, Scope, TornKey
from services.web.auth.user import user_of
from services.web.config import WebConfig

_KEY_ID = re.compile(r"[0-9a-f]{16}")


def main(arguments: Sequence[str] | None = None, *, configure_logs: Callable[..., None] | None = None) -> int:
    """Run the command and return the exit code: 0, 1 for a failure, 2 for a wrong setting or argument.

    `configure_logs` is `eventlog.configure` where the audit events are to be written.
    """
    given = _parser().parse_args(arguments)
    try:
        config = read(WebConfig, os.environ)
        refuse_forgotten_switch(config.running_in_cloud, config.k_service)
        if configure_logs is not None:
            configure_logs(
                level="WARNING",
                service="keys",
                log_file=config.log_file,
                json=config.logs_json,
                project=config.google_cloud_project,
            )
        asyncio.run(_act(config, given))
    except ConfigError as error:
        return _fail(str(error), 2)
    except NotFound:
        return _fail("there is no key of this id: `list` shows those there are", 1)
    except PreconditionFailed:
        return _fail("the key was changed at this moment by somebody else: run the command again", 1)
    except TornKey:
        return _fail(f"the key cannot be read: delete the object {keyring.key_path(given.id)}, then it is void", 1)
    except StorageError as error:
        where = "STATE_BUCKET_NAME or GCS_BUCKET_NAME" if config.running_in_cloud else "STORAGE_PATH"
        return _fail(f"the storage did not answer ({type(error).__name__}): check {where}, then try again", 1)
    return 0


async def _act(config: WebConfig, given: argparse.Namespace) -> None:
    async with open_store(
        in_cloud=config.running_in_cloud, folder=Path(config.storage_path), bucket=config.state_bucket
    ) as store:
        match given.action:
            case "create":
                await _create(store, given.email, given.scopes, given.days)
            case "list":
                await _list(store)
            case _:
                await _revoke(store, given.id)


async def _create(store: ObjectStore, email: str, scopes: tuple[Scope, ...], days: int) -> None:
    key, text = apikey.issue(email=email, scopes=scopes, at=await store.now(), days=days)
    await keyring.save_new(store, key)
    audit.write("key.create", Outcome.ALLOWED, key_id=key.id, user_hash=user_of(email).user_hash, scopes=_names(scopes))
    print("Keep this key now: only its hash is stored, and it is not shown again.", file=sys.stderr)
    print(f"It acts as {email} ({_names(scopes)}) until {_day(key.expires_at)}.", file=sys.stderr)
    print(text)


async def _list(store: ObjectStore) -> None:
    row = "{:<16}  {:<10}  {:<10}  {:<10}  {:<10}  {}"
    print(row.format("ID", "STATE", "SCOPES", "CREATED", "EXPIRES", "OWNER"))
    now = await store.now()
    async for key_id, key in keyring.all_keys(store):
        if key is None:
            print(row.format(key_id, "unreadable", "", "", "", ""))
            continue
        state = key.fault(now) or "valid"
        print(row.format(key_id, state, _names(key.scopes), _day(key.created_at), _day(key.expires_at), key.email))


async def _revoke(store: ObjectStore, key_id: str) -> None:
    key = await keyring.revoke(store, key_id)
    audit.write("key.revoke", Outcome.ALLOWED, key_id=key_id, user_hash=user_of(key.email).user_hash)
    print(f"Revoked. Services stop to take it within {keyring.CACHE_SECONDS:g} seconds.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.web.auth.cli", description="API keys of this installation."
    )
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make a key and print it, this once")
    create.add_argument("--email", type=_email, required=True, help="the owner, as whom the key acts")
    create.add_argument("--scopes", type=_scopes, default=(Scope.WRITE,), help="read, or write (everything; default)")
    create.add_argument("--days", type=_days, default=90, help=f"until it expires, 1 to {MAX_DAYS} (default 90)")
    actions.add_parser("list", help="show every key, without its secret")
    revoke = actions.add_parser("revoke", help="take a key back")
    revoke.add_argument("id", type=_id, help="the key's id, as `list` shows it: the middle part of the key")
    return parser


def _email(text: str) -> str:
    try:
        return user_of(text).email
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _scopes(text: str) -> tuple[Scope, ...]:
    try:
        return tuple(dict.fromkeys(Scope(name.strip()) for name in text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError("give read, write, or both with a comma") from error


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= MAX_DAYS:
        raise argparse.ArgumentTypeError(f"give a whole number from 1 to {MAX_DAYS}")
    return int(text)


def _id(text: str) -> str:
    if not _KEY_ID.fullmatch(text):
        raise argparse.ArgumentTypeError("an id has 16 hex digits: the middle part of the key, never the whole key")
    return text


def _names(scopes: tuple[Scope, ...]) -> str:
    return ",".join(scopes)


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


def _fail(message: str, code: int) -> int:
    print(f"gnosis-ocr keys: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(configure_logs=eventlog.configure))

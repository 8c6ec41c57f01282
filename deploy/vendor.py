"""The web page's libraries: `python -m deploy.vendor` fetches those that `requirements/page.toml` lists.

`npm pack` downloads each package. The package and each file taken from it must have the integrity (SHA-512) that the
list states; nothing is written before all of them have. The files are stored unchanged, the licences beside them.
"""

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
#: The list of libraries.
MANIFEST = ROOT / "requirements" / "page.toml"


class VendoredFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of a package."""

    #: Its path in the package.
    source: str
    #: Of its content, as in a subresource integrity attribute: `sha512-` and the digest in base64.
    integrity: str


class Library(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A package of the npm registry, and what is taken from it."""

    name: str
    version: str
    #: The SPDX identifier of its licence.
    licence: str
    #: Of the package's tarball, as the registry states it.
    integrity: str
    #: Where the files are stored, from the repository's root.
    folder: str
    #: By their names here.
    files: dict[str, VendoredFile]


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    library: list[Library]


class Mismatch(Exception):
    """A package or a file is not the one that the list states; the message is one line."""


def main(arguments: list[str]) -> int:
    """Fetch every library; the exit code."""
    if arguments:
        print("usage: python -m deploy.vendor", file=sys.stderr)
        return 2
    fetched: dict[Path, bytes] = {}
    try:
        for library in libraries():
            fetched |= _fetched(library)
    except (OSError, subprocess.CalledProcessError) as error:
        # npm has printed its reason.
        print(f"Nothing was written: {error}", file=sys.stderr)
        print("`make vendor` needs npm and a network: run it again.", file=sys.stderr)
        return 1
    except Mismatch as error:
        print(f"Nothing was written: {error}", file=sys.stderr)
        print(f"For a new version write its integrity into {MANIFEST.relative_to(ROOT)}.", file=sys.stderr)
        return 1
    for path, content in fetched.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"{path.relative_to(ROOT)}: {len(content)} bytes")
    return 0


def libraries() -> list[Library]:
    """The libraries that the list names. Raises `msgspec.ValidationError`."""
    return msgspec.convert(tomllib.loads(MANIFEST.read_text()), _Manifest).library


def integrity_of(content: bytes) -> str:
    """The integrity of a file, as the list states it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


def _fetched(library: Library) -> dict[Path, bytes]:
    """The library's files by their paths here. Raises `Mismatch`, `CalledProcessError`, `OSError`."""
    wanted = f"{library.name}@{library.version}"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(("npm", "pack", "--silent", wanted), cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (package,) = Path(folder).glob("*.tgz")
        _require(package.read_bytes(), library.integrity, wanted)
        with tarfile.open(package) as opened:
            return {ROOT / library.folder / name: _read(opened, file, wanted) for name, file in library.files.items()}


def _read(package: tarfile.TarFile, file: VendoredFile, wanted: str) -> bytes:
    try:
        content = package.extractfile(f"package/{file.source}")
    except KeyError as error:
        raise Mismatch(f"{wanted} has no file {file.source}") from error
    if content is None:
        raise Mismatch(f"{file.source} of {wanted} is no file")
    data = content.read()
    _require(data, file.integrity, f"{file.source} of {wanted}")
    return data


def _require(content: bytes, integrity: str, what: str) -> None:
    found = integrity_of(content)
    if found != integrity:
        raise Mismatch(f"{what} has the integrity {found}, not {integrity}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

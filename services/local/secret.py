"""The password of encrypted documents: asked for on the terminal, or read from a file."""

import getpass
import warnings
from pathlib import Path

from services.local.exit import BAD_INPUT, CommandError

#: Stands for `--password` without a value. No argument of a command can have this character, and no password has it.
ASK = "\0"


def password_of(given: str, file: Path | None) -> str:
    """The password that the arguments name; "" where they name none. Raises `CommandError`."""
    if given and file is not None:
        raise CommandError(BAD_INPUT, "--password and --password-file are both given. Give one of them.")
    if file is not None:
        return _from_file(file)
    return _from_terminal() if given == ASK else given


def _from_file(file: Path) -> str:
    """The first line of the file. Raises `CommandError`."""
    try:
        password = file.read_text("utf-8").partition("\n")[0].removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise CommandError(BAD_INPUT, f"--password-file {file}: cannot be read: {reason}.") from error
    if not password:
        raise CommandError(BAD_INPUT, f"--password-file {file}: its first line is empty. Write the password there.")
    return password


def _from_terminal() -> str:
    """What a person types, unseen. Raises `CommandError` where there is no terminal."""
    with warnings.catch_warnings():
        # Without a terminal it would read standard input, which may be the document, and show what is typed.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass("Password of the documents: ")
        except (EOFError, OSError, getpass.GetPassWarning) as error:
            raise CommandError(
                BAD_INPUT, "--password: there is no terminal to ask on. Give --password-file FILE."
            ) from error

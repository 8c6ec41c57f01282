"""Where the command takes the password of encrypted documents from."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from services.local import __main__ as command
from services.local.exit import CommandError
from services.local.read import ReadArguments
from services.local.secret import ASK, password_of
from tests import ROOT

SECRET = " geh\u00efm, "


@pytest.mark.parametrize("content", [SECRET, f"{SECRET}\n", f"{SECRET}\r\n", f"{SECRET}\nmore\n"])
def test_the_first_line_of_a_file_is_the_password(tmp_path: Path, content: str) -> None:
    file = tmp_path / "password.txt"
    file.write_bytes(content.encode())
    assert password_of("", file) == SECRET


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "password.txt"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(CommandError, match="not UTF-8"):
        password_of("", file)


@pytest.mark.parametrize(
    ("words", "password", "files"),
    [
        (["one.pdf"], "", ("one.pdf",)),
        (["--password", "one.pdf"], "asked", ("one.pdf",)),
        (["one.pdf", "--password"], "asked", ("one.pdf",)),
        (["--password=a b", "one.pdf"], "a b", ("one.pdf",)),
    ],
)
def test_a_document_after_the_option_is_not_taken_for_the_password(
    words: list[str], password: str, files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[ReadArguments] = []

    async def read(arguments: ReadArguments, *_: object) -> int:
        given.append(arguments)
        return 0

    monkeypatch.setattr(command, "read", read)
    monkeypatch.setattr("getpass.getpass", lambda _: "asked")
    assert command.main(["read", *words]) == 0
    assert [(arguments.password, arguments.files) for arguments in given] == [(password, files)]


PROGRAM = "import sys; from services.local.secret import ASK, password_of; print(password_of(ASK, None))"


def test_it_is_asked_for_on_the_terminal_and_not_shown_there(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,  # standard input may be the document
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: _own_terminal(theirs),
    )
    os.close(theirs)
    shown = b""
    while b"Password" not in shown:
        shown += os.read(ours, 1000)
    os.write(ours, b"secret\n")
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, b"secret\n")
    os.set_blocking(ours, False)
    with pytest.raises(OSError):  # EIO at the end
        while True:
            shown += os.read(ours, 1000)
    assert b"secret" not in shown
    os.close(ours)


def _own_terminal(terminal: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def test_without_a_terminal_the_command_says_what_to_do_instead() -> None:
    program = (
        "from services.local.secret import *\nfrom services.local.exit import *\n"
        "try:\n    password_of(ASK, None)\nexcept CommandError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        input=b"secret\n",
        capture_output=True,
        start_new_session=True,
        check=True,
    )
    assert done.stdout == b"--password: there is no terminal to ask on. Give --password-file FILE.\n"
    assert b"secret" not in done.stderr


def test_what_stands_for_asking_is_no_password() -> None:
    from services.serving.problem import Problem
    from services.web.upload.admission import read_password

    with pytest.raises(Problem):
        read_password({"password": ASK})

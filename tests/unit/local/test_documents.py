"""What the command's arguments name, and where results go."""

from io import BytesIO
from pathlib import Path

import pytest

from services.local.documents import STDIN, Outputs, find, store
from services.local.exit import CommandError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.pdf", "b.PNG", "notes.txt", "deep/a.pdf", "deep/c.tiff", "deep/er/a.pdf", "[1].pdf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"%PDF")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named(*arguments: str) -> dict[str, str]:
    """The names of the documents, and of their results."""

    def no_stdin() -> Path:
        raise AssertionError

    found = find(arguments, read_stdin=no_stdin)
    outputs = Outputs(folder=Path("out"), forms=("md",))
    return {document.name: str(outputs.files(document)["md"]) for document in found}


def test_a_folder_stands_for_the_documents_below_it_and_keeps_its_shape(folder: Path) -> None:
    assert named("deep") == {
        "deep/a.pdf": "out/a.md",
        "deep/c.tiff": "out/c.md",
        "deep/er/a.pdf": "out/er/a.md",
    }
    assert set(named(".")) == {"[1].pdf", "a.pdf", "b.PNG", "deep/a.pdf", "deep/c.tiff", "deep/er/a.pdf"}


def test_a_pattern_that_the_shell_left_is_expanded_and_a_file_of_that_name_is_a_file(folder: Path) -> None:
    assert named("*.p*", "deep/**/a.*") == {
        "[1].pdf": "out/[1].md",
        "a.pdf": "out/a.pdf-1.md",
        "deep/a.pdf": "out/a.pdf-2.md",
        "deep/er/a.pdf": "out/a.pdf-3.md",
    }
    assert named("[1].pdf") == {"[1].pdf": "out/[1].md"}


def test_a_document_is_read_once_however_often_it_is_named(folder: Path) -> None:
    assert named("a.pdf", "a.pdf", "*.pdf") == {"a.pdf": "out/a.md", "[1].pdf": "out/[1].md"}


def test_a_named_file_may_have_any_ending_and_results_of_one_name_are_told_apart(folder: Path) -> None:
    (folder / "a.png").write_bytes(b"x")
    assert named("notes.txt", "a.pdf", "a.png") == {
        "notes.txt": "out/notes.md",
        "a.pdf": "out/a.pdf.md",
        "a.png": "out/a.png.md",
    }


def test_standard_input_is_a_document(tmp_path: Path) -> None:
    found = find([STDIN], read_stdin=lambda: store(BytesIO(b"%PDF"), tmp_path / "stdin.pdf"))
    assert [(one.name, one.path.read_bytes(), str(one.target)) for one in found] == [
        ("standard input", b"%PDF", "stdin")
    ]
    with pytest.raises(CommandError, match="standard input is empty"):
        find([STDIN], read_stdin=lambda: store(BytesIO(b""), tmp_path / "stdin.pdf"))

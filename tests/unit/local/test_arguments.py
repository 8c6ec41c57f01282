"""The command offers what the service does, and refuses the rest in one line."""

from pathlib import Path
from typing import get_args

import pytest

from gnosis_ocr import FORMS
from libs.jobstate.intake import OcrMode
from services.local.__main__ import Form, Ocr, main
from services.web.outputs.result import ResultForm
from tests.documents import pdf


def test_every_form_and_way_of_the_service_can_be_asked_for() -> None:
    assert set(get_args(Form)) == set(FORMS) == set(ResultForm)
    assert set(get_args(Ocr)) == set(OcrMode)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["raed"], "raed"),
        (["read"], "which documents?"),
        (["read", "one.pdf", "--pages"], "--pages"),
        (["read", "one.pdf", "--colour"], "--colour"),
        (["read", "one.pdf", "--ocr", "never"], "never"),
        (["read", "one.pdf", "--jobs", "0"], "--jobs 0"),
        (["read", "one.pdf", "--format", "md,doc"], "doc"),
        (["read", "one.pdf", "--format", "md,json"], "--output DIR"),
        (["read", "one.pdf", "--json"], "--output DIR"),
        (["read", "one.pdf", "one.pdf", "two.pdf"], "--output DIR"),
        (["read", "one.pdf", "--output", "one.pdf"], "not a folder"),
        (["read", "none.pdf"], "there is no such file"),
        (["read", "empty.pdf"], "the file is empty"),
        (["read", "*.xyz"], "no file matches"),
        (["read", "void"], "no documents in this folder"),
        (["read", "one.pdf", "--output", "out", "--no-clobber"], "one.md exists"),
        (["read", "one.pdf", "-o", "out", "--format", "md,json", "--skip-existing", "--no-clobber"], "one.md exists"),
        (["read", "one.pdf", "--server", "localhost"], "no address of a service"),
        (["read", "one.pdf", "--password-file", "none.txt"], "none.txt: cannot be read"),
        (["read", "one.pdf", "--password-file", "empty.pdf"], "its first line is empty"),
        (["read", "one.pdf", "--password=x", "--password-file", "one.pdf"], "Give one of them"),
        (["ocr", "one.pdf", "--format", "doc"], "doc"),
        (["ocr", "void"], "not a file"),
        (["ocr", "one.pdf", "--output", "no/where.md"], "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2_before_anything_is_started(
    arguments: list[str],
    fault: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GNOSIS_URL", raising=False)
    monkeypatch.setenv("GNOSIS_STATE", str(tmp_path / "state"))
    pdf(tmp_path / "one.pdf", 1)
    pdf(tmp_path / "two.pdf", 1)
    (tmp_path / "empty.pdf").touch()
    (tmp_path / "void").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "one.md").touch()

    assert main(arguments) == 2
    output, errors = capfd.readouterr()
    (line,) = errors.splitlines()
    assert output == ""
    assert line.startswith("gnosis-ocr: ")
    assert fault in line

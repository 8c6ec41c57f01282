"""The languages of `OCR_LANGUAGES`: what RapidOCR's own model reads, and which files read the rest."""

from pathlib import Path

import pytest

from services.worker.engines.engine import EngineUnavailable
from services.worker.engines.lines.languages import (
    further_models,
    readable_codes,
    scripts_of_codes,
    tesseract_codes,
)
from services.worker.engines.lines.recogniser import _characters, _logical
from services.worker.engines.lines.tesseract import script_in

KNOWN = ("Greek", "Japanese", "Latin", "Chinese")


def folder_with(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).touch()
    return str(folder)


def test_languages_of_known_scripts_need_no_further_model() -> None:
    assert further_models("eng+deu+ell+chi_sim+jpn", "", known=KNOWN) == ()


def test_models_are_found_by_the_names_under_which_they_are_published(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "eslav_PP-OCRv5_rec_mobile.onnx", "th_PP-OCRv5_rec_mobile.onnx")
    found = further_models("eng+rus+ukr+tha", folder, known=KNOWN)
    assert [path.name for path in found] == ["eslav_PP-OCRv5_rec_mobile.onnx", "th_PP-OCRv5_rec_mobile.onnx"]


def test_a_model_of_the_operators_own_is_named_by_its_language(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "heb.onnx", "rus.onnx", "eslav_PP-OCRv5_rec_mobile.onnx")
    assert [path.name for path in further_models("heb+rus", folder, known=KNOWN)] == ["heb.onnx", "rus.onnx"]


@pytest.mark.parametrize("set_up", [True, False])
def test_a_missing_model_is_an_error_that_names_the_files_and_where_they_belong(set_up: bool, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable) as refused:
        further_models("rus", str(tmp_path) if set_up else "", known=KNOWN)
    message = str(refused.value)
    assert "OCR_LANGUAGES names rus" in message
    assert "rus.onnx or eslav_PP-OCRv5_rec_mobile.onnx or cyrillic_PP-OCRv5_rec_mobile.onnx" in message
    assert (str(tmp_path) in message) is set_up
    assert "OCR_MODEL_FOLDER" in message


def test_a_language_without_a_published_model_needs_one_of_its_own() -> None:
    with pytest.raises(EngineUnavailable, match=r"put heb\.onnx into"):
        further_models("heb", "", known=KNOWN)


def test_scripts_of_languages_are_named_once() -> None:
    assert scripts_of_codes("eng+deu+rus+script/Thai") == ("Latin", "Cyrillic")


def test_rapidocr_reads_the_languages_of_its_own_model_and_those_with_a_further_one() -> None:
    assert {"eng", "deu", "ell", "jpn", "chi_tra"} < set(readable_codes("eng"))
    assert not {"rus", "heb", "vie"} & set(readable_codes("eng"))
    assert set(readable_codes("eng+rus")) - set(readable_codes("eng")) == {"rus"}


def test_tesseract_reads_what_it_has_data_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "tesseract"
    program.write_text("#!/bin/sh\necho 'List of available languages (3):'; echo osd; echo eng; echo deu\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert tesseract_codes() == ("deu", "eng")
    program.write_text("#!/bin/sh\nexit 1\n")
    assert tesseract_codes() == ()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert tesseract_codes() == ()


def test_characters_come_from_the_models_metadata_or_from_the_file_beside_it(tmp_path: Path) -> None:
    model = tmp_path / "heb.onnx"
    assert _characters({"character": "a\nb"}, model) == ["a", "b"]
    with pytest.raises(EngineUnavailable, match=r"heb\.txt"):
        _characters({}, model)
    (tmp_path / "heb.txt").write_text("א\nב\n", encoding="utf-8")
    assert _characters({}, model) == ["א", "ב"]


def test_a_line_that_runs_left_is_turned_into_the_order_in_which_it_is_read() -> None:
    # As the network sees it, from left to right: the year first, then the letters of each word backwards.
    seen = "2031" + "טג"
    assert _logical(seen) == "גט" + "2031"
    assert _logical("Total 12.50") == "Total 12.50"


@pytest.mark.parametrize(
    ("report", "script"),
    [
        ("Rotate: 0\nOrientation confidence: 3.1\nScript: Cyrillic\nScript confidence: 5.22\n", "Cyrillic"),
        ("Script: Han\nScript confidence: 3.00\n", "Chinese"),
        ("Script: Latin\nScript confidence: 0.12\n", None),
        ("Too few characters. Skipping this page\n", None),
        ("", None),
    ],
)
def test_a_script_is_taken_from_tesseracts_report_where_it_is_sure(report: str, script: str | None) -> None:
    assert script_in(report) == script

"""Unmodified clients of other services against the real services: each gets the words of a scan, and a failed page."""

from pathlib import Path

import pymupdf
import pytest

from tests.frontdoors.conftest import WORDS
from tests.frontdoors.environments import run_client
from tests.running import Running, running
from tests.scripted import Script

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PROGRAMS = Path(__file__).parent / "clients"
FAILED = "page 2 failed: Told to fail."


def has_words(pages: list[str]) -> bool:
    return len(pages) == len(WORDS) and all(word in page for word, page in zip(WORDS, pages, strict=True))


def jobs(services: Running) -> list[str]:
    return [job["job_id"] for job in services.get("/api/jobs").json()["jobs"]]


def test_mistrals_sdk(services: Running, scan: Path) -> None:
    answer = run_client("sdks", PROGRAMS / "mistral_sdk.py", services.url, str(scan))
    assert has_words(answer["inline"])
    assert has_words(answer["by_address"])
    ((index, page),) = answer["by_id"]
    assert index == 1
    assert WORDS[1] in page
    assert answer["processed"] == 2
    assert answer["model"] == "mistral-ocr-latest"
    assert answer["width"] > 500
    assert "text" in answer["blocks"] or "title" in answer["blocks"]
    assert 0.5 < answer["confidence"] <= 1
    assert answer["listed"]
    assert answer["downloaded"]
    assert answer["deleted"]
    assert answer["filename"] == "scan.pdf"


def test_a_failed_page_is_visible_to_mistrals_sdk(failing: Running, three: Path) -> None:
    pages = run_client("sdks", PROGRAMS / "mistral_sdk.py", failing.url, str(three))["inline"]
    assert "first page" in pages[0]
    assert pages[1] == f"<!-- {FAILED} -->"
    assert "third page" in pages[2]


def test_a_client_that_gives_up_after_5_s_and_tries_again_five_times_is_one_reading(
    tmp_path: Path, three: Path
) -> None:
    with running(tmp_path, script=Script(seconds=9)) as services:
        answer = run_client("sdks", PROGRAMS / "mistral_sdk.py", services.url, str(three), "5", "5")
        assert answer["given_up"] == 5
        assert len(answer["pages"]) == 3
        assert len(jobs(services)) == 1
        assert services.read_counts() == {1: 1, 2: 1, 3: 1}
        assert run_client("sdks", PROGRAMS / "mistral_sdk.py", services.url, str(three), "5", "1")["given_up"] == 0
        assert services.read_counts() == {1: 1, 2: 1, 3: 1}


def test_azures_sdk_as_paperless_ngx_and_open_webui_call_it(services: Running, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "searchable.pdf"
    answer = run_client("sdks", PROGRAMS / "azure_sdk.py", services.url, str(scan), str(out))
    assert answer["pages"] == [1, 2]
    assert answer["unit"] == "inch"
    assert answer["places"]
    for word in WORDS:
        assert word in answer["content"]
        assert word in answer["markdown"]
        assert word in answer["words"]
        assert any(word in line for line in answer["lines"])
    with pymupdf.open(out) as document:
        assert all(page.search_for(word) for word, page in zip(WORDS, document, strict=True))


def test_a_failed_page_is_visible_to_azures_sdk(failing: Running, three: Path, tmp_path: Path) -> None:
    answer = run_client("sdks", PROGRAMS / "azure_sdk.py", failing.url, str(three), str(tmp_path / "out.pdf"))
    assert answer["pages"] == [1, 2, 3]
    assert FAILED in answer["content"]
    assert FAILED in answer["markdown"]
    assert any(FAILED in line for line in answer["lines"])


def test_markitdown(services: Running, scan: Path) -> None:
    answer = run_client("markitdown", PROGRAMS / "markitdown_package.py", services.url, str(scan))
    assert all(word in answer["markdown"] for word in WORDS)


def test_a_failed_page_is_visible_to_markitdown(failing: Running, three: Path) -> None:
    """It drops all comments."""
    answer = run_client("markitdown", PROGRAMS / "markitdown_package.py", failing.url, str(three))
    assert FAILED in answer["markdown"]


def test_litellm(services: Running, scan: Path) -> None:
    answer = run_client("litellm", PROGRAMS / "litellm_sdk.py", services.url, str(scan))
    assert has_words(answer["mistral"])
    assert has_words(answer["azure"])
    ((index, page),) = answer["second"]
    assert index == 1
    assert WORDS[1] in page


def test_a_failed_page_is_visible_to_litellm(failing: Running, three: Path) -> None:
    answer = run_client("litellm", PROGRAMS / "litellm_sdk.py", failing.url, str(three))
    assert FAILED in answer["mistral"][1]
    assert FAILED in answer["azure"][1]


def test_doclings_client(services: Running, scan: Path) -> None:
    answer = run_client("docling", PROGRAMS / "docling_sdk.py", services.url, str(scan))
    assert (answer["status"], answer["pages"], answer["errors"]) == ("success", [1, 2], [])
    assert all(word in answer["markdown"] for word in WORDS)
    assert WORDS[0] not in answer["second"]
    assert WORDS[1] in answer["second"]
    assert answer["second_pages"] == [2]
    assert {1, 2} == {page for page, _ in answer["places"]}
    assert {origin for _, origin in answer["places"]} == {"BOTTOMLEFT"}
    assert answer["healthy"] == "ok"


def test_a_failed_page_is_visible_to_doclings_client(failing: Running, three: Path) -> None:
    answer = run_client("docling", PROGRAMS / "docling_sdk.py", failing.url, str(three))
    assert (answer["status"], answer["pages"]) == ("partial_success", [1, 2, 3])
    assert FAILED in answer["markdown"]
    assert answer["errors"] == [[2, "Told to fail."]]


def test_unstructureds_clients(services: Running, scan: Path) -> None:
    answer = run_client("unstructured", PROGRAMS / "unstructured_sdk.py", services.url, str(scan))
    for way in ("whole", "split"):
        texts = dict.fromkeys((1, 2), "")
        for _, text, page in answer[way]:
            texts[page] += f"{text}\n"
        assert has_words(list(texts.values())), way
    assert all(any(word in text for text, _ in answer["langchain"]) for word in WORDS)
    assert {page for _, page in answer["langchain"]} == {1, 2}


def test_a_failed_page_is_visible_to_unstructureds_clients(failing: Running, three: Path) -> None:
    """Splitting sends pages 1 and 2, then page 3, so that the page that fails is the second of the first part."""
    answer = run_client("unstructured", PROGRAMS / "unstructured_sdk.py", failing.url, str(three))
    for way in ("whole", "split"):
        assert [page for _, text, page in answer[way] if FAILED in text] == [2], way
        assert {page for _, _, page in answer[way]} == {1, 2, 3}, way
    assert any(FAILED in text for text, _ in answer["langchain"])


def test_tikas_client(services: Running, scan: Path) -> None:
    answer = run_client("tika", PROGRAMS / "tika_package.py", services.url, str(scan))
    assert all(word in answer[form] for word in WORDS for form in ("text", "html", "listed"))
    assert (answer["type"], answer["pages"]) == ("application/pdf", "2")


def test_a_failed_page_is_visible_to_tikas_client(failing: Running, three: Path) -> None:
    answer = run_client("tika", PROGRAMS / "tika_package.py", failing.url, str(three))
    assert all(FAILED in answer[form] for form in ("text", "html", "listed"))
    assert answer["pages"] == "3"


@pytest.mark.parametrize("failed", [False, True], ids=["read", "with a failed page"])
def test_the_loaders_of_open_webui(
    services: Running, failing: Running, scan: Path, three: Path, tmp_path: Path, failed: bool
) -> None:
    file, found = (three, failing) if failed else (scan, services)
    loaded = run_client(
        "openwebui",
        PROGRAMS / "openwebui_loaders.py",
        found.url,
        str(file),
        DATA_DIR=str(tmp_path),
        WEBUI_SECRET_KEY="x",
    )
    for name, documents in loaded.items():
        text = "\n".join(content for content, _ in documents)
        assert all(word in text for word in ((FAILED,) if failed else WORDS)), name
    for name in ("external", "mistral", "mistral in base64"):
        assert [metadata["page"] for _, metadata in loaded[name]] == ([0, 1, 2] if failed else [0, 1]), name

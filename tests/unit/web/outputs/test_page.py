"""A page as JSON fits the schema that is served, whatever outcome it was made from."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # publishes no types

from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.jobstate.provenance import LayerReport, LayerVerdict, Try
from libs.page.block import Block, BlockKind, Cell, Line, Source, Word
from libs.page.trust import Trust, Uncompared
from services.web.outputs.page import PageDocument, encode, page_document, schema
from tests.jobs import extracted

LINE = Line(
    text="Minutes of May",
    box=((1, 2), (90, 2), (90, 14), (1, 14)),
    confidence=0.98,
    words=(Word(text="Minutes", box=(1, 2, 40, 14)),),
)
BLOCKS = (
    Block(kind=BlockKind.TITLE, text="Minutes of May", level=1, box=(1, 2, 90, 14), confidence=0.98, lines=(LINE,)),
    Block(
        kind=BlockKind.TABLE,
        cells=(Cell(row=0, column=0, text="a<b", header=True, column_span=2), Cell(row=1, column=1, text="c")),
    ),
    Block(kind=BlockKind.FORMULA, latex="x^2", markdown="$$x^2$$"),
    Block(kind=BlockKind.CHECK_BOX, text="yes", checked=True),
)
AT = datetime(2026, 11, 28, tzinfo=UTC)
READ = PageOutcome(
    page_no=1,
    run=1,
    status=OutcomeStatus.COMPLETED,
    text="# Minutes of May",
    blocks=BLOCKS,
    source=Source.OCR,
    width=100,
    height=140,
    started_at=AT,
    completed_at=AT,
    tries=(Try(engine="nanonets", ending="stop"),),
    trust=0.5,
    engine="rapidocr",
    fallback="It was told to.",
)
OUTCOMES = {
    "read": READ,
    "failed": PageOutcome(page_no=2, run=2, status=OutcomeStatus.FAILED, error="It is damaged."),
    "blank": PageOutcome(page_no=3, run=1, status=OutcomeStatus.COMPLETED, blank=True),
    "by its own text": PageOutcome(
        page_no=5,
        run=1,
        status=OutcomeStatus.COMPLETED,
        source=Source.TEXT_LAYER,
        text_layer=LayerReport(verdict=LayerVerdict.VISUAL_ORDER, characters=900, compared=12, agreement=0.4),
    ),
    "in a script that the engine does not know": PageOutcome(
        page_no=6,
        run=1,
        status=OutcomeStatus.COMPLETED,
        assessment=Trust(
            uncompared=Uncompared.NO_SECOND_READING,
            confidence=0.93,
            unreadable=0.81,
            script="Cyrillic",
            reads=("Latin", "Greek", "Chinese"),
        ),
    ),
    "from before there were blocks": PageOutcome(
        page_no=4, run=1, status=OutcomeStatus.COMPLETED, text="x", lines=(LINE,)
    ),
}
VALIDATOR = Draft202012Validator(schema())


def shown(outcome: PageOutcome, *, alone: bool = False) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(encode(page_document(outcome, extracted(4), alone=alone)))
    return document


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$id"] == "/schemas/page.json"
    assert set(schema()["properties"]) == {field.encode_name for field in msgspec.structs.fields(PageDocument)}


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES.keys())
def test_every_page_fits_the_schema(outcome: PageOutcome, alone: bool) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(shown(outcome, alone=alone))] == []


def test_the_schema_refuses_what_is_no_page() -> None:
    page = shown(READ)
    page["blocks"][0]["kind"] = "poem"
    page["blocks"][1]["cells"][0]["column_span"] = 0
    page["blocks"][0]["confidence"] = 2
    assert len(list(VALIDATOR.iter_errors(page))) == 3


def test_blocks_are_named_and_tables_are_html_too() -> None:
    page = shown(READ)
    assert [block["id"] for block in page["blocks"]] == ["b1", "b2", "b3", "b4"]
    assert page["blocks"][0]["lines"][0]["words"] == [{"text": "Minutes", "box": [1, 2, 40, 14]}]
    assert page["blocks"][1]["html"].startswith('<table>\n<tr><th colspan="2">a&lt;b</th></tr>')
    assert (page["width"], page["height"], page["dpi"], page["source"]) == (100, 140, 150, "ocr")
    assert (page["trust"]["figure"], page["trust"]["numbers"], page["trust"]["against"]) == (0.5, None, None)
    assert (page["trust"]["check"], [reason["code"] for reason in page["trust"]["reasons"]]) == (True, ["words_differ"])


def test_warnings_say_what_to_know_before_relying_on_the_page() -> None:
    warnings = shown(READ)["warnings"]
    assert warnings[0] == "Read by another engine, rapidocr. It was told to."
    assert warnings[1].startswith("Trust 50%")
    assert shown(OUTCOMES["blank"])["warnings"] == []


def test_a_page_whose_lines_were_left_out_says_so() -> None:
    page = shown(OUTCOMES["in a script that the engine does not know"])
    assert page["warnings"] == [
        "About 81% of the lines on this page could not be read and are left out: the engine reads Latin, Greek and "
        "Chinese, and this page seems to be in Cyrillic."
    ]
    assert [reason["code"] for reason in page["trust"]["reasons"]] == ["unreadable", "no_second_reading"]


def test_every_page_with_a_text_says_what_is_known_of_it() -> None:
    old = shown(OUTCOMES["from before there were blocks"])["trust"]
    assert (old["figure"], old["confidence"], old["check"]) == (None, 0.98, False)
    assert [reason["code"] for reason in old["reasons"]] == ["no_second_reading"]
    assert [shown(OUTCOMES[name])["trust"] for name in ("failed", "blank")] == [None, None]


def test_page_alone_has_its_text_and_lines_as_callers_knew_them_before_there_were_blocks() -> None:
    assert "lines" not in shown(READ)
    page = shown(READ, alone=True)
    assert page["text"] == page["markdown"] == "# Minutes of May"
    assert [line["text"] for line in page["lines"]] == ["Minutes of May"]
    assert [line["text"] for line in shown(OUTCOMES["from before there were blocks"], alone=True)["lines"]] == [
        "Minutes of May"
    ]


@pytest.mark.parametrize(("source", "warns"), [(Source.MODEL, True), (Source.OCR, False), (Source.TEXT_LAYER, False)])
def test_a_model_says_that_the_languages_of_the_job_make_no_difference_to_it(source: Source, warns: bool) -> None:
    outcome = PageOutcome(page_no=1, run=1, status=OutcomeStatus.COMPLETED, source=source, engine="nanonets")
    job = extracted(1)
    asked = msgspec.structs.replace(job, options=msgspec.structs.replace(job.options, languages=("deu",)))
    assert page_document(outcome, job).warnings == ()
    assert (
        any("make no difference to the engine nanonets" in text for text in page_document(outcome, asked).warnings)
        is warns
    )

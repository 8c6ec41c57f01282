"""A page as JSON: its blocks and their provenance (requirement R65), and the JSON Schema of it."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from libs.jobstate.job import Job
from libs.jobstate.outcome import OutcomeStatus, PageOutcome, Reading
from libs.jobstate.provenance import LayerReport, LayerVerdict, Try
from libs.page import table
from libs.page.block import Block, Line, Source, lines_of
from libs.page.transcript import parse
from libs.page.trust import Against, Doubt, Reason, Trust
from libs.storage import layout
from services.web.text.blocks import block_id

#: Where the schema is served.
SCHEMA_PATH = "/schemas/page.json"
#: The dialect that the schema is written in.
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_KEPT = "Run {run} could not read the page again, so the reading of run {read_in} is kept. {error}"
_UNTRUSTED = "Taken from the document's own text, as ocr=text asks, although it is not trusted ({verdict})."

_LANGUAGES_UNUSED = (
    "The languages that were asked for make no difference to the engine {engine}: it reads what it knows."
)


class PageBlock(Block, frozen=True, kw_only=True, omit_defaults=True):
    """A block of a page, named and with the table as HTML."""

    id: Annotated[str, Meta(description="Unique on its page.")]
    html: Annotated[str, Meta(description="Of a table: its cells as HTML.")] = ""


class PageTrust(msgspec.Struct, frozen=True, kw_only=True):
    """How far the text can be relied on: its agreement with a second reading of the page, and what else is known."""

    figure: Annotated[
        float | None, Meta(description="Agreement of words, from 0 to 1; null where they were not compared.")
    ]
    numbers: Annotated[
        float | None,
        Meta(description="Agreement of numbers; null where they were not compared, or there are hardly any."),
    ]
    against: Annotated[
        Against | None,
        Meta(
            description="The second reading: the document's own text (text_layer), another engine's reading of the "
            "page (ocr), a few places recognised from the image (spot_check). Null where there is none."
        ),
    ]
    confidence: Annotated[
        float | None,
        Meta(description="The recogniser's own mean confidence in what it read; null where it has none."),
    ]
    unreadable: Annotated[
        float | None,
        Meta(description="The share of the printed lines that could not be read and are left out; null where none."),
    ]
    script: Annotated[
        str | None, Meta(description="The script of a page with lines left out, where known.", examples=["Cyrillic"])
    ]
    check: Annotated[bool, Meta(description="Whether the text should be compared with the image.")]
    reasons: Annotated[
        tuple[Reason, ...],
        Meta(description="Why it should, or why it was not compared: a code, and a sentence for a person."),
    ]


class PageReading(msgspec.Struct, frozen=True, kw_only=True):
    """One of the readings of a page; `GET .../pages/{n}?run=` has the whole of it."""

    run: Annotated[int, Meta(description="The run of the job in which the page was read.")]
    status: OutcomeStatus
    engine: Annotated[str | None, Meta(description="Null where the page could not be rendered.")]
    source: Annotated[Source | None, Meta(description="Where the text comes from; null where it is not known.")]
    dpi: Annotated[int | None, Meta(description="As of the page.")]
    seconds: Annotated[float, Meta(description="Of the engine's time.", ge=0)]
    completed_at: datetime | None
    error: Annotated[str | None, Meta(description="Why it failed.")]


class PageDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What was read on a page, and by what."""

    page_no: Annotated[int, Meta(description="In the document, from 1.", ge=1)]
    run: Annotated[int, Meta(description="The run of the job in which the page was read.")]
    status: OutcomeStatus
    blank: Annotated[bool, Meta(description="Nothing is printed on the page.")]
    error: Annotated[str | None, Meta(description="Why the page failed.")]
    source: Annotated[Source | None, Meta(description="Where the text comes from; null where it is not known.")]
    engine: Annotated[str | None, Meta(description="Null where the page could not be rendered.")]
    revision: str | None
    device: str | None
    attempts: Annotated[int, Meta(description="How often the page was begun; more than 1 after a breakdown.", ge=1)]
    finish: Annotated[str | None, Meta(description="How the reading ended.")]
    fallback: Annotated[str | None, Meta(description="Why another engine was tried than the one asked.")]
    seconds: Annotated[float, Meta(description="Of the engine's time.", ge=0)]
    started_at: datetime | None
    completed_at: datetime | None
    width: Annotated[int | None, Meta(description="Of the page image in pixels.")]
    height: Annotated[int | None, Meta(description="Of the page image in pixels.")]
    dpi: Annotated[int | None, Meta(description="At which the page was asked to be rendered; null for an image.")]
    image: Annotated[str, Meta(description="The name of the page image that was read.", examples=["page_001.png"])]
    rotation: Annotated[int, Meta(description="Clockwise turn that set the page upright, in degrees.")]
    skew: Annotated[float, Meta(description="Further small turn, in degrees.")]
    trust: Annotated[PageTrust | None, Meta(description="Null for a page without text: blank or failed.")]
    text_layer: Annotated[
        LayerReport | None,
        Meta(
            description="The judgement on the page's own text: the verdict, and shares from 0 to 1. "
            "Null for a page without any, and with ocr=force."
        ),
    ]
    blocks: Annotated[tuple[PageBlock, ...], Meta(description="In reading order.")]
    markdown: Annotated[str, Meta(description="Without running heads, running feet and page numbers.")]
    warnings: Annotated[tuple[str, ...], Meta(description="What to know before relying on the page.")]
    tries: Annotated[
        tuple[Try, ...],
        Meta(description="In order, the last being the one that counts; empty for engines that do not write."),
    ]
    tokens: Annotated[int, Meta(description="What all tries took.", ge=0)]
    readings: Annotated[
        tuple[PageReading, ...],
        Meta(description="All readings of the page, this one included, by run: each retry of the page adds one."),
    ]
    text: Annotated[str | UnsetType, Meta(description="The same as `markdown`; only where one page is asked for.")] = (
        UNSET
    )
    lines: Annotated[
        tuple[Line, ...] | UnsetType,
        Meta(description="The lines of all blocks; only where one page is asked for."),
    ] = UNSET


def blocks_of(outcome: PageOutcome) -> tuple[Block, ...]:
    """The page's blocks; where the engine gave only Markdown, and of old outcomes, those of the Markdown."""
    return outcome.blocks or parse(outcome.text)


def page_document(
    outcome: PageOutcome, job: Job, *, alone: bool = False, history: Sequence[Reading] | None = None
) -> PageDocument:
    """The page; `alone` with what callers of a single page read besides the blocks.

    `history` are all its readings, where `outcome` is an earlier one and does not know the later ones.

    Where the blocks have to be parsed, a hostile page takes seconds: call it in a thread.
    """
    return PageDocument(
        page_no=outcome.page_no,
        run=outcome.reading_run,
        status=outcome.status,
        blank=outcome.blank,
        error=outcome.error,
        source=outcome.source,
        engine=outcome.engine,
        revision=outcome.revision,
        device=outcome.device,
        attempts=outcome.attempts,
        finish=outcome.finish,
        fallback=outcome.fallback,
        seconds=outcome.seconds,
        started_at=outcome.started_at,
        completed_at=outcome.completed_at,
        width=outcome.width or None,
        height=outcome.height or None,
        dpi=_dpi(outcome, job),
        image=layout.page_image(outcome.page_no, outcome.dpi),
        rotation=outcome.rotation,
        skew=outcome.skew,
        trust=_trust(outcome.known_trust),
        text_layer=outcome.text_layer,
        blocks=tuple(_named(block, at) for at, block in enumerate(blocks_of(outcome), 1)),
        markdown=outcome.text,
        warnings=tuple(_warnings(outcome, job)),
        tries=outcome.tries,
        tokens=outcome.tokens,
        readings=tuple(_listed(reading, job) for reading in (outcome.history if history is None else history)),
        text=outcome.text if alone else UNSET,
        lines=(outcome.lines or lines_of(outcome.blocks)) if alone else UNSET,
    )


#: A page as JSON.
encode = msgspec.json.encode


def _named(block: Block, number: int) -> PageBlock:
    fields = {name: getattr(block, name) for name in block.__struct_fields__}
    return PageBlock(**fields, id=block_id(number), html=table.to_html(block.cells) if block.cells else "")


def _dpi(reading: PageOutcome | Reading, job: Job) -> int | None:
    return (reading.dpi or job.options.dpi) if job.file_info.file_type == "pdf" else None


def _listed(reading: Reading, job: Job) -> PageReading:
    return PageReading(
        run=reading.run,
        status=reading.status,
        engine=reading.engine,
        source=reading.source,
        dpi=_dpi(reading, job),
        seconds=reading.seconds,
        completed_at=reading.completed_at,
        error=reading.error,
    )


def _warnings(outcome: PageOutcome, job: Job) -> Sequence[str]:
    found = []
    if job.options.languages and outcome.source is Source.MODEL:
        found.append(_LANGUAGES_UNUSED.format(engine=outcome.engine))
    if outcome.retry_error is not None:
        found.append(_KEPT.format(run=outcome.run, read_in=outcome.read_in, error=outcome.retry_error))
    if outcome.fallback and outcome.status is OutcomeStatus.COMPLETED:
        found.append(f"Read by another engine, {outcome.engine}. {outcome.fallback}")
    layer = outcome.text_layer
    if outcome.source is Source.TEXT_LAYER and layer is not None and layer.verdict is not LayerVerdict.TRUSTED:
        found.append(_UNTRUSTED.format(verdict=layer.verdict.replace("_", " ")))
    trust = outcome.known_trust
    doubts = trust.doubts if trust else ()
    # That one the sentence above says with its verdict.
    found.extend(
        reason.text
        for reason in (trust.reasons if trust else ())
        if reason.code in doubts and reason.code != Doubt.UNTRUSTED_LAYER
    )
    return found


def _trust(trust: Trust | None) -> PageTrust | None:
    if trust is None:
        return None
    return PageTrust(
        figure=trust.figure,
        numbers=trust.numbers,
        against=trust.against,
        confidence=trust.confidence,
        unreadable=trust.unreadable,
        script=trust.script,
        check=bool(trust.doubts),
        reasons=trust.reasons,
    )


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of a page, made from `PageDocument`."""
    _, definitions = msgspec.json.schema_components([PageDocument], ref_template="#/$defs/{name}")
    root = definitions.pop("PageDocument")
    return _plain({"$schema": DIALECT, "$id": SCHEMA_PATH, **root, "$defs": definitions})


@cache
def components() -> dict[str, Any]:
    """The same as components of an OpenAPI document."""
    _, definitions = msgspec.json.schema_components([PageDocument], ref_template="#/components/schemas/{name}")
    return _plain(definitions)


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as it is read from JSON: msgspec writes tuples for defaults, which validators do not take."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))
    return plain

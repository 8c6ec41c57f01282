"""Every wire format: what is encoded comes back as it was, and any other bytes give the one documented error."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.jobstate import intake, lease, outcome, record
from libs.jobstate.intake import FileInfo, Intake, OcrMode, Options, PageOptions
from libs.jobstate.job import Job
from libs.jobstate.lease import Lease, LeaseState
from libs.jobstate.outcome import Again, BriefOutcome, OutcomeStatus, PageOutcome, Reading
from libs.jobstate.page import JobTrust, Page, PageStatus, Reread
from libs.jobstate.provenance import LayerReport, LayerVerdict, Try
from libs.jobstate.status import JobStatus, Step
from libs.page.block import Block, BlockKind, Cell, Line, Source, Word
from libs.page.trust import Against, Trust, Uncompared
from libs.taskqueue import remote, task
from libs.taskqueue.remote import EnqueueRequest
from libs.taskqueue.task import OcrTask

# JSON has no surrogates and no infinities, and msgspec no integer beyond 64 bits.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
numbers = st.integers(0, 2**31)
pages = st.integers(1, 10_000)
floats = st.floats(allow_nan=False, allow_infinity=False)
times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def values(kind: type[Any], /, **strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any value of a struct; every field has a strategy, so that a new field is a failing test."""
    assert strategies.keys() == {field.name for field in msgspec.structs.fields(kind)}
    return st.builds(kind, **strategies)


tasks = values(
    OcrTask,
    session_id=texts,
    user_email=texts,
    user_hash=texts,
    chain=numbers,
    run=numbers,
    idle=numbers,
    wake=numbers,
    round=numbers,
    searchable=st.booleans(),
    due_at=maybe(times),
    trace=st.from_regex(r"\A([0-9a-f]{32})?\Z"),
)
requests = values(
    EnqueueRequest,
    name=st.from_regex(r"\A[A-Za-z0-9_-]{1,50}\Z"),
    task=tasks,
    delay_seconds=st.floats(0, 30 * 86400),
)
page_options = values(PageOptions, engine=maybe(texts), ocr=maybe(st.sampled_from(OcrMode)), dpi=maybe(numbers))
agains = values(Again, run=numbers, options=page_options)
readings = values(
    Reading,
    run=numbers,
    status=st.sampled_from(OutcomeStatus),
    engine=maybe(texts),
    source=maybe(st.sampled_from(Source)),
    dpi=maybe(numbers),
    seconds=floats,
    completed_at=maybe(times),
    error=maybe(texts),
)
briefs = values(
    BriefOutcome,
    read_in=numbers,
    retry_error=maybe(texts),
    again=maybe(agains),
    status=st.sampled_from(OutcomeStatus),
    run=numbers,
    blank=st.booleans(),
    error=maybe(texts),
    engine=maybe(texts),
    attempts=numbers,
    seconds=floats,
    started_at=maybe(times),
    completed_at=maybe(times),
    trust=maybe(floats),
    doubts=st.lists(texts, max_size=2).map(tuple),
)
leases = values(
    Lease,
    name=texts,
    run=numbers,
    holder=texts,
    claim=texts,
    state=st.sampled_from(LeaseState),
    attempt=numbers,
    seconds=floats,
    taken_at=times,
    pages=st.lists(pages, max_size=5).map(tuple),
    waited=floats,
    in_hand=st.lists(pages, max_size=5).map(tuple),
    deaths=st.dictionaries(pages, numbers, max_size=3),
    outcomes=st.dictionaries(pages, briefs, max_size=3),
)
rects = st.tuples(floats, floats, floats, floats)
words = values(Word, text=texts, box=rects, confidence=maybe(floats))
lines = values(
    Line,
    text=texts,
    box=st.tuples(*[st.tuples(floats, floats)] * 4),
    confidence=maybe(floats),
    words=st.lists(words, max_size=2).map(tuple),
)
cells = values(
    Cell,
    row=numbers,
    column=numbers,
    text=texts,
    row_span=numbers,
    column_span=numbers,
    header=st.booleans(),
    box=maybe(rects),
)
blocks = values(
    Block,
    kind=st.sampled_from(BlockKind),
    text=texts,
    level=maybe(numbers),
    marker=texts,
    checked=maybe(st.booleans()),
    cells=st.lists(cells, max_size=2).map(tuple),
    latex=texts,
    markdown=texts,
    box=maybe(rects),
    confidence=maybe(floats),
    lines=st.lists(lines, max_size=2).map(tuple),
)
tries = values(Try, engine=texts, ending=texts, temperature=floats, scale=floats, tokens=numbers, seconds=floats)
reports = values(
    LayerReport,
    verdict=st.sampled_from(LayerVerdict),
    characters=numbers,
    meaningless=floats,
    unmapped=floats,
    invisible=floats,
    unseen=floats,
    picture=floats,
    missing=floats,
    compared=numbers,
    agreement=maybe(floats),
    numbers=maybe(floats),
    readable=maybe(floats),
    script=maybe(texts),
)
trusts = values(
    Trust,
    figure=maybe(floats),
    numbers=maybe(floats),
    passage=maybe(floats),
    against=maybe(st.sampled_from(Against)),
    uncompared=maybe(st.sampled_from(Uncompared)),
    confidence=maybe(floats),
    unreadable=maybe(floats),
    script=maybe(texts),
    reads=st.lists(texts, max_size=2).map(tuple),
    nothing_read=st.booleans(),
    untrusted_layer=st.booleans(),
    malformed=st.booleans(),
    turned=st.sampled_from((0, 90, 180, 270)),
)
outcomes = values(
    PageOutcome,
    text_layer=maybe(reports),
    page_no=pages,
    run=numbers,
    status=st.sampled_from(OutcomeStatus),
    text=texts,
    blank=st.booleans(),
    error=maybe(texts),
    engine=maybe(texts),
    revision=maybe(texts),
    device=maybe(texts),
    attempts=numbers,
    finish=maybe(texts),
    fallback=maybe(texts),
    seconds=floats,
    rotation=st.integers(-360, 360),
    skew=floats,
    started_at=maybe(times),
    completed_at=maybe(times),
    lines=st.lists(lines, max_size=2).map(tuple),
    blocks=st.lists(blocks, max_size=2).map(tuple),
    source=maybe(st.sampled_from(Source)),
    width=numbers,
    height=numbers,
    tries=st.lists(tries, max_size=2).map(tuple),
    tokens=numbers,
    trust=maybe(floats),
    assessment=maybe(trusts),
    dpi=maybe(numbers),
    read_in=numbers,
    readings=st.lists(readings, max_size=2).map(tuple),
    again=maybe(agains),
)
infos = values(
    FileInfo,
    filename=texts,
    file_type=texts,
    raw_file=texts,
    file_size=st.integers(0, 2**60),
    total_pages=numbers,
    repaired=st.booleans(),
)
options = values(
    Options,
    pages=maybe(texts),
    dpi=numbers,
    engine=maybe(texts),
    ocr=st.sampled_from(OcrMode),
    languages=st.lists(texts, max_size=2).map(tuple),
    has_password=st.booleans(),
    webhook=maybe(texts),
)
intakes = values(
    Intake,
    session_id=texts,
    user_email=texts,
    file_info=infos,
    options=options,
    created_at=times,
    notify=st.booleans(),
)
rereads = values(
    Reread,
    engine=maybe(texts),
    ocr=maybe(st.sampled_from(OcrMode)),
    dpi=maybe(numbers),
    image_due=st.booleans(),
    read_in=numbers,
    error=maybe(texts),
)
page_records = values(
    Page,
    reread=maybe(rereads),
    status=st.sampled_from(PageStatus),
    image=maybe(texts),
    image_extracted_at=maybe(times),
    processing_started_at=maybe(times),
    processing_completed_at=maybe(times),
    result_file=maybe(texts),
    error=maybe(texts),
    run=numbers,
    attempts=numbers,
    engine=maybe(texts),
    seconds=floats,
    blank=st.booleans(),
    trust=maybe(floats),
    doubts=st.lists(texts, max_size=2).map(tuple),
)
job_trusts = values(JobTrust, lowest=maybe(floats), lowest_page=maybe(pages), to_check=numbers, not_compared=numbers)
jobs = values(
    Job,
    schema_version=numbers,
    job_id=texts,
    session_id=texts,
    revision=numbers,
    writer=texts,
    run=numbers,
    status=st.sampled_from(JobStatus),
    error=maybe(texts),
    error_code=maybe(texts),
    notify=st.booleans(),
    current_step=st.sampled_from(Step),
    message=texts,
    warnings=st.lists(texts, max_size=2).map(tuple),
    percent=st.integers(0, 100),
    file_info=infos,
    options=options,
    user_email=texts,
    user_hash=texts,
    created_at=times,
    run_started_at=times,
    updated_at=times,
    batch_size=numbers,
    parallelism=numbers,
    extraction_complete=st.booleans(),
    pages=st.dictionaries(pages, page_records, max_size=3),
    rebuilt=st.booleans(),
    trust=job_trusts,
)

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]
FORMATS = [
    pytest.param(task.encode, task.decode, task.BadTask, tasks, id="task"),
    pytest.param(remote.encode, remote.decode, task.BadTask, requests, id="enqueue"),
    pytest.param(lease.encode, lease.decode, lease.TornLease, leases, id="lease"),
    pytest.param(outcome.encode, outcome.decode, outcome.TornOutcome, outcomes, id="outcome"),
    pytest.param(intake.encode, intake.decode, intake.TornIntake, intakes, id="intake"),
    pytest.param(record.encode, record.decode, record.TornRecord, jobs, id="record"),
]
every_format = pytest.mark.parametrize(("encode", "decode", "error", "anything"), FORMATS)


@every_format
@given(draw=st.data())
def test_what_is_encoded_comes_back_as_it_was(
    encode: Encode, decode: Decode, error: type[ValueError], anything: st.SearchStrategy[Any], draw: st.DataObject
) -> None:
    value = draw.draw(anything)
    assert decode(encode(value)) == value


@every_format
@given(draw=st.data())
def test_bytes_cut_off_or_changed_decode_or_give_the_one_error(
    encode: Encode, decode: Decode, error: type[ValueError], anything: st.SearchStrategy[Any], draw: st.DataObject
) -> None:
    sound = encode(draw.draw(anything))
    at = draw.draw(st.integers(0, len(sound)))
    # Cut off, a hole, and other bytes in the middle.
    torn = sound[:at] + draw.draw(st.binary(max_size=8)) + sound[at + draw.draw(st.integers(0, len(sound))) :]
    decoded_or(error, decode, encode, torn)


@every_format
@given(noise=st.binary(max_size=200))
def test_noise_gives_the_one_error(
    encode: Encode, decode: Decode, error: type[ValueError], anything: st.SearchStrategy[Any], noise: bytes
) -> None:
    with pytest.raises(error):
        decode(noise)


@every_format
@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"\xff\xfe",
        b"{}",
        b"null",
        b"[" * 100_000,
        b"[" * 10_000 + b"]" * 10_000,
        b'{"more":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"more":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"session_id":"\xff"}',
        b'{"session_id":"\\ud800"}',
        b'{"run":' + b"9" * 10_000 + b"}",
        b'{"run":1e400}',
    ],
    ids=lambda hostile: repr(hostile[:20]),
)
def test_hostile_json_gives_the_one_error(
    encode: Encode, decode: Decode, error: type[ValueError], anything: st.SearchStrategy[Any], hostile: bytes
) -> None:
    with pytest.raises(error):
        decode(hostile)


@pytest.mark.parametrize("field", ["chain", "run", "idle"])
@pytest.mark.parametrize("number", [-1, 2**31 + 1, 10**30])
def test_a_task_counts_within_bounds(field: str, number: int) -> None:
    with pytest.raises(task.BadTask, match=field):
        task.decode(b'{"session_id":"a","%s":%d}' % (field.encode(), number))


def decoded_or(error: type[ValueError], decode: Decode, encode: Encode, body: bytes) -> None:
    try:
        value = decode(body)
    except error:
        return
    # What was decoded can be encoded again.
    assert decode(encode(value)) == value

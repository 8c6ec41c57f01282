"""The events of a job from real services: every page once, however often connections break and web dies."""

import asyncio
import random
import re
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # publishes no types
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from libs.jobstate import intake as intakes
from libs.jobstate.commit import create
from libs.jobstate.job import Job
from libs.storage.memory import MemoryStore
from libs.storage.session import create_session
from services.web.auth import apikey, keyring
from services.web.auth.apikey import Scope
from services.web.config import WebConfig
from services.web.jobs import events
from services.web.system.site import interface
from tests.documents import pdf
from tests.eventstream import Follower, events_of
from tests.inprocess import ClientInProcess, configured, outward_client
from tests.jobs import INTAKE
from tests.running import Running, running
from tests.scripted import Script
from tests.waiting import until

DICE_SEED = 7
SCHEMAS = {"job": "JobEvent", "page": "PageEvent", "done": "DoneEvent"}


def check(follower: Follower) -> None:
    """Each event is what `/openapi.json` promises."""
    document = interface()
    registry = Registry().with_resource("urn:api", DRAFT202012.create_resource(document))
    validators = {
        name: Draft202012Validator({"$ref": f"urn:api#/components/schemas/{schema}"}, registry=registry)
        for name, schema in SCHEMAS.items()
    }
    for event in follower.events:
        validators[event.name].validate(event.data)


def follow(services: Running, job_id: str, *, pages: int, drops: int, kills: int) -> Follower:
    """Follow the job to its end over a connection that breaks so often, while web is killed so often."""
    dice = random.Random(DICE_SEED)
    with Follower(services.url, job_id) as follower:

        def kill() -> None:
            for number in range(kills):
                least = (number + 1) * pages // (kills + 1)
                services.until(lambda least=least: len(follower.pages()) > least, "pages to be told")
                services.kill("web")
                services.start("web")

        killing = threading.Thread(target=kill)
        killing.start()
        while not follower.connect(dice.randint(1, 2 * pages // drops) if len(follower.statuses) < drops else None):
            pass
        killing.join()
    assert len(follower.statuses) > drops
    return follower


def check_story(follower: Follower, pages: int) -> None:
    """Every page once, the job's event of the run before its pages, percent never down, the end last."""
    assert sorted(follower.pages()) == [(number, 1) for number in range(1, pages + 1)]
    assert follower.events[0].name == "job"
    assert [event.name for event in follower.events].index("done") == len(follower.events) - 1
    assert follower.events[-1].data["status"] == "completed"
    check(follower)


@pytest.mark.slow
def test_every_page_is_told_once_through_lost_connections_and_deaths_of_web(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=0.1)) as services:
        job_id = services.upload(pdf(tmp_path / "many.pdf", 60))
        follower = follow(services, job_id, pages=60, drops=10, kills=2)
    check_story(follower, 60)


@pytest.mark.slow
def test_every_page_of_300_is_told_once_through_20_lost_connections_and_two_deaths_of_web(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=0.05), OCR_BATCH_SIZE="10") as services:
        job_id = services.upload(pdf(tmp_path / "many.pdf", 300))
        follower = follow(services, job_id, pages=300, drops=20, kills=2)
    check_story(follower, 300)


def test_a_client_that_knows_the_end_is_told_nothing_until_a_retry_reads_pages_again(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(fail=(2,))) as services:
        job_id = services.upload(pdf(tmp_path / "three.pdf", 3))
        with Follower(services.url, job_id) as follower:
            while not follower.connect():
                pass
            assert follower.events[-1].data["status"] == "partial"
            assert follower.connect()
            assert follower.statuses[-1] == 204, "a browser must not come again"
            answer = httpx.post(f"{services.url}/api/jobs/{job_id}/retry", json={"pages": [1]})
            assert answer.status_code == 202
            told = len(follower.pages())
            while not follower.connect():
                pass
            assert follower.pages()[told:] == [(1, 2)]
        check(follower)


def test_a_stream_over_http2_and_its_heads(tmp_path: Path) -> None:
    with running(tmp_path, script=Script()) as services:
        job_id = services.upload(pdf(tmp_path / "three.pdf", 3))
        with Follower(services.url, job_id, http2=True) as follower:
            while not follower.connect():
                pass
        check_story(follower, 3)
        head = services.client.head(f"{services.url}/api/jobs/{job_id}/events")
        assert head.status_code == 200
        assert head.headers["X-Accel-Buffering"] == "no"
        assert head.headers["Cache-Control"] == "no-store"
        assert services.get("/api/jobs/0/events").status_code == 404


def test_a_deleted_job_says_so_and_a_cancelled_one_too(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=600)) as services:
        for end, name in ((httpx.delete, "deleted"), (httpx.post, "cancelled")):
            job_id = services.upload(pdf(tmp_path / "one.pdf", 1))
            with Follower(services.url, job_id) as follower:
                assert not follower.connect(1)
                watching = threading.Thread(target=follower.connect)
                watching.start()
                services.until(lambda f=follower: len(f.statuses) == 2, "the stream to begin")
                end(f"{services.url}/api/jobs/{job_id}{'/cancel' if name == 'cancelled' else ''}")
                watching.join(60)
                assert follower.events[-1].name == "done"
                assert follower.events[-1].data["status"] == name


def test_a_service_that_is_told_to_stop_ends_its_streams_and_waits_at_once(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=600)) as services:
        job_id = services.upload(pdf(tmp_path / "one.pdf", 1))
        address = f"{services.url}/api/jobs/{job_id}"
        services.until(lambda: is_being_read(services, job_id), "the page to be read")
        with Follower(services.url, job_id) as follower:
            assert not follower.connect(1)
            watching = threading.Thread(target=follower.connect)
            watching.start()
            answers: list[httpx.Response] = []
            tag = services.get(f"/api/jobs/{job_id}/status").headers["ETag"]

            def wait() -> None:
                answers.append(httpx.get(f"{address}/status?wait=60", headers={"If-None-Match": tag}, timeout=90))

            waiting = threading.Thread(target=wait)
            waiting.start()
            services.until(lambda: watchers(services) == 2, "the stream and the wait to begin")
            assert services.kill("web", signal.SIGTERM) == 0
            watching.join(60)
            waiting.join(60)
            assert "done" not in {event.name for event in follower.events}
            assert [answer.status_code for answer in answers] == [304]


def test_a_status_waits_for_a_change_and_answers_as_unchanged_when_none_comes(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=600)) as services:
        job_id = services.upload(pdf(tmp_path / "one.pdf", 1))
        services.until(lambda: is_being_read(services, job_id), "the page to be read")
        address = f"{services.url}/api/jobs/{job_id}"
        tag = services.get(f"/api/jobs/{job_id}/status").headers["ETag"]
        assert services.get(f"/api/jobs/{job_id}/status?wait=60").status_code == 200, "there is nothing to wait for"
        answer = services.get(f"/api/jobs/{job_id}/status?wait=1", **{"If-None-Match": tag})
        assert (answer.status_code, answer.headers["ETag"], answer.content) == (304, tag, b"")
        answers: list[httpx.Response] = []

        def wait() -> None:
            answers.append(httpx.get(f"{address}/status?wait=60", headers={"If-None-Match": tag}, timeout=90))

        waiting = threading.Thread(target=wait)
        waiting.start()
        services.until(lambda: watchers(services) == 1, "the wait to begin")
        httpx.post(f"{address}/cancel")
        waiting.join(60)
        assert answers[0].status_code == 200
        assert answers[0].headers["ETag"] != tag
        assert answers[0].json()["status"] == "cancelled"
        for seconds in ("61", "-1", "x", "1.5", "", "9" * 5000):
            assert services.get(f"/api/jobs/{job_id}/status?wait={seconds}").status_code == 422
        for known in (tag, '"x"'):
            assert services.get(f"/api/jobs/{'0' * 32}/status?wait=1", **{"If-None-Match": known}).status_code == 404


def test_what_one_user_watches_at_a_time_is_limited(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=600), WATCHERS_PER_USER="1") as services:
        job_id = services.upload(pdf(tmp_path / "one.pdf", 1))
        with services.client.stream("GET", f"{services.url}/api/jobs/{job_id}/events") as first:
            arriving = events_of(first.iter_lines())
            assert next(arriving).name == "job"
            refused = httpx.get(f"{services.url}/api/jobs/{job_id}/events")
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
            assert refused.json()["hint"]
        services.until(lambda: is_open(services, job_id), "the place to be free again")


def is_being_read(services: Running, job_id: str) -> bool:
    pages = services.status(job_id)["pages"]
    return "1" in pages and pages["1"]["status"] == "processing"


def watchers(services: Running) -> int:
    """How many clients watch a job."""
    found = re.search(r"^gnosis_watchers (\d+)", services.get("/metrics").text, re.MULTILINE)
    return int(found[1]) if found else -1


def is_open(services: Running, job_id: str) -> bool:
    with services.client.stream("GET", f"{services.url}/api/jobs/{job_id}/events") as answer:
        return answer.status_code == 200


@pytest.fixture
async def keyed() -> AsyncIterator[tuple[ClientInProcess, MemoryStore]]:
    store = MemoryStore()
    config = WebConfig(running_in_cloud=True, api_keys=True)
    async with outward_client() as outward:
        yield configured(config, store, outward), store


async def test_a_stream_ends_when_the_key_of_its_reader_is_taken_back(
    keyed: tuple[ClientInProcess, MemoryStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, store = keyed
    key, text = apikey.issue(email=INTAKE.user_email, scopes=(Scope.READ,), at=await store.now(), days=1)
    await keyring.save_new(store, key)
    files = await create_session(store, INTAKE.user_email)
    asked = msgspec.structs.replace(INTAKE, session_id=files.session_id)
    await store.write(files.intake_path, intakes.encode(asked))
    await create(files, Job.opened(asked))
    monkeypatch.setattr(keyring, "CACHE_SECONDS", 0.0)
    monkeypatch.setattr(events, "CHECK_SECONDS", 0.01)

    async def watch() -> httpx.Response:
        return await client.get(f"/api/jobs/{files.session_id}/events", headers={"X-Api-Key": text})

    watching = asyncio.create_task(watch())
    await until(lambda: client.web.feeds.watchers)
    await keyring.revoke(store, key.id)
    answer = await watching
    assert answer.status_code == 200
    assert "event: job" in answer.text
    assert "event: done" not in answer.text
    assert (await watch()).status_code == 401

"""The image of a page: as it is, smaller, and the answers where there is none."""

import asyncio
import io

import httpx
import numpy as np
import pytest
from PIL import Image

from libs.jobstate import intake as intakes
from libs.jobstate import record
from libs.jobstate.job import Job
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from libs.storage.store import Stored
from services.web.jobs.image import MAX_WIDTH, MIN_WIDTH
from services.web.render.png import encode_png
from tests.inprocess import ClientInProcess
from tests.jobs import INTAKE, START, opened, planned, read
from tests.unit.web.jobs.conftest import Serve

OWNER = {"X-User-Email": INTAKE.user_email}
#: Of page 1: grey, 300 wide and 200 high, black on the left and white on the right.
GREY = np.repeat(np.repeat(np.array([[0, 255]], np.uint8), 200, axis=0), 150, axis=1)
#: Of page 2: 2000 wide and 500 high, red.
RED = np.full((500, 2000, 3), (200, 10, 10), np.uint8)


class CrowdedStore(MemoryStore):
    """Lets others go on while it reads, and counts how many page images are read at the same time."""

    at_once = 0
    most = 0

    async def read(self, path: str) -> Stored:
        is_image = path.endswith(".png")
        self.at_once += is_image
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        try:
            return await super().read(path)
        finally:
            self.at_once -= is_image


async def stored(store: MemoryStore, job: Job) -> SessionFiles:
    """The job with the images of pages 1 and 2."""
    files = SessionFiles(store=store, user_hash=job.user_hash, session_id=job.session_id)
    await store.write(files.intake_path, intakes.encode(INTAKE))
    await store.write(files.record_path, record.encode(job))
    await files.save_page_image(1, encode_png(GREY))
    await files.save_page_image(2, encode_png(RED))
    return files


class Images:
    """The images of one job, as its owner asks for them."""

    def __init__(self, client: ClientInProcess, store: CrowdedStore, files: SessionFiles) -> None:
        self.client = client
        self.store = store
        self.files = files

    async def get(self, page: object, query: str = "", status: int = 200, **headers: str) -> httpx.Response:
        return await self.ask("GET", page, query, status, **headers)

    async def ask(self, method: str, page: object, query: str, status: int, **headers: str) -> httpx.Response:
        address = f"/api/jobs/{self.files.session_id}/pages/{page}/image{query}"
        answer = await self.client.request(method, address, headers={**OWNER, **headers})
        assert answer.status_code == status, answer.text
        return answer


@pytest.fixture
async def images(serve: Serve) -> Images:
    store = CrowdedStore()
    job = planned(4).settled({4: read(failed=True)}, START)
    return Images(serve(store), store, await stored(store, job))


def opened_image(answer: httpx.Response) -> Image.Image:
    return Image.open(io.BytesIO(answer.content))


async def test_the_image_comes_as_it_is_stored(images: Images) -> None:
    answer = await images.get(1)
    assert answer.content == encode_png(GREY)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "private, max-age=86400"
    head = await images.ask("HEAD", 1, "", 200)
    assert head.content == b""
    assert {**head.headers} == {**answer.headers}


async def test_the_image_as_it_is_is_never_whole_in_memory(images: Images) -> None:
    answers = await asyncio.gather(*(images.get(1) for _ in range(10)))
    assert {answer.content for answer in answers} == {encode_png(GREY)}
    assert images.store.most == 0


@pytest.mark.parametrize(
    ("page", "width", "size"),
    [
        (1, MIN_WIDTH, (64, 43)),
        (1, 160, (160, 107)),
        (1, 300, (300, 200)),
        (1, MAX_WIDTH, (300, 200)),
        (2, 1000, (1000, 250)),
        (2, MAX_WIDTH, (1600, 400)),
    ],
)
async def test_a_thumbnail_is_as_wide_as_asked_and_never_wider_than_the_image(
    images: Images, page: int, width: int, size: tuple[int, int]
) -> None:
    answer = await images.get(page, f"?width={width}")
    assert answer.headers["content-type"] == "image/webp"
    image = opened_image(answer)
    assert (image.format, image.size) == ("WEBP", size)


async def test_a_thumbnail_shows_what_the_image_shows(images: Images) -> None:
    grey = np.asarray(opened_image(await images.get(1, "?width=100")).convert("L"))
    assert grey[:, :45].max() < 20
    assert grey[:, 55:].min() > 235
    red = np.asarray(opened_image(await images.get(2, "?width=100")).convert("RGB"))
    assert np.abs(red.astype(int) - (200, 10, 10)).max() < 20


async def test_a_client_that_has_the_image_gets_it_no_second_time(images: Images) -> None:
    etags = {query: (await images.get(1, query)).headers["etag"] for query in ("", "?width=64", "?width=65")}
    assert len(set(etags.values())) == 3
    for query, etag in etags.items():
        again = await images.get(1, query, 304, **{"If-None-Match": etag})
        assert (again.content, again.headers["etag"]) == (b"", etag)
    await images.get(1, "?width=64", 200, **{"If-None-Match": etags[""]})
    head = await images.ask("HEAD", 1, "?width=64", 200)
    assert (head.headers["etag"], head.headers["content-type"]) == (etags["?width=64"], "image/webp")
    assert "content-length" not in head.headers


@pytest.mark.parametrize(
    "width", ["", "0", "63", "1601", "-160", "160.5", "1e3", "0x80", " 160", "\u00b2", "9" * 5000, "wide"]
)
async def test_another_width_is_refused_before_anything_is_read(images: Images, width: str) -> None:
    answer = await images.get(1, f"?width={width}", status=422)
    assert answer.json()["title"] == "Bad width"
    assert images.store.most == 0


async def test_a_page_without_image_says_whether_it_will_have_one(images: Images) -> None:
    for query in ("", "?width=160"):
        waiting = (await images.get(3, query, status=409)).json()
        assert (waiting["title"], waiting["job_status"]) == ("Not done", "extracting")
        failed = (await images.get(4, query, status=409)).json()
        assert (failed["title"], failed["detail"], failed["page_status"]) == ("No image", "It is torn.", "failed")


async def test_a_document_that_is_not_open_yet_has_no_pages(images: Images) -> None:
    await images.store.write(images.files.record_path, record.encode(opened()))
    assert (await images.get(1, status=409)).json()["detail"] == "The document has not been opened yet."


async def test_what_is_not_the_users_page_is_not_there(images: Images) -> None:
    for page in (0, 5, "x", "9" * 30):
        assert (await images.get(page, status=404)).json()["title"] == "Page not found"
    unknown = await images.get(1, "", 404, **{"X-User-Email": "other@example.org"})
    assert unknown.json()["title"] == "Job not found"


async def test_an_image_that_no_render_child_wrote_is_not_decoded(images: Images) -> None:
    path = images.files.page_image_path(3)
    foreign = io.BytesIO()
    Image.fromarray(GREY).save(foreign, "PNG")
    await images.store.write(path, foreign.getvalue())
    assert (await images.get(3, "?width=64", status=409)).json()["title"] == "Image damaged"
    assert (await images.get(3)).content == foreign.getvalue()


async def test_an_image_of_more_pixels_than_allowed_is_not_decoded(serve: Serve) -> None:
    store = CrowdedStore()
    images = Images(serve(store, max_pixels=300 * 200), store, await stored(store, planned(2)))
    await images.get(1, "?width=64")
    await images.get(2, "?width=64", status=409)


async def test_a_grid_of_many_pages_makes_two_at_a_time(images: Images) -> None:
    answers = await asyncio.gather(*(images.get(1 + n % 2, f"?width={64 + n // 2}") for n in range(60)))
    assert len({answer.headers["etag"] for answer in answers}) == 60
    assert images.store.most == 2

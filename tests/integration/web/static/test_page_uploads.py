"""Large files that the web page uploads in pieces, to the service and to a bucket, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from libs.storage.layout import user_hash
from tests.cloudmode.cloud import Cloud, cloud
from tests.documents import large_pdf
from tests.emulators.gcs.faults import Fault
from tests.emulators.gcs.uploads import Session
from tests.running import Running, running
from tests.scripted import Script
from tests.visiting import Visit, visiting


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("page"), script=Script()) as found:
        yield found


@pytest.mark.slow
def test_a_large_upload_goes_on_after_web_was_killed(visit: Visit, services: Running, tmp_path: Path) -> None:
    path = large_pdf(tmp_path / "large.pdf")
    page = visit.home()
    slow_down(visit)
    visit.choose(path)
    services.until(lambda: len(parts(visit)) >= 3, "three parts")
    services.kill("web")
    kept = parts(visit)
    try:
        expect(page.locator(".upload-note")).to_have_text("Connection lost. Trying again…")
    finally:
        services.start("web")
    assert_arrived(visit, path, visit.opened())
    assert kept, "the kill came too late to test anything"
    assert begun(visit) == 1, "the upload began anew"


def test_a_large_upload_goes_on_when_its_file_is_chosen_again_after_a_reload(visit: Visit, tmp_path: Path) -> None:
    path = large_pdf(tmp_path / "large.pdf")
    page = visit.home()
    slow_down(visit)
    visit.choose(path)
    visit.services.until(lambda: len(parts(visit)) >= 3, "three parts")
    page.reload()
    kept = parts(visit)
    visit.choose(path)
    assert_arrived(visit, path, visit.opened())
    assert kept, "the reload came too late to test anything"
    assert begun(visit) == 1, "the upload began anew"


def test_a_large_upload_that_is_stopped_leaves_nothing(visit: Visit, tmp_path: Path) -> None:
    page = visit.home()
    slow_down(visit)
    visit.choose(large_pdf(tmp_path / "large.pdf"))
    visit.services.until(lambda: parts(visit), "a part")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".upload")).to_have_count(0)
    folder = visit.services.storage / "active" / user_hash(visit.user)
    visit.services.until(lambda: not folder.exists() and not parts(visit), "the upload to be gone")


def slow_down(visit: Visit) -> None:
    """20 MB/s, so that something can happen meanwhile."""
    session = visit.page.context.new_cdp_session(visit.page)
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 20_000_000}
    session.send("Network.emulateNetworkConditions", conditions)


def parts(visit: Visit) -> list[Path]:
    return list(visit.services.storage.glob(f"users/{user_hash(visit.user)}/*/parts/*"))


def begun(visit: Visit) -> int:
    return sum(url.endswith("/api/uploads") for url in visit.asked)


def assert_arrived(visit: Visit, path: Path, job_id: str) -> None:
    visit.services.until(lambda: visit.services.status(job_id, user=visit.user)["status"] == "completed", "the job")
    (stored,) = visit.services.storage.glob(f"users/*/{job_id}/{path.name}")
    assert stored.read_bytes() == path.read_bytes()


@pytest.fixture(scope="module")
def in_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud(tmp_path_factory.mktemp("cloud")) as found:
        yield found


@pytest.fixture
def cloud_visit(browser: Browser, in_cloud: Cloud) -> Iterator[Visit]:
    yield from visiting(browser, in_cloud, "", bucket=in_cloud.bucket.url)
    in_cloud.bucket.service.shares = True
    in_cloud.bucket.faults.forget()
    in_cloud.bucket.service.calls.clear()


@pytest.mark.slow
def test_a_large_file_goes_to_the_bucket_itself_through_lost_connections(
    cloud_visit: Visit, in_cloud: Cloud, tmp_path: Path
) -> None:
    path = large_pdf(tmp_path / "large.pdf")
    cloud_visit.home()
    for fault in (Fault.RESET, Fault.LOST):
        in_cloud.bucket.faults.order(fault, method="PUT", text="upload_id")
    cloud_visit.choose(path)
    assert_in_bucket(in_cloud, path, cloud_visit.opened())
    assert in_cloud.bucket.faults.waiting == 0
    assert ways(cloud_visit) == ["/api/direct-uploads"]


@pytest.mark.slow
def test_a_large_file_goes_on_to_the_bucket_after_a_reload(cloud_visit: Visit, in_cloud: Cloud, tmp_path: Path) -> None:
    path = large_pdf(tmp_path / "large.pdf")
    page = cloud_visit.home()
    slow_down(cloud_visit)
    cloud_visit.choose(path)
    until_sent(page, in_cloud)
    page.reload()
    cloud_visit.choose(path)
    assert_in_bucket(in_cloud, path, cloud_visit.opened())
    assert ways(cloud_visit) == ["/api/direct-uploads"], "the upload began anew"


@pytest.mark.slow
def test_a_large_file_takes_the_other_way_when_the_bucket_refuses_the_page(
    cloud_visit: Visit, in_cloud: Cloud, tmp_path: Path
) -> None:
    in_cloud.bucket.service.shares = False
    path = large_pdf(tmp_path / "large.pdf")
    cloud_visit.home()
    cloud_visit.choose(path)
    assert_in_bucket(in_cloud, path, cloud_visit.opened())
    assert ways(cloud_visit) == ["/api/direct-uploads", "/api/uploads"]
    assert open_sessions(in_cloud) == [], "what was begun first was not given up"
    refusals = [fault for fault in cloud_visit.faults if "CORS policy" in fault]
    assert refusals
    cloud_visit.faults.clear()


@pytest.mark.slow
def test_a_large_file_on_its_way_to_the_bucket_can_be_stopped(
    cloud_visit: Visit, in_cloud: Cloud, tmp_path: Path
) -> None:
    page = cloud_visit.home()
    slow_down(cloud_visit)
    cloud_visit.choose(large_pdf(tmp_path / "large.pdf"))
    until_sent(page, in_cloud)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".upload")).to_have_count(0)
    while open_sessions(in_cloud):
        page.wait_for_timeout(50)
    assert page.evaluate("sessionStorage.length") == 0


def until_sent(page: Page, services: Cloud) -> None:
    """Wait for a piece of the file, and let the browser's requests through meanwhile."""
    while not any(session.content.size for session in open_sessions(services)):
        page.wait_for_timeout(50)


def ways(visit: Visit) -> list[str]:
    """How uploads were begun."""
    addresses = [url.removeprefix(visit.services.url) for url in visit.asked]
    return [address for address in addresses if address in ("/upload", "/api/uploads", "/api/direct-uploads")]


def open_sessions(services: Cloud) -> list[Session]:
    """The uploads from browsers that the bucket still takes bytes for."""
    return [s for s in list(services.bucket.service.sessions.values()) if s.is_open and s.length is not None]


def assert_in_bucket(services: Cloud, path: Path, job_id: str) -> None:
    address = f"/storage/{services.status(job_id)['user_hash']}/{job_id}/{path.name}"
    assert services.get(address).content == path.read_bytes()

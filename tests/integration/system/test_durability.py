"""Every page is accounted for when processes die."""

import signal
from pathlib import Path

import pytest

from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script


def page_statuses(services: Running, job_id: str) -> list[str]:
    return [page["status"] for page in services.status(job_id)["pages"].values()]


def test_job_goes_on_after_the_worker_is_killed_and_no_page_with_a_result_is_read_again(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=0.3)) as services:
        job_id = services.upload(pdf(tmp_path / "eight.pdf", 8))
        services.until(lambda: len(page_results(services, job_id)) >= 2, "two results")
        services.kill("worker")
        kept = page_results(services, job_id)
        services.start("worker")
        job = services.ended(job_id)
        assert job["status"] == "completed"
        counts = services.read_counts()
        assert set(counts) == set(range(1, 9))
        assert {counts[page_no] for page_no in kept} == {1}, "a page with a result was read again"
        assert sum(counts.values()) <= 10, "only the page in hand and the one being saved may be read twice"


def page_results(services: Running, job_id: str) -> set[int]:
    return {int(path.name.split("_")[1]) for path in services.storage.glob(f"users/*/{job_id}/page_*_result.json")}


@pytest.mark.slow
def test_job_goes_on_after_web_is_killed_in_mid_extraction(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(), LOG_LEVEL="WARNING") as services:
        job_id = services.upload(pdf(tmp_path / "many.pdf", 120))
        services.until(lambda: images(services, job_id) >= 5, "five page images")
        services.kill("web")
        rendered = images(services, job_id)
        assert rendered < 120, "the kill came too late to test anything"
        services.start("web")
        job = services.ended(job_id)
        assert job["status"] == "completed"
        assert services.read_counts() == dict.fromkeys(range(1, 121), 1)


def images(services: Running, job_id: str) -> int:
    return len(list(services.storage.glob(f"users/*/{job_id}/page_*.png")))


@pytest.mark.slow
def test_worker_told_to_stop_gives_its_batch_back_so_that_nobody_waits_for_the_lease(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=0.3), LEASE_SECONDS="300") as services:
        job_id = services.upload(pdf(tmp_path / "nine.pdf", 9))
        services.until(lambda: page_results(services, job_id), "a result")
        assert services.kill("worker", signal.SIGTERM) == 0
        services.start("worker")
        assert services.ended(job_id)["status"] == "completed"
        assert set(services.read_counts().values()) == {1}


@pytest.mark.slow
def test_page_that_kills_the_engine_every_time_fails_alone(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(crash=(2,)), LEASE_SECONDS="1", FALLBACK_ENGINE="none") as services:
        job_id = services.upload(pdf(tmp_path / "three.pdf", 3))
        while services.status(job_id)["status"] not in ("partial", "completed", "failed"):
            services.until(lambda: died_or_ended(services, job_id), "the worker to die or the job to end")
            if services.status(job_id)["status"] != "partial":
                services.wait_exit("worker")
                services.start("worker")
        job = services.status(job_id)
        assert job["status"] == "partial"
        assert [job["pages"][n]["status"] for n in "123"] == ["completed", "failed", "completed"]
        assert "broke down" in job["pages"]["2"]["error"]
        # Page 1 may have been on its way to the disk when the engine died on page 2.
        assert services.read_counts()[1] <= 2
        assert services.read_counts()[3] == 1


def died_or_ended(services: Running, job_id: str) -> bool:
    dead = not Path(f"/proc/{services.pid('worker')}").exists() or zombie(services.pid("worker"))
    return dead or services.status(job_id)["status"] == "partial"


def zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_engine_that_hangs_ends_its_process_and_the_other_pages_are_read(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(hang=(2,)), PAGE_SECONDS="1", LEASE_SECONDS="2") as services:
        job_id = services.upload(pdf(tmp_path / "two.pdf", 2))
        assert services.wait_exit("worker") == 70
        services.start("worker", SCRIPT='{"journal": ""}')
        assert services.ended(job_id)["status"] == "completed"

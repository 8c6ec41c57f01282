"""The whole service with the model as its engine: a small one, in a cache laid out as the hub's."""

import json
from pathlib import Path

import pytest

from tests.documents import pdf
from tests.integration.system.test_metrics import samples
from tests.running import Running
from tests.tinymodel import REPOSITORY, make_model

SETTINGS = {
    "OCR_ENGINE": "nanonets",
    "OCR_THREADS": "1",
    "OCR_SLOTS": "4",
    "MODEL_OFFLINE": "true",
    "MODEL_REVISION": "main",
    "MODEL_MIN_PIXELS": "784",
    "MODEL_MAX_PIXELS": str(60 * 784),
    "MODEL_MAX_TOKENS": "400",
    "FALLBACK_ENGINE": "none",
}


@pytest.mark.parametrize("decoder", ["fast", "reference"])
def test_a_document_is_read_by_the_model_from_upload_to_combined_result(tmp_path: Path, decoder: str) -> None:
    snapshot = make_model(tmp_path / "huggingface" / "hub", stops=12)
    environ = SETTINGS | {"HF_CACHE_HOST_PATH": str(tmp_path / "huggingface"), "OCR_DECODER": decoder}
    services = Running(tmp_path, script=None, environ=environ)
    try:
        services.start("web")
        services.start("worker")
        services.wait_ready()
        job_id = services.upload(pdf(tmp_path / "letters.pdf", 7), ocr="force")
        job = services.ended(job_id)
        result = services.get(f"/api/jobs/{job_id}/result").text
        pages = [
            services.get(f"/api/jobs/{job_id}/pages/{number}", Accept="application/json").json()
            for number, page in job["pages"].items()
            if page["status"] == "completed"
        ]
        cache = services.get("/cache/info").json()
        worker = f"http://127.0.0.1:{services.worker_port}"
        health = services.client.get(f"{worker}/health").json()
        left = json.loads((services.storage / "system" / "worker.json").read_bytes())
        counted = samples(worker)
    finally:
        services.stop()
    # Random weights: some pages may loop to their end, and then have to say so.
    assert job["status"] in ("completed", "partial")
    assert [f"<!-- page {number}" in result for number in range(1, 8)] == [True] * 7
    assert pages, json.dumps(job["pages"])
    assert {(page["engine"], page["revision"]) for page in pages} == {("nanonets", f"{REPOSITORY}@{snapshot.name}")}
    assert all(page["text"] and page["tries"] and page["tokens"] for page in pages)
    kernel = {"fast": "sdpa", "reference": "generate"}[decoder]
    assert health["execution"] == left["execution"] == {"kernel": kernel, "graphs": 0, "fallback": None}
    assert counted["gnosis_engine_kernel", ("nanonets", kernel)] == 1
    assert counted["gnosis_engine_graphs", ("nanonets",)] == counted["gnosis_engine_fell_back", ("nanonets",)] == 0
    assert (cache["complete"], cache["offline"], cache["model"]) == (True, True, REPOSITORY)

"""The program that counts a request's moves between modules."""

import asyncio
import importlib
from pathlib import Path

import pytest

from bench.hops import Hops, Tracer, measure

INNER = """
import asyncio

async def wait():
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return own()

def own():
    return 1
"""
OUTER = """
from hopping import inner

async def run():
    return inner.own() + await inner.wait()
"""


async def test_a_call_into_another_module_and_its_return_are_two_moves_and_a_resumption_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "hopping"
    package.mkdir()
    (package / "inner.py").write_text(INNER)
    (package / "outer.py").write_text(OUTER)
    monkeypatch.syspath_prepend(tmp_path)
    outer = importlib.import_module("hopping.outer")
    tracer, hops = Tracer(tmp_path, ("hopping",)), dict[str, Hops]()
    with tracer.installed(), tracer.counting(hops, "run"):
        await asyncio.create_task(outer.run())
    counted = hops["run"]
    assert counted.modules == ["hopping.inner", "hopping.outer"]
    assert counted.calls == {"": {"hopping.outer": 1}, "hopping.outer": {"hopping.inner": 2}}
    assert counted.moves == 6
    # Outer, inner, and twice again both as the task resumes: `own` and `wait` follow each other in one module.
    assert counted.switches == 6


async def test_each_request_is_followed_through_its_own_service() -> None:
    hops = await measure(pages=1)
    assert list(hops) == ["upload", "extract", "batch", "status"]
    for request, service in (("upload", "web"), ("extract", "web"), ("batch", "worker"), ("status", "web")):
        services = {module.split(".")[1] for module in hops[request].modules if module.startswith("services.")}
        assert services == {"serving", service}, request
        assert any(module.startswith("libs.") for module in hops[request].modules), request

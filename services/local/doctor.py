"""`doctor`: says what an installation can do and what it lacks."""

import asyncio
import importlib.metadata
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from gnosis_ocr import AsyncClient
from services.local import processes
from services.local.config import LocalConfig
from services.local.exit import DONE, FAILED
from services.local.ledger import state_folder
from services.serving import sandbox

# Parts of an installation, as pyproject.toml names them; without the first three nothing can be read.
_NEEDED, _OPTIONAL = ("web", "worker", "cpu"), ("gpu", "gcp")
# Free bytes below which a line warns: what DISK_RESERVE_BYTES keeps free of uploads by default, and as much again.
_LOW_DISK_BYTES = 2 * 536_870_912


class State(StrEnum):
    """What a finding means."""

    #: As it should be.
    OK = "ok"
    #: Works without it, or less well.
    NOTE = "note"
    #: Nothing can be read before this is mended.
    FAULT = "fault"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    subject: str
    state: State
    #: A sentence; of a fault with what to do.
    detail: str


async def examine(config: LocalConfig, environ: Mapping[str, str], *, as_json: bool) -> int:
    """Print the findings on standard output; the exit code: 1 where documents cannot be read here."""
    findings = [
        Finding(subject="version", state=State.OK, detail=_version()),
        *_packages(),
        await _engine(),
        *_walls(),
        *_disks(config, environ),
        await _running(config),
    ]
    if as_json:
        print(msgspec.json.encode(findings).decode())
    else:
        for finding in findings:
            print(f"{finding.state:<5}  {finding.subject:<12}  {finding.detail}")
    return FAILED if any(finding.state is State.FAULT for finding in findings) else DONE


def _version() -> str:
    return f"Gnosis OCR {importlib.metadata.version('gnosis-ocr')}, Python {platform.python_version()} ({sys.platform})"


def _packages() -> list[Finding]:
    found = []
    for extra in (*_NEEDED, *_OPTIONAL):
        if lacking := _lacking(extra):
            state = State.FAULT if extra in _NEEDED else State.NOTE
            detail = f"{', '.join(lacking)} not installed. pip install 'gnosis-ocr[{extra}]' brings it."
        else:
            state, detail = State.OK, "installed"
        found.append(Finding(subject=f"[{extra}]", state=state, detail=detail))
    return found


def _lacking(extra: str) -> list[str]:
    """The packages of the extra that are not installed."""
    lacking = []
    for line in importlib.metadata.requires("gnosis-ocr") or ():
        requirement, _, marker = line.partition(";")
        if re.search(rf"extra == ['\"]{extra}['\"]", marker):
            name = re.split(r"[^A-Za-z0-9._-]", requirement.strip())[0]
            try:
                importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                lacking.append(name)
    return lacking


async def _engine() -> Finding:
    """Asked in a process of its own, as the worker is one: what its engines import stays there."""
    asked = await asyncio.create_subprocess_exec(
        *processes.module("services.worker.installed"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asked.communicate()
    if asked.returncode != 0:
        last = errors.decode(errors="replace").strip().splitlines()[-1:]
        return Finding(subject="engine", state=State.FAULT, detail=" ".join(last) or "The worker does not start.")
    answer = msgspec.json.decode(output)
    engines = ", ".join(answer["engines"])
    if answer["fault"]:
        return Finding(subject="engine", state=State.FAULT, detail=answer["fault"])
    return Finding(subject="engine", state=State.OK, detail=f"{answer['chosen']} reads; OCR_ENGINE takes {engines}")


def _walls() -> list[Finding]:
    return [
        Finding(
            subject=wall,
            state=State.OK if report == "ok" else State.NOTE,
            detail="stands around the processes that open documents" if report == "ok" else report,
        )
        for wall, report in sandbox.report().items()
    ]


def _disks(config: LocalConfig, environ: Mapping[str, str]) -> list[Finding]:
    places = {
        "storage": Path(environ.get("STORAGE_PATH") or "./storage"),
        "interrupted": state_folder(config.gnosis_state, environ),
    }
    return [_disk(subject, folder) for subject, folder in places.items()]


def _disk(subject: str, folder: Path) -> Finding:
    place = folder.absolute()
    there = next(parent for parent in (place, *place.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    held = sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) if place.exists() else 0
    detail = f"{place}: {held / 1e6:.0f} MB, {free / 1e9:.1f} GB free"
    if free < _LOW_DISK_BYTES:
        return Finding(
            subject=subject, state=State.NOTE, detail=f"{detail}. Free some: uploads are refused on a full disk."
        )
    return Finding(subject=subject, state=State.OK, detail=detail)


async def _running(config: LocalConfig) -> Finding:
    async with AsyncClient(config.base_url, patience=0.0) as client:
        runs = await client.is_gnosis()
    detail = f"{'answers' if runs else 'does not run'} at {config.base_url}"
    return Finding(subject="service", state=State.OK if runs or not config.gnosis_url else State.NOTE, detail=detail)

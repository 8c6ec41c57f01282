"""A page reader with Tesseract, through its command line program.

A second engine where it is installed, and the reference that `bench.accuracy` compares the default engine with.
"""

import csv
import os
import re
import shutil
import subprocess
import time
from collections import defaultdict

import msgspec
import numpy as np

from libs.page.block import Line, Word
from services.worker.engines.engine import EngineInfo, EngineUnavailable
from services.worker.engines.lines import legibility
from services.worker.engines.lines.languages import scripts_of_codes, tesseract_codes
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose
from services.worker.engines.lines.skew import skew_by_profile
from services.worker.engines.picture import PictureError, Pixels, encode

_PROGRAM = "tesseract"
# Mean confidence (0 to 1) from which a page counts as upright. Higher values cost good pages up to three more runs.
_UPRIGHT = 0.75
# Confidence (0 to 1) of a line that it could read. Lower than RapidOCR's: it is the mean of rough figures by words.
_MIN_LINE_CONFIDENCE = 0.5
# Degrees of skew from which the picture is straightened. Below it the interpolation costs more than it gains.
_MIN_SKEW = 0.3
# The level of a word in Tesseract's TSV.
_WORD = "5"
# Characters from which a line that is higher than wide counts as vertical text: short words may be higher than wide.
_MIN_VERTICAL_CHARACTERS = 4
# Seconds for all runs on a page. Chosen: below PAGE_SECONDS (120 on a CPU), after which the worker ends the process.
_PAGE_SECONDS = 100.0
# Seconds that a run gets at least.
_MIN_RUN_SECONDS = 0.1
_INSTALL = "install it (Debian: apt-get install tesseract-ocr), or set OCR_ENGINE=rapidocr"


# Names of Tesseract's scripts that are called otherwise here.
_SCRIPT_NAMES = {"Han": "Chinese", "HanS": "Chinese", "HanT": "Chinese", "Korean": "Hangul", "Katakana": "Japanese"}
# Seconds for the detection of a script, and the least confidence that Tesseract gives it. Chosen: with `_PAGE_SECONDS`
# below PAGE_SECONDS too.
_SCRIPT_SECONDS = 10.0
_MIN_SCRIPT_CONFIDENCE = 1.0
_SCRIPT = re.compile(r"^Script: (\w+)$.*^Script confidence: ([\d.]+)$", re.MULTILINE | re.DOTALL)


class TesseractReader:
    """Reads one page at a time. `languages` are Tesseract's codes joined by "+" ("eng", "deu+fra")."""

    def __init__(self, languages: str = "eng") -> None:
        self._languages = languages
        self._installed: frozenset[str] = frozenset()
        self._program = ""
        self._release = "not loaded"
        self._deadline = 0.0

    def load(self) -> None:
        """Find the program and its languages. Raises `EngineUnavailable` where either is missing."""
        self._deadline = time.monotonic() + _PAGE_SECONDS
        program = shutil.which(_PROGRAM)
        if program is None:
            raise EngineUnavailable(f"The program {_PROGRAM} is not on this machine; {_INSTALL}.")
        self._program = program
        try:
            self._release = self._run(["--version"], b"").decode("utf-8", "replace").split("\n")[0].strip()
        except PictureError as error:
            raise EngineUnavailable(f"The program {_PROGRAM} does not run here; {_INSTALL}.") from error
        self._installed = frozenset(tesseract_codes())
        missing = [code for code in self._languages.split("+") if code not in self._installed]
        if missing:
            raise EngineUnavailable(
                f"Tesseract has no data for {', '.join(missing)}; install it "
                f"(Debian: apt-get install tesseract-ocr-{missing[0]})."
            )

    def info(self, languages: tuple[str, ...] = ()) -> EngineInfo:
        """Name, release of the program with the languages that it reads, and device."""
        codes = "+".join(languages) or self._languages
        return EngineInfo(
            name="tesseract",
            revision=f"{self._release}/{codes}",
            device="cpu",
            scripts=scripts_of_codes(codes),
        )

    def read(self, pixels: Pixels, languages: tuple[str, ...] = ()) -> PageLines:
        """The lines of a page, after it is turned upright and straightened; in these languages, if any are named."""
        if missing := [code for code in languages if code not in self._installed]:
            raise PictureError(
                f"Tesseract has no data for the language {missing[0]} here; upload the document again without it, or "
                "choose another engine."
            )
        self._deadline = time.monotonic() + _PAGE_SECONDS
        page = self._read_upright(pixels, "+".join(languages) or self._languages)
        corners = np.array([line.box for line in page.lines], dtype=np.float64).reshape(-1, 4, 2)
        legible = legibility.judge_page(
            corners,
            page.lines,
            reads=self.info(languages).scripts,
            script=lambda: detect_script(page.pose.apply(pixels)),
            least=_MIN_LINE_CONFIDENCE,
            density=0.0,  # it joins the cells of a row to one line, which has few characters for its length
        )
        if not legible.flagged:
            return page
        return msgspec.structs.replace(
            page,
            lines=tuple(line for line, keep in zip(page.lines, legible.readable.tolist(), strict=True) if keep),
            left_out=legible.unreadable,
            script=legible.script,
        )

    def _read_upright(self, pixels: Pixels, codes: str) -> PageLines:
        page = self._read_at(pixels, 0, codes)
        best = _mean_confidence(page)
        if best >= _UPRIGHT:
            return page
        for rotation in self._other_turns(pixels):
            try:
                turned = self._read_at(pixels, rotation, codes)
            except PictureError:
                break  # out of time: the best reading so far counts
            if _mean_confidence(turned) > best:
                page, best = turned, _mean_confidence(turned)
            if best >= _UPRIGHT:
                break
        return page

    def _read_at(self, pixels: Pixels, rotation: int, codes: str) -> PageLines:
        height, width = pixels.shape[:2]
        pose = Pose(width=width, height=height, rotation=rotation)
        upright = pose.apply(pixels)
        skew = skew_by_profile(upright)
        if abs(skew) >= _MIN_SKEW:
            pose = Pose(width=width, height=height, rotation=rotation, skew=skew)
            upright = pose.apply(pixels)
        arguments = ["stdin", "stdout", "-l", codes, "--psm", "3", "tsv"]
        return PageLines(pose=pose, lines=tuple(_lines(self._run(arguments, encode(upright)).decode("utf-8"))))

    def _other_turns(self, pixels: Pixels) -> list[int]:
        """The turns worth trying, the likeliest first; none where Tesseract's orientation detection finds no turn.

        That needs enough text, and a data file of its own; without them all three are tried.
        """
        turns = [180, 90, 270]
        try:
            report = self._run(["stdin", "stdout", "--psm", "0"], encode(pixels)).decode("utf-8", "replace")
        except PictureError:
            return turns
        for row in report.splitlines():
            if row.startswith("Rotate:"):
                guess = int(row.split(":")[1])
                turns.sort(key=lambda turn: turn != guess)
                return turns if guess else []
        return turns

    def _run(self, arguments: list[str], image: bytes) -> bytes:
        if not self._program:
            raise RuntimeError("load() comes before read()")
        # One thread: with its own OpenMP threads Tesseract takes twice as long (measured on 2 cores).
        environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
        try:
            done = subprocess.run(
                [self._program, *arguments],
                input=image,
                capture_output=True,
                timeout=max(self._deadline - time.monotonic(), _MIN_RUN_SECONDS),
                env=environment,
                check=False,
            )
        except FileNotFoundError as error:
            raise EngineUnavailable(f"The program {_PROGRAM} has gone from this machine; {_INSTALL}.") from error
        except subprocess.TimeoutExpired as error:
            raise PictureError(
                f"Tesseract did not end this page within {_PAGE_SECONDS:.0f} seconds; try another engine."
            ) from error
        if done.returncode != 0:
            message = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
            raise PictureError(f"Tesseract could not read this page ({message}); try another engine.")
        return done.stdout


def detect_script(pixels: Pixels) -> str | None:
    """The script of an upright page by Tesseract's detection; None where that is not installed, or not sure."""
    program = shutil.which(_PROGRAM)
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "stdin", "stdout", "--psm", "0"],
            input=encode(pixels),
            capture_output=True,
            timeout=_SCRIPT_SECONDS,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
            check=False,
        )
    except (OSError, subprocess.SubprocessError):  # a jail, too, refuses to start it
        return None
    return script_in(done.stdout.decode("utf-8", "replace"))


def script_in(report: str) -> str | None:
    """The script that a report of Tesseract's orientation and script detection names with confidence."""
    found = _SCRIPT.search(report)
    if found is None or float(found[2]) < _MIN_SCRIPT_CONFIDENCE:
        return None
    return _SCRIPT_NAMES.get(found[1], found[1])


def _lines(tsv: str) -> list[Line]:
    """The lines of Tesseract's TSV: words that share block, paragraph and line number."""
    words: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for row in csv.DictReader(tsv.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        if row["level"] == _WORD and (row["text"] or "").strip():
            words[row["block_num"], row["par_num"], row["line_num"]].append(row)
    return [_line(line) for line in words.values()]


def _line(words: list[dict[str, str]]) -> Line:
    edges = np.array([[float(word[name]) for name in ("left", "top", "width", "height")] for word in words])
    left, top = edges[:, :2].min(axis=0).tolist()
    right, bottom = (edges[:, :2] + edges[:, 2:]).max(axis=0).tolist()
    confidence = float(np.mean([max(float(word["conf"]), 0.0) for word in words])) / 100
    return Line(
        text=" ".join(word["text"].strip() for word in words),
        box=((left, top), (right, top), (right, bottom), (left, bottom)),
        confidence=min(confidence, 1.0),
        words=tuple(map(_word, words)),
    )


def _word(word: dict[str, str]) -> Word:
    left, top, width, height = (float(word[name]) for name in ("left", "top", "width", "height"))
    return Word(
        text=word["text"].strip(),
        box=(left, top, left + width, top + height),
        confidence=min(max(float(word["conf"]), 0.0) / 100, 1.0),
    )


def _mean_confidence(page: PageLines) -> float:
    """Mean confidence over characters; vertical lines count as 0.0, since they show that the page lies on its side."""
    length = sum(len(line.text) for line in page.lines)
    sure = sum((line.confidence or 0.0) * len(line.text) for line in page.lines if not _is_vertical(line))
    return sure / length if length else 0.0


def _is_vertical(line: Line) -> bool:
    (left, top), _, (right, bottom), _ = line.box
    return len(line.text) >= _MIN_VERTICAL_CHARACTERS and bottom - top > right - left

"""Which parts the bench has, most wanted first, and what they share: a model, and the decoder over it."""

import asyncio
from collections.abc import Callable
from typing import Any

from bench.engine.machine import Machine
from bench.engine.parts import Figures, Part
from bench.engine.runs import Bench
from bench.engine.shapes import Scale
from services.worker.engines.qwen.slots import SlotDecoder


class Plan:
    """The parts. Those called `model` and `decoder` make what the ones after them need.

    The decoder rearranges the model's weights in place, and its slots keep their memory while `generate` runs for the
    comparisons: on a card that the slots fill, `--slots` leaves room for those.
    """

    def __init__(self, machine: Machine, shape: dict[str, Any], scale: Scale, *, slots: int, figures: Figures) -> None:
        self._machine = machine
        self._shape = shape
        self._scale = scale
        self._slots = slots
        self._figures = figures
        self._bench: Bench | None = None
        self._decoder: SlotDecoder | None = None

    def parts(self) -> list[Part]:
        """In order. What they need is estimated in seconds, for the full model on an H100."""
        figures = self._figures
        return [
            self._part("bandwidth", 5, self._machine.bandwidth),
            self._part("matrix_rate", 5, self._machine.matrix_rate),
            self._part("model", 20, self._make_model),
            self._part("decoder", 30, self._make_decoder, after="model"),
            self._part("decode", 30, lambda: self.bench.decode(self.decoder, figures["bandwidth"]), after="decoder"),
            self._part("page", 10, lambda: self.bench.page(self.decoder, figures["matrix_rate"]), after="decoder"),
            self._part("agreement", 15, lambda: self.bench.agreement(self.decoder), after="decoder"),
            self._part("fast", 60, lambda: self.bench.fast(self.decoder), after="decoder"),
            self._part("naive", 90, lambda: self._compared(self.bench.naive()), after="model"),
            self._part("batched", 150, lambda: self._compared(self.bench.batched()), after="model"),
            # Its thread keeps the decoder for good: no part after it may use that.
            self._part("served", 90, lambda: asyncio.run(self.bench.served(self.decoder)), after="decoder"),
            self._part("load_seconds", 60, lambda: self.bench.load_seconds(), after="model"),
            self._part("peak_bytes", 1, self._machine.peak_bytes),
        ]

    @property
    def bench(self) -> Bench:
        """For parts after `model`."""
        assert self._bench is not None
        return self._bench

    @property
    def decoder(self) -> SlotDecoder:
        """For parts after `decoder`."""
        assert self._decoder is not None
        return self._decoder

    def _part(self, name: str, seconds: float, run: Callable[[], Any], after: str | None = None) -> Part:
        def cleared() -> Any:
            # Within the part: on a GPU that an earlier one has broken this fails too.
            self._machine.clear()
            return run()

        return Part(name=name, seconds=seconds * self._scale.time, run=cleared, after=(after,) if after else ())

    def _make_model(self) -> dict[str, object]:
        self._bench = Bench(self._machine, self._shape, self._scale, self._slots)
        return {"parameters": self._bench.parameters, "dtype": str(self._machine.dtype).removeprefix("torch.")}

    def _make_decoder(self) -> dict[str, object]:
        self._decoder = self.bench.decoder()
        execution = self._decoder.execution
        return {
            "slots": self._decoder.slots,
            "capacity": self.bench.capacity,
            "kernel": execution.kernel,
            "graphs": execution.graphs,
            "fallback": execution.fallback,
        }

    def _compared(self, pages_per_second: float) -> dict[str, float | None]:
        """A comparison's rate, and how many times as fast the slots are; None where those were not measured."""
        fast = self._figures["fast"]
        times = fast["pages_per_second"] / pages_per_second if fast else None
        return {"pages_per_second": pages_per_second, "slots_are_times": times}

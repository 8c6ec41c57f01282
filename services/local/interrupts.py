"""Ctrl-C and its kin, as events."""

import asyncio
import signal


class Interrupts:
    """The first signal asks to `stop`, a second to stop `at_once`. Made inside a running event loop."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.at_once = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._note)

    def _note(self) -> None:
        (self.at_once if self.stop.is_set() else self.stop).set()

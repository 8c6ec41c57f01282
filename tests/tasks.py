"""A queue that delivers nothing."""

from libs.taskqueue.task import OcrTask


class KeptTasks:
    """A `TaskQueue` that keeps what it is given, and drops names that it knows."""

    def __init__(self) -> None:
        self.tasks: dict[str, OcrTask] = {}

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        self.tasks.setdefault(name, task)

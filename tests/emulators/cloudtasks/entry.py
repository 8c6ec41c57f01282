"""A task in a queue, and how an attempt at it ended."""

import msgspec
from google.cloud import tasks_v2


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended; `status` is None when there was no answer."""

    status: int | None
    reason: str = ""
    retry_after: float | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Moments are those of the emulator's clock; the counts are those of Cloud Tasks' headers and of `Task`."""

    id: str
    task: tasks_v2.Task  # as it was created, never changed
    order: int
    created: float
    due: float
    listening: int = 0  # attempts under way whose answer is awaited
    dispatches: int = 0
    responses: int = 0
    retries: int = 0
    executions: int = 0  # answers other than 5xx
    first_attempt: float | None = None
    last_attempt: float | None = None
    last_response: float | None = None
    previous: int | None = None
    reason: str = ""

    def dispatched(self, now: float) -> "Entry":
        """An attempt begins."""
        return msgspec.structs.replace(
            self,
            listening=self.listening + 1,
            dispatches=self.dispatches + 1,
            first_attempt=now if self.first_attempt is None else self.first_attempt,
            last_attempt=now,
        )

    def failed(self, answer: Answer, now: float) -> "Entry":
        """An attempt ended without success."""
        answered = answer.status is not None
        return msgspec.structs.replace(
            self,
            listening=self.listening - 1,
            responses=self.responses + answered,
            retries=self.retries + 1,
            executions=self.executions + (answer.status is not None and answer.status < 500),
            last_response=now if answered else self.last_response,
            previous=answer.status,
            reason=answer.reason,
        )

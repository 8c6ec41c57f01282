"""The gRPC interface `google.cloud.tasks.v2.CloudTasks`."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from google.cloud import tasks_v2
from google.protobuf import empty_pb2

from libs.taskqueue.clock import Clock
from libs.taskqueue.dedup import EndedNames
from libs.taskqueue.queue_settings import QueueSettings
from tests.emulators.cloudtasks import limits
from tests.emulators.cloudtasks.faults import Faults
from tests.emulators.cloudtasks.lane import Lane
from tests.emulators.cloudtasks.limits import Refused
from tests.emulators.cloudtasks.messages import queue_message, task_message
from tests.emulators.cloudtasks.push import Pusher

_QUEUE_NAME_SECONDS = 7 * 86400.0
_QUEUES_A_PAGE = 9800
_TASKS_A_PAGE = 1000

Request = TypeVar("Request")
Item = TypeVar("Item")


class Service:
    """Queues and tasks by their resource names."""

    def __init__(self, *, pusher: Pusher, clock: Clock, faults: Faults) -> None:
        self.lanes: dict[str, Lane] = {}
        self._pusher = pusher
        self._clock = clock
        self._faults = faults
        self._deleted = EndedNames(seconds=_QUEUE_NAME_SECONDS)

    def open_queue(self, name: str, settings: QueueSettings) -> Lane:
        """Begin a queue, whose name must be free."""
        _, id = limits.queue_parts(name)
        self.lanes[name] = Lane(id, settings, pusher=self._pusher, clock=self._clock, faults=self._faults)
        return self.lanes[name]

    def handler(self) -> Any:
        """What a gRPC server serves. A method that is not here is answered UNIMPLEMENTED."""
        methods: list[tuple[Callable[[Any], Awaitable[Any]], Any]] = [
            (self.list_queues, tasks_v2.ListQueuesRequest),
            (self.get_queue, tasks_v2.GetQueueRequest),
            (self.create_queue, tasks_v2.CreateQueueRequest),
            (self.update_queue, tasks_v2.UpdateQueueRequest),
            (self.delete_queue, tasks_v2.DeleteQueueRequest),
            (self.purge_queue, tasks_v2.PurgeQueueRequest),
            (self.pause_queue, tasks_v2.PauseQueueRequest),
            (self.resume_queue, tasks_v2.ResumeQueueRequest),
            (self.list_tasks, tasks_v2.ListTasksRequest),
            (self.get_task, tasks_v2.GetTaskRequest),
            (self.create_task, tasks_v2.CreateTaskRequest),
            (self.delete_task, tasks_v2.DeleteTaskRequest),
            (self.run_task, tasks_v2.RunTaskRequest),
        ]
        handlers = {
            request.__name__.removesuffix("Request"): grpc.unary_unary_rpc_method_handler(
                self._answering(method), request_deserializer=request.deserialize, response_serializer=_serialize
            )
            for method, request in methods
        }
        return grpc.method_handlers_generic_handler("google.cloud.tasks.v2.CloudTasks", handlers)

    async def list_queues(self, request: tasks_v2.ListQueuesRequest) -> tasks_v2.ListQueuesResponse:
        if request.filter:
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, "Filters are not emulated.")
        names = sorted(name for name in self.lanes if name.startswith(f"{request.parent}/queues/"))
        page, token = _page(names, request.page_size, request.page_token, most=_QUEUES_A_PAGE)
        queues = [queue_message(name, self.lanes[name], self._clock) for name in page]
        return tasks_v2.ListQueuesResponse(queues=queues, next_page_token=token)

    async def get_queue(self, request: tasks_v2.GetQueueRequest) -> tasks_v2.Queue:
        return self._told(request.name)

    async def create_queue(self, request: tasks_v2.CreateQueueRequest) -> tasks_v2.Queue:
        name = request.queue.name
        location, _ = limits.queue_parts(name)
        if location != request.parent:
            raise limits.invalid("The queue's name must begin with its parent.")
        if name in self.lanes:
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, "Queue already exists.")
        self._open(name, limits.settings_of(request.queue))
        return self._told(name)

    async def update_queue(self, request: tasks_v2.UpdateQueueRequest) -> tasks_v2.Queue:
        name = request.queue.name
        if name not in self.lanes:
            limits.queue_parts(name)
            self._open(name, limits.settings_of(request.queue))
            return self._told(name)
        lane = self.lanes[name]
        asked = tasks_v2.Queue.pb(request.queue)
        if paths := list(request.update_mask.paths):
            known = {"rate_limits", "retry_config"}
            if not {path.split(".")[0] for path in paths} <= known:
                raise limits.invalid(f"Only {', '.join(sorted(known))} can be updated here.")
            masked = tasks_v2.Queue.pb(tasks_v2.Queue())
            request.update_mask.MergeMessage(asked, masked)
            asked = masked
            lane.change(settings=limits.settings_of(tasks_v2.Queue.wrap(asked), lane.settings))
        else:
            lane.change(settings=limits.settings_of(request.queue))
        return self._told(name)

    async def delete_queue(self, request: tasks_v2.DeleteQueueRequest) -> empty_pb2.Empty:
        lane = self._lane(request.name)
        del self.lanes[request.name]
        self._deleted.add(request.name, self._clock.now())
        await lane.stop()
        return empty_pb2.Empty()

    async def purge_queue(self, request: tasks_v2.PurgeQueueRequest) -> tasks_v2.Queue:
        self._lane(request.name).purge()
        return self._told(request.name)

    async def pause_queue(self, request: tasks_v2.PauseQueueRequest) -> tasks_v2.Queue:
        self._lane(request.name).change(paused=True)
        return self._told(request.name)

    async def resume_queue(self, request: tasks_v2.ResumeQueueRequest) -> tasks_v2.Queue:
        self._lane(request.name).change(paused=False)
        return self._told(request.name)

    async def list_tasks(self, request: tasks_v2.ListTasksRequest) -> tasks_v2.ListTasksResponse:
        lane = self._lane(request.parent)
        ids, token = _page(sorted(lane.entries), request.page_size, request.page_token, most=_TASKS_A_PAGE)
        tasks = [self._shown(request.parent, lane, id, request.response_view) for id in ids]
        return tasks_v2.ListTasksResponse(tasks=tasks, next_page_token=token)

    async def get_task(self, request: tasks_v2.GetTaskRequest) -> tasks_v2.Task:
        queue, lane, id = self._task(request.name)
        return self._shown(queue, lane, id, request.response_view)

    async def create_task(self, request: tasks_v2.CreateTaskRequest) -> tasks_v2.Task:
        lane = self._lane(request.parent)
        task = limits.checked_task(request.task)
        id = secrets.token_hex(20)
        if task.name:
            queue, id = limits.task_parts(task.name)
            if queue != request.parent:
                raise limits.invalid("The task's name must begin with its queue.")
        if lane.has_name(id):
            raise Refused(
                grpc.StatusCode.ALREADY_EXISTS,
                "The task cannot be created because a task with this name existed too recently.",
            )
        due = self._clock.now()
        raw = tasks_v2.Task.pb(task)
        if raw.HasField("schedule_time"):
            wait = raw.schedule_time.seconds - self._clock.epoch() + raw.schedule_time.nanos / 1e9
            if wait > limits.LONGEST_DELAY_SECONDS:
                raise limits.invalid("Task.schedule_time must be within 30 days.")
            due += wait
        lane.add(id, task, due)
        return self._shown(request.parent, lane, id, request.response_view)

    async def delete_task(self, request: tasks_v2.DeleteTaskRequest) -> empty_pb2.Empty:
        _, lane, id = self._task(request.name)
        lane.end(id)
        return empty_pb2.Empty()

    async def run_task(self, request: tasks_v2.RunTaskRequest) -> tasks_v2.Task:
        queue, lane, id = self._task(request.name)
        lane.run(id)
        return self._shown(queue, lane, id, request.response_view)

    def _open(self, name: str, settings: QueueSettings) -> None:
        if self._deleted.has(name, self._clock.now()):
            raise Refused(
                grpc.StatusCode.FAILED_PRECONDITION,
                "The queue cannot be created: one of this name existed too recently.",
            )
        self.open_queue(name, settings)

    def _told(self, name: str) -> tasks_v2.Queue:
        return queue_message(name, self._lane(name), self._clock)

    def _shown(self, queue: str, lane: Lane, id: str, view: tasks_v2.Task.View) -> tasks_v2.Task:
        return task_message(queue, lane.entries[id], self._clock, full=view == tasks_v2.Task.View.FULL)

    def _lane(self, name: str) -> Lane:
        limits.queue_parts(name)
        if name not in self.lanes:
            raise Refused(grpc.StatusCode.NOT_FOUND, "Queue does not exist.")
        return self.lanes[name]

    def _task(self, name: str) -> tuple[str, Lane, str]:
        queue, id = limits.task_parts(name)
        lane = self._lane(queue)
        if id not in lane.entries:
            raise Refused(grpc.StatusCode.NOT_FOUND, "Task does not exist.")
        return queue, lane, id

    def _answering(self, method: Callable[[Request], Awaitable[Any]]) -> Callable[[Request, Any], Awaitable[Any]]:
        async def answer(request: Request, context: Any) -> Any:
            outage = self._faults.outage()
            if outage and not outage.after:
                await context.abort(outage.code, "The service is unavailable.")
            refusal, result = None, None
            try:
                result = await method(request)
            except Refused as refused:
                refusal = refused
            if outage:
                await context.abort(outage.code, "The answer was lost.")
            if refusal:
                await context.abort(refusal.code, refusal.details)
            return result

        return answer


def _serialize(message: Any) -> bytes:
    if isinstance(message, empty_pb2.Empty):
        return bytes(message.SerializeToString())
    return bytes(type(message).serialize(message))


def _page(items: list[Item], size: int, token: str, *, most: int) -> tuple[list[Item], str]:
    if size < 0 or (token and not token.isdecimal()):
        raise limits.invalid("Bad page_size or page_token.")
    start = int(token or 0)
    end = start + min(size or most, most)
    return items[start:end], str(end) if end < len(items) else ""

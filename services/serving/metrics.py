"""Prometheus metrics that both services have, and the route that exposes a service's metrics.

Labels come from closed sets (routes, engines, outcomes), never from users, jobs or files.
"""

from collections.abc import Sequence
from time import perf_counter

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.serving.operator import operator

#: Methods counted by name; any other counts as `other`, since a client may send any word.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: Buckets of request times, in seconds. Chosen: from a status (milliseconds) to a push that lasts the dispatch
#: deadline (10 minutes).
SECONDS = (0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0)


def new_registry() -> CollectorRegistry:
    """A registry for one app, with the metrics of its process (memory, CPU, open files, garbage collection)."""
    disable_created_metrics()  # a creation time beside each counter is noise
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class Requests:
    """Middleware that counts and times requests by route; an address without a route counts as `unknown`."""

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._paths: dict[object, str] = {}
        for route in routes:
            if isinstance(route, Route):
                self._paths[route.endpoint] = route.path
            elif isinstance(route, Mount):
                self._paths[route.app] = f"{route.path}/"
        labels = ("route", "method")
        self._total = Counter("gnosis_http_requests", "Requests answered.", (*labels, "status"), registry=registry)
        self._seconds = Histogram(
            "gnosis_http_request_seconds",
            "Time from a request's head to the end of its answer.",
            labels,
            buckets=SECONDS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer through the app, and count."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        status = 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            route = self._paths.get(scope.get("endpoint"), "unknown")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._total.labels(route, method, str(status)).inc()
            self._seconds.labels(route, method).observe(perf_counter() - began)


async def exposition(request: Request) -> Response:
    """`GET /metrics`: the app's registry in the Prometheus text format, for the operator. Raises `Problem` 401."""
    operator(request).require(request.headers)
    registry: CollectorRegistry = request.app.state.registry
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

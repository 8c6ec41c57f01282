"""What every door has: its name in the setting `FRONT_DOORS`, its routes, and errors in its protocol's form."""

import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from libs.errors import ExpectedError
from services.serving.problem import Problem, problem_of, respond

#: Answers a request.
Endpoint = Callable[[Request], Awaitable[Response]]
#: The JSON body of an error in a protocol.
ErrorForm = Callable[[Problem], dict[str, Any]]


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """The interface of one other service."""

    #: As `FRONT_DOORS` names it.
    name: str
    #: Each has an endpoint of its own, by which metrics and audit know it.
    routes: tuple[Route, ...]


def in_form(form: ErrorForm, routes: Iterable[Route]) -> tuple[Route, ...]:
    """The routes, whose expected errors are answered in this form."""
    return tuple(
        Route(route.path, _formed(route.endpoint, form), methods=list(route.methods or ())) for route in routes
    )


def _formed(endpoint: Endpoint, form: ErrorForm) -> Endpoint:
    @functools.wraps(endpoint)
    async def formed(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (Problem, ExpectedError) as error:
            problem = problem_of(request, error)
            return respond(problem, form(problem))

    return formed

"""What every door has: its name in the setting `FRONT_DOORS`, its routes, and errors in its protocol's form."""

import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from libs.errors import ExpectedError
from services.serving.host import Address, parse_hosts
from services.serving.problem import Problem, problem_of, respond
from services.web.service import web

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
    return tuple(Route(route.path, _formed(route.endpoint, form), methods=[*(route.methods or ())]) for route in routes)


def public_base(request: Request) -> str:
    """`scheme://host` by which the client reaches the service, for addresses that have to be absolute.

    The scheme is https in the cloud, and where `ALLOWED_HOSTS` has the host with it: a proxy has then ended TLS.
    """
    config, text = web(request).config, request.headers.get("host", "")
    host = Address.parse(text)
    if host is None:
        raise Problem(400, "Bad host", "The header Host is no address.", "Send the host that you reach the service by.")
    is_secure = config.running_in_cloud or host.over("https") in parse_hosts(config.allowed_hosts)
    return f"{'https' if is_secure else 'http'}://{text}"


def _formed(endpoint: Endpoint, form: ErrorForm) -> Endpoint:
    @functools.wraps(endpoint)
    async def formed(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (Problem, ExpectedError) as error:
            problem = problem_of(request, error)
            return respond(problem, form(problem))

    return formed

"""Audit events: who did what to which object, and whether it was allowed; a JSON line each.

`docs/operations.md` has the schema. A request has at most one event. The middleware `Audited` writes it when the answer
begins, so that nothing is sent without its event. No event has an address, a token, a file's name or a document's text.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.eventlog import AUDIT_LOGGER
from libs.storage import layout

#: The field `schema`. Changes when a field changes its meaning or goes; new fields and new actions do not change it.
SCHEMA = 1

#: Answers that refuse: not identified, not allowed, not there (or another user's, which looks the same).
DENIED = frozenset({401, 403, 404})
#: Answers that say that a limit is reached: time, size, rate or number, room.
LIMITED = frozenset({408, 413, 429, 507})

# The job or upload that an answer names.
_MADE = re.compile(r"/api/(jobs|uploads|direct-uploads)/([0-9a-f]{32})")
# The reason where an address leads to no route.
_NO_ROUTE = "not-found"
# Our own names of files in a session; any other is its user's choice.
_OWN_NAME = re.compile(r"[a-z0-9_]{1,40}\.[a-z0-9]{1,5}")
_SCOPE_KEY = "gnosis.audit"

_log = logging.getLogger(AUDIT_LOGGER)


class Outcome(StrEnum):
    """How a request ended, as far as an audit asks."""

    #: It was done.
    ALLOWED = "allowed"
    #: It was refused, for want of a right or for a limit.
    REFUSED = "refused"


class Rule(msgspec.Struct, frozen=True):
    """What a request is called, and when it is an event."""

    #: `object.verb`.
    action: str
    #: Whether it is an event when it is allowed; a refusal always is one.
    when_allowed: bool = True


#: A request that is refused before its route is found.
UNROUTED = Rule("request", when_allowed=False)


class Subject(msgspec.Struct, kw_only=True):
    """What is known of a request's caller, and why it is refused. The one mutable value here: each part adds what it
    finds out."""

    #: Of the user, once identified.
    user_hash: str = ""
    #: The kind of credential that was shown, right or wrong: `api_key`, `google`, `iap`, `header`.
    credential: str = ""
    #: The id of the API key that was shown, right or wrong.
    key_id: str = ""
    #: The kind of problem that was answered.
    reason: str = ""
    #: Why a credential counts for nothing, in a word.
    fault: str = ""
    #: The method that is meant, where a header overrides the request's own.
    method: str = ""
    #: It is allowed and has shown nothing yet: no event, although others of its rule are.
    is_silent: bool = False
    #: Of the job that the request has made or joined, where neither its address nor `Location` names it.
    job_id: str = ""


def subject(scope: Scope) -> Subject:
    """What is known so far of the caller behind this request."""
    found: Subject = scope.setdefault(_SCOPE_KEY, Subject())
    return found


def write(action: str, outcome: Outcome, **fields: str | int) -> None:
    """Write an event; fields that are empty are left out."""
    known = {name: value for name, value in fields.items() if value not in ("", 0)}
    event = {"log": "audit", "schema": SCHEMA, "action": action, "outcome": outcome.value, **known}
    _log.info("audit", extra={"audit": event})


class Audited:
    """Middleware that writes the event of each request that `rules` makes one."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute], rules: Mapping[tuple[str, str], Rule]) -> None:
        """`rules`: by method and path of a route. A request without a rule is an event only if it is refused before it
        reaches a route: one of another site's page, or for another host."""
        self._app = app
        self._rules: dict[tuple[object, str], Rule] = {
            (route.endpoint, method): rule
            for route in routes
            if isinstance(route, Route)
            for (method, path), rule in rules.items()
            if path == route.path
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer through the app, and write the event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def audited(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._write(scope, message["status"], Headers(raw=message["headers"]))
            await send(message)

        await self._app(scope, receive, audited)

    def _write(self, scope: Scope, status: int, headers: Headers) -> None:
        known = subject(scope)
        method = known.method or scope["method"]
        rule = self._rule(scope, method)
        if rule is None:
            return
        is_refused = status in DENIED or status in LIMITED
        # HEAD and 304 transfer nothing; other errors neither show nor change anything.
        is_event = rule.when_allowed and not known.is_silent and method != "HEAD" and 200 <= status < 300
        if not is_refused and not is_event:
            return
        fields = _objects(scope.get("path_params", {})) | _made(headers)
        if known.job_id:
            fields["job_id"] = known.job_id
        if is_refused:
            fields |= {"reason": known.reason, "fault": known.fault}
        write(
            rule.action,
            Outcome.REFUSED if is_refused else Outcome.ALLOWED,
            status=status,
            user_hash=known.user_hash,
            credential=known.credential,
            key_id=known.key_id,
            **fields,
        )

    def _rule(self, scope: Scope, method: str) -> Rule | None:
        endpoint = scope.get("endpoint")
        if endpoint is None and subject(scope).reason not in ("", _NO_ROUTE):
            return UNROUTED
        rule = self._rules.get((endpoint, method))
        return self._rules.get((endpoint, "GET")) if rule is None and method == "HEAD" else rule


def _objects(path: Mapping[str, Any]) -> dict[str, str | int]:
    """What the address names, as far as it has the form of ours: the rest is the caller's own text."""
    fields: dict[str, str | int] = {}
    for name in ("job_id", "session_id", "upload_id", "file_id"):
        if layout.is_session_id(str(path.get(name, ""))):
            fields["job_id" if name == "session_id" else name] = path[name]
    if layout.is_user_hash(str(path.get("user_hash", ""))):
        fields["owner_hash"] = path["user_hash"]
    number = str(path.get("n", ""))
    if number.isascii() and number.isdigit() and len(number) <= 9:
        fields["page_no"] = int(number)
    if filename := str(path.get("filename", "")):
        own = layout.upload_name(filename) != filename and _OWN_NAME.fullmatch(filename)
        fields["file"] = filename if own else "upload"
    return fields


def _made(headers: Headers) -> dict[str, str | int]:
    """The job or upload that the answer names as its `Location`."""
    found = _MADE.fullmatch(headers.get("Location", ""))
    return {} if found is None else {"job_id" if found[1] == "jobs" else "upload_id": found[2]}

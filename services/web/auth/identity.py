"""The user behind a request, by the credentials that this installation accepts."""

from collections.abc import Sequence
from typing import Protocol

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request

from libs.idtoken.keyset import KeysUnavailable
from libs.idtoken.token import BadToken
from libs.storage import layout
from services.serving import audit
from services.serving.authorization import bearer, check_single, keys_unavailable, unauthorized
from services.serving.problem import Problem
from services.web.auth import apikey
from services.web.auth.user import User, user_of
from services.web.quota import Rates

#: Names the user in local mode, where the header is trusted.
USER_HEADER = "X-User-Email"

log = structlog.get_logger()


class Credential(Protocol):
    """One kind of credential."""

    @property
    def kind(self) -> str:
        """Its name in the log."""
        ...

    @property
    def schemes(self) -> tuple[str, ...]:
        """Its names among the security schemes of the OpenAPI document."""
        ...

    @property
    def hint(self) -> str:
        """How to send one: part of the 401 for a request that has none."""
        ...

    def name(self, proof: str) -> str:
        """What names the credential `proof` in the audit, valid or not; empty where only secrets do."""
        ...

    def shown(self, headers: Headers) -> Sequence[str]:
        """The credentials of this kind in the request, unchecked. Raises `Problem` 400 for a repeated header."""
        ...

    async def user(self, proof: str, method: str) -> User:
        """The user whom the credential `proof` identifies, for a request of this HTTP method.

        Raises `BadToken` when it is not valid, `Problem` 403 when it does not allow this request, and
        `KeysUnavailable` when it cannot be checked now.
        """
        ...


class Identity:
    """Identifies the user of each request, by exactly one credential or, with `trusts_header`, by `USER_HEADER`."""

    def __init__(self, credentials: Sequence[Credential], *, trusts_header: bool) -> None:
        self._credentials = tuple(credentials)
        #: Whether a request without any credential is accepted as from the user that `USER_HEADER` names.
        self.trusts_header = trusts_header

    @property
    def schemes(self) -> frozenset[str]:
        """What is accepted here, by the names of the security schemes in the OpenAPI document."""
        accepted = {scheme for credential in self._credentials for scheme in credential.schemes}
        return frozenset(accepted | {"user"} if self.trusts_header else accepted)

    async def user(self, request: Request, *, needs_key: bool = False) -> User:
        """The user behind the request. Raises `Problem` 400, 401, 403, 503.

        `needs_key`: the client cannot do without a key. Where none is needed, it sends any text, which counts as none.
        """
        headers, known = request.headers, audit.subject(request.scope)
        check_single(headers, USER_HEADER)
        found = [(credential, proof) for credential in self._credentials for proof in credential.shown(headers)]
        is_lenient = needs_key and self.trusts_header
        if is_lenient:
            found = [(credential, proof) for credential, proof in found if apikey.has_prefix(proof)]
        if len(found) > 1:
            # Which of two counts would depend on their order here, which no client knows.
            raise unauthorized(
                "The request proves more than once who is asking.", "Send one credential.", fault="several_credentials"
            )
        if found:
            credential, proof = found[0]
            known.credential, known.key_id = credential.kind, credential.name(proof)
            user = await _identified(credential, proof, request.method)
        elif self.trusts_header and (is_lenient or bearer(headers) is None):
            known.credential = "header" if USER_HEADER in headers else ""
            user = _named_user(headers)
        else:
            raise self._unidentified(headers)
        known.user_hash = user.user_hash
        return user

    def _unidentified(self, headers: Headers) -> Problem:
        hint = " ".join(credential.hint for credential in self._credentials)
        if USER_HEADER in headers:
            return unauthorized(
                f"{USER_HEADER} is not believed here: anybody can write it.", hint, fault="header_not_believed"
            )
        return unauthorized("Nothing in the request proves who is asking.", hint, fault="no_credential")


async def get_user_from_request(request: Request) -> User:
    """The user behind the request, as this installation identifies users; the request counts for their rate.

    Raises `Problem` 400, 401, 403, 429, 503.
    """
    return await _counted(request, needs_key=False)


async def get_user_of_client(request: Request) -> User:
    """The same for a client of another service's, which sends a key even where none is needed."""
    return await _counted(request, needs_key=True)


async def _counted(request: Request, *, needs_key: bool) -> User:
    identity: Identity = request.app.state.web.identity
    rates: Rates = request.app.state.web.rates
    user = await identity.user(request, needs_key=needs_key)
    rates.take(user.email)
    return user


async def _identified(credential: Credential, proof: str, method: str) -> User:
    try:
        return await credential.user(proof, method)
    except BadToken as error:
        log.warning("credential_refused", kind=credential.kind, reason=error.reason)
        raise unauthorized(
            "The credential is wrong, has expired, or was taken back.", credential.hint, fault=error.reason
        ) from error
    except KeysUnavailable as error:
        raise keys_unavailable() from error


def _named_user(headers: Headers) -> User:
    """Local mode: the user whom `USER_HEADER` names, or the anonymous one. Raises `Problem` 400."""
    try:
        return user_of(headers.get(USER_HEADER, "").strip() or layout.ANONYMOUS)
    except ValueError as error:
        raise Problem(
            400,
            "Bad user",
            f"{USER_HEADER} is not an e-mail address.",
            "Send an address, or leave the header out.",
        ) from error

"""Who is asking: the credentials that this installation takes, and the one way to ask."""

from collections.abc import Sequence
from typing import Protocol

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request

from libs.idtoken.keyset import KeysUnavailable
from libs.idtoken.token import BadToken
from services.serving.authorization import bearer, keys_unavailable, unauthorized
from services.serving.problem import Problem
from services.web.auth.local import HEADER, believed_user
from services.web.auth.user import User

log = structlog.get_logger()


class Credential(Protocol):
    """One kind of proof."""

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
        """How to show one, for those who showed none."""
        ...

    def shown(self, headers: Headers) -> Sequence[str]:
        """The proofs of this kind that the request brings, unchecked."""
        ...

    async def user(self, proof: str, method: str) -> User:
        """The user whom it proves, for a request of this method.

        Raises `BadToken` where it proves nobody, `Problem` 403 where that user may not, `KeysUnavailable`.
        """
        ...


class Identity:
    """Tells who asks. Without `believes_header`, nobody is believed without a proof."""

    def __init__(self, credentials: Sequence[Credential], *, believes_header: bool) -> None:
        self._credentials = tuple(credentials)
        self.believes_header = believes_header

    @property
    def schemes(self) -> frozenset[str]:
        """What is taken here, by the names of the OpenAPI document."""
        taken = {scheme for credential in self._credentials for scheme in credential.schemes}
        return frozenset(taken | {"user"} if self.believes_header else taken)

    async def user(self, request: Request) -> User:
        """The user behind the request. Raises `Problem` 400, 401, 403, 503."""
        headers = request.headers
        found = [(credential, proof) for credential in self._credentials for proof in credential.shown(headers)]
        if len(found) > 1:
            # Which of two counts would depend on their order here, and no client knows that.
            raise unauthorized("The request proves more than once who is asking.", "Send one credential.")
        if found:
            return await _proved(*found[0], request.method)
        if not self.believes_header or bearer(headers) is not None:
            raise self._nobody(headers)
        return believed_user(headers)

    def _nobody(self, headers: Headers) -> Problem:
        hint = " ".join(credential.hint for credential in self._credentials)
        if HEADER in headers:
            return unauthorized(f"{HEADER} is not believed here: anybody can write it.", hint)
        return unauthorized("Nothing in the request proves who is asking.", hint)


async def get_user_from_request(request: Request) -> User:
    """The user behind the request, by what this installation takes as a proof. Raises `Problem` 400, 401, 403, 503."""
    identity: Identity = request.app.state.web.identity
    return await identity.user(request)


async def _proved(credential: Credential, proof: str, method: str) -> User:
    try:
        return await credential.user(proof, method)
    except BadToken as error:
        log.warning("credential_refused", kind=credential.kind, reason=error.reason)
        raise unauthorized("The credential is wrong, has expired, or was taken back.", credential.hint) from error
    except KeysUnavailable as error:
        raise keys_unavailable() from error

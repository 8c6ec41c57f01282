"""Admission of the queue: only the queue of this installation may push tasks (design, section 7)."""

from typing import Protocol

import httpx
import structlog
from starlette.datastructures import Headers

from libs.config import ConfigError
from libs.idtoken.keyset import KeySet, KeysUnavailable
from libs.idtoken.token import GOOGLE, STRIPPED, BadToken, Issuer, TokenVerifier
from libs.internal_token import HEADER, InternalToken, parse
from services.serving.authorization import bearer, check_single, keys_unavailable, unauthorized
from services.serving.problem import Problem
from services.serving.settings import ServiceSettings

#: Chosen: 128 bits when written in hex, beyond guessing.
MIN_SECRET_CHARACTERS = 32

log = structlog.get_logger()


class QueueIdentity(Protocol):
    """Decides whether a request is from the queue."""

    async def admit(self, headers: Headers) -> None:
        """Return when the request is from the queue.

        Raises `Problem` 401 when not, 400 for a repeated header, 503 when it cannot be checked.
        """
        ...


class SharedSecret:
    """Local mode: the services of an installation share a secret."""

    def __init__(self, token: InternalToken) -> None:
        self._token = token

    async def admit(self, headers: Headers) -> None:
        """See `QueueIdentity`."""
        check_single(headers, HEADER)
        if not await self._token.accepts(given := headers.get(HEADER)):
            raise _refused("token" if given else "no_credential")


class QueueAccount:
    """Cloud mode: the queue sends an OIDC token of its service account, issued for this service.

    Cloud Run checks the token itself and then strips its signature. Such a token anyone could write, so it is accepted
    only on Cloud Run, and only together with the shared secret.
    """

    def __init__(self, *, tokens: TokenVerifier, account: str, token: InternalToken, on_cloud_run: bool) -> None:
        self._tokens = tokens
        self._account = account.strip().lower()
        self._token = token
        self._on_cloud_run = on_cloud_run

    async def admit(self, headers: Headers) -> None:
        """See `QueueIdentity`."""
        check_single(headers, HEADER)
        given = bearer(headers)
        if given is None:
            raise _refused("no_credential")
        try:
            if given.endswith(STRIPPED):
                if not self._on_cloud_run or not await self._token.accepts(headers.get(HEADER)):
                    raise BadToken("signature")
                claims = self._tokens.claims_of_stripped(given)
            else:
                claims = await self._tokens.verify(given)
            if claims.email.lower() != self._account:
                raise BadToken("account")
        except BadToken as error:
            log.warning("queue_refused", reason=error.reason)
            raise _refused(error.reason) from error
        except KeysUnavailable as error:
            raise keys_unavailable() from error


def queue_account(
    *,
    account: str,
    audience: str,
    token: InternalToken,
    on_cloud_run: bool,
    client: httpx.AsyncClient,
    google: Issuer = GOOGLE,
) -> QueueAccount:
    """Admission of the service account `account`, whose tokens are issued for `audience`: this service's address."""
    keys = KeySet(google.keys_url, google.algorithm, client)
    tokens = TokenVerifier(google, audience, keys)
    return QueueAccount(tokens=tokens, account=account, token=token, on_cloud_run=on_cloud_run)


def queue_identity(
    config: ServiceSettings, *, audience: str, token: InternalToken, client: httpx.AsyncClient, google: Issuer
) -> QueueIdentity:
    """Admission by the secret `token` in local mode, by the queue's service account in cloud mode."""
    if not config.running_in_cloud:
        return SharedSecret(token)
    return queue_account(
        account=config.tasks_service_account,
        audience=audience,
        token=token,
        on_cloud_run=bool(config.k_service),
        client=client,
        google=google,
    )


def check_queue_settings(*, account: str, url: str, url_name: str, secret: str) -> None:
    """Raise `ConfigError` when cloud mode could not identify the queue. `url` is the setting named `url_name`."""
    if not account:
        raise ConfigError(
            "TASKS_SERVICE_ACCOUNT is not set, so the queue could not be told from anybody else. "
            "Set it to the service account as which Cloud Tasks signs in."
        )
    if not url:
        raise ConfigError(
            f"{url_name} is not set. Set it to this service's own address: the queue's tokens are made for it."
        )
    if any(len(value) < MIN_SECRET_CHARACTERS for value in parse(secret)):
        raise ConfigError(
            f"INTERNAL_TOKEN has a value shorter than {MIN_SECRET_CHARACTERS} characters. "
            "Make one with `openssl rand -hex 32`, the same for web and worker."
        )


def _refused(fault: str) -> Problem:
    return unauthorized(
        "Only the queue may call this.", "Upload through POST /upload of the web service instead.", fault=fault
    )

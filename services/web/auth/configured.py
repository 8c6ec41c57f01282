"""The identity check that the settings configure."""

import httpx

from libs.config import ConfigError
from libs.idtoken.keyset import KeySet
from libs.idtoken.token import GOOGLE, IAP, Issuer, TokenVerifier
from libs.storage.store import ObjectStore
from services.serving.queue_identity import check_queue_settings
from services.web.auth.identity import Credential, Identity
from services.web.auth.keyring import Keyring
from services.web.auth.token import GoogleToken, IapAssertion
from services.web.config import WebConfig


def configured_identity(
    config: WebConfig, *, store: ObjectStore, client: httpx.AsyncClient, iap: Issuer = IAP, google: Issuer = GOOGLE
) -> Identity:
    """The credentials that these settings accept. `store` holds the API keys.

    In local mode without any credential configured, the header `X-User-Email` is trusted, and API keys are accepted
    beside it.
    """
    domains = frozenset(domain.strip().lower() for domain in config.allowed_domains.split(",") if domain.strip())
    credentials: list[Credential] = []
    if config.iap_audience:
        keys = KeySet(iap.keys_url, iap.algorithm, client)
        credentials.append(IapAssertion(TokenVerifier(iap, config.iap_audience, keys), domains=domains))
    if config.google_audience:
        keys = KeySet(google.keys_url, google.algorithm, client)
        credentials.append(GoogleToken(TokenVerifier(google, config.google_audience, keys), domains=domains))
    if config.api_keys or config.trusts_header:
        credentials.append(Keyring(store))
    return Identity(credentials, trusts_header=config.trusts_header)


def check_identity_settings(config: WebConfig) -> None:
    """Raise `ConfigError` when cloud mode could not identify its users or its queue."""
    if not config.running_in_cloud:
        return
    if config.web_routes != "internal" and not config.asks_for_proof:
        raise ConfigError(
            "RUNNING_IN_CLOUD=true, but no setting says how users prove who they are. "
            "Set IAP_AUDIENCE, GOOGLE_AUDIENCE or API_KEYS=true; docs/identity.md helps to choose."
        )
    if config.web_routes == "all" and config.iap_audience:
        raise ConfigError(
            "IAP_AUDIENCE is set, and Identity-Aware Proxy lets no queue through. Set WEB_ROUTES=public here, and "
            "EXTRACT_URL to a second, private service from the same image with WEB_ROUTES=internal."
        )
    if config.web_routes != "public":
        check_queue_settings(
            account=config.tasks_service_account,
            url=config.extract_url,
            url_name="EXTRACT_URL",
            secret=config.internal_token,
        )

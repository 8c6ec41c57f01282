"""Signatures of webhooks."""

import base64
import json
from datetime import UTC, datetime

import pytest

from libs.config import ConfigError
from services.web.config import WebConfig
from services.web.webhooks.settings import webhook_settings
from services.web.webhooks.signature import Secrets
from tests.required import need_package

need_package("standardwebhooks")
from standardwebhooks import Webhook, WebhookVerificationError  # noqa: E402

OLD, NEW = (f"whsec_{base64.b64encode(bytes([byte]) * 32).decode()}" for byte in (1, 2))
BODY = json.dumps({"type": "job.completed"}).encode()


def sent(secrets: Secrets) -> dict[str, str]:
    return secrets.headers("msg_1", int(datetime.now(UTC).timestamp()), BODY)


def test_a_message_is_verified_by_the_official_package() -> None:
    assert Webhook(NEW).verify(BODY, sent(Secrets.parse(NEW))) == {"type": "job.completed"}


def test_while_a_secret_is_replaced_receivers_with_either_accept() -> None:
    headers = sent(Secrets.parse(f"{NEW}, {OLD}"))
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(BODY, headers)


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body"])
def test_a_message_that_was_changed_is_refused(changed: str) -> None:
    headers = sent(Secrets.parse(NEW))
    body = BODY + b" " if changed == "body" else BODY
    if changed != "body":
        headers[changed] = headers[changed][:-1] + ("0" if headers[changed][-1] != "0" else "1")
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(body, headers)


def test_a_users_secret_is_no_other_users_and_not_the_operators() -> None:
    secrets = Secrets.parse(NEW)
    ada, grace = (secrets.of_user(email).texts for email in ("ada@example.org", "grace@example.org"))
    assert len({*ada, *grace, *secrets.texts}) == 3
    assert secrets.of_user(" Ada@Example.org").texts == ada
    assert Webhook(ada[0]).verify(BODY, sent(secrets.of_user("ada@example.org")))


@pytest.mark.parametrize("text", ["password", "whsec_c2hvcnQ=", "whsec_!!!!", f"{NEW},x", f"sk_{NEW[6:]}"])
def test_a_secret_that_is_none_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Secrets.parse(text)
    assert text not in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"webhook_hosts": "*"},
        {"webhook_url": "https://hooks.example.com"},
        {"webhook_hosts": "a b", "webhook_secrets": NEW},
        {"webhook_url": "hooks.example.com/x", "webhook_secrets": NEW},
        {"webhook_url": "ftp://hooks.example.com", "webhook_secrets": NEW},
        {"webhook_url": "https://user@hooks.example.com", "webhook_secrets": NEW},
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="WEBHOOK_"):
        webhook_settings(WebConfig(**settings))  # type: ignore[arg-type]


def test_the_operators_address_may_be_in_a_private_network_and_allows_no_other() -> None:
    found = webhook_settings(WebConfig(webhook_url="http://n8n.lan:5678/hook", webhook_secrets=NEW))
    assert found.own_rules.target("http://n8n.lan:5678/hook").named
    assert not found.rules.allow_any

"""What the settings say of webhooks."""

import httpx
import msgspec

from libs.config import ConfigError
from libs.outbound.rules import Refused, Rules
from services.serving.problem import Problem
from services.web.config import WebConfig
from services.web.webhooks.signature import Secrets


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which addresses are told of the ends of jobs, and with which secrets."""

    #: The addresses that users may name.
    rules: Rules
    #: The address that is told of every job's end, if there is one.
    url: str
    #: What that address may be: itself.
    own_rules: Rules
    secrets: Secrets

    @property
    def for_all(self) -> bool:
        """Whether every job's end is told."""
        return bool(self.url)

    def check(self, url: str) -> None:
        """Check the address that a user names. Raises `Problem` 422."""
        if not self.rules.allow_any:
            raise Problem(
                422,
                "No webhooks here",
                "This installation calls no webhooks of its users.",
                f"Leave webhook out, and watch the job. The operator can allow hosts by {self.rules.name}.",
            )
        try:
            self.rules.target(url)
        except Refused as error:
            raise Problem(422, "Webhook refused", str(error), "Name another address, or leave webhook out.") from error


def webhook_settings(config: WebConfig) -> WebhookSettings:
    """From web's settings. Raises `ConfigError`."""
    rules = Rules.parse("WEBHOOK_HOSTS", config.webhook_hosts)
    secrets = Secrets.parse(config.webhook_secrets)
    if (rules.allow_any or config.webhook_url) and not secrets.keys:
        raise ConfigError(
            "WEBHOOK_HOSTS and WEBHOOK_URL need WEBHOOK_SECRETS: receivers could not tell our messages from others'. "
            'Make one with: echo "whsec_$(openssl rand -base64 32)"'
        )
    return WebhookSettings(
        rules=rules, url=config.webhook_url, own_rules=_own_rules(config.webhook_url), secrets=secrets
    )


def _own_rules(url: str) -> Rules:
    """The operator vouches for the one address: it may be in a private network."""
    if not url:
        return Rules(name="WEBHOOK_URL")
    try:
        parsed = httpx.URL(url)
        rules = Rules.parse("WEBHOOK_URL", f"{parsed.scheme}://{parsed.netloc.decode('ascii')}")
        rules.target(url)
    except (httpx.InvalidURL, Refused, UnicodeError) as error:
        raise ConfigError(f"WEBHOOK_URL={url!r}: {error} Name an http or https address.") from error
    return rules

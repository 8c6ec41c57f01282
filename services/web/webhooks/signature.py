"""Signatures of webhooks, as Standard Webhooks has them (https://www.standardwebhooks.com, symmetric keys)."""

import base64
import binascii
import hmac

import msgspec

from libs.config import ConfigError
from libs.storage.layout import normal_email

_PREFIX = "whsec_"
#: Bytes of a secret, as the specification has them.
_LEAST, _MOST = 24, 64


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """Secrets of one receiver. With several, each signs: a receiver may know the old one or the new one."""

    keys: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Secrets":
        """From the setting `WEBHOOK_SECRETS`: `whsec_` and base64, separated by commas. Raises `ConfigError`."""
        keys = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            try:
                if not part.startswith(_PREFIX):
                    raise binascii.Error
                key = base64.b64decode(part.removeprefix(_PREFIX), validate=True)
            except binascii.Error:
                key = b""
            if not _LEAST <= len(key) <= _MOST:
                raise ConfigError(
                    f"WEBHOOK_SECRETS has a value that is not {_PREFIX} and the base64 of {_LEAST} to {_MOST} bytes. "
                    f'Make one with: echo "{_PREFIX}$(openssl rand -base64 32)"'
                )
            keys.append(key)
        return cls(keys=tuple(keys))

    def of_user(self, email: str) -> "Secrets":
        """The user's own, derived from these: who knows them can sign nothing for another user's receiver."""
        name = f"gnosis-ocr webhooks of {normal_email(email)}".encode()
        return Secrets(keys=tuple(hmac.digest(key, name, "sha256") for key in self.keys))

    @property
    def texts(self) -> list[str]:
        """As a receiver is given them."""
        return [_PREFIX + base64.b64encode(key).decode() for key in self.keys]

    def headers(self, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The headers of a message; `timestamp` is that of the attempt, in seconds since 1970."""
        signed = f"{message_id}.{timestamp}.".encode() + body
        signatures = (base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in self.keys)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
        }

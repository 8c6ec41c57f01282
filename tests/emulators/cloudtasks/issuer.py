"""Who signs the tokens: stands for accounts.google.com."""

import asyncio
import base64
import hashlib
import json
from contextlib import suppress
from types import TracebackType
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, jwt

ISSUER = "https://accounts.google.com"
_LIFE_SECONDS = 3600


class Issuer:
    """Signs tokens with a key made at start; while open, serves the public key at `jwks_url`."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = self._key.public_key().public_numbers()
        self._jwk = {"kty": "RSA", "alg": "RS256", "use": "sig", "n": _number(numbers.n), "e": _number(numbers.e)}
        self._jwk["kid"] = hashlib.sha256(self._jwk["n"].encode()).hexdigest()[:40]
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._signer = crypt.RSASigner.from_string(pem, key_id=self._jwk["kid"])
        self.jwks_url = ""

    async def __aenter__(self) -> "Issuer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.jwks_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/oauth2/v3/certs"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    def token(self, *, email: str, audience: str, now: float) -> str:
        """An identity token as Google gives one to a service account, from `now` (seconds since 1970) for an hour."""
        subject = str(int.from_bytes(hashlib.sha256(email.encode()).digest()[:8]))
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "azp": subject,
            "sub": subject,
            "email": email,
            "email_verified": True,
            "iat": int(now),
            "exp": int(now) + _LIFE_SECONDS,
        }
        return bytes(jwt.encode(self._signer, claims)).decode()

    def jwks(self) -> dict[str, Any]:
        """The public key, as a JSON Web Key Set."""
        return {"keys": [self._jwk]}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found = head.startswith(b"GET /oauth2/v3/certs ")
        body = json.dumps(self.jwks()).encode() if found else b"{}"
        writer.write(
            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nCache-Control: public, max-age=3600\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n%s"
            % (b"200 OK" if found else b"404 Not Found", len(body), body)
        )
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def _number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8)).rstrip(b"=").decode()

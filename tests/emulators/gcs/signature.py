"""Signed addresses (V4): who signed, what for, and until when."""

import binascii
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from starlette.requests import Request

from tests.emulators.gcs.refusal import Refusal

ALGORITHM = "GOOG4-RSA-SHA256"


def check_signature(request: Request, keys: Mapping[str, bytes], now: datetime) -> None:
    """Raise `Refusal` unless one of `keys` (PEM by e-mail) signed this very request and it has not expired."""
    query = request.query_params
    if query.get("X-Goog-Algorithm") != ALGORITHM:
        raise Refusal(403, "forbidden", "AccessDenied: the address is not signed.")
    try:
        signed_at = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        lifetime = timedelta(seconds=int(query["X-Goog-Expires"]))
        email, _, scope = query["X-Goog-Credential"].partition("/")
        signature = binascii.unhexlify(query["X-Goog-Signature"])
        names = query["X-Goog-SignedHeaders"].split(";")
    except (KeyError, ValueError) as error:
        raise Refusal(400, "invalid", f"AuthenticationRequired: {error}") from error
    if not signed_at - timedelta(minutes=15) <= now <= signed_at + lifetime:
        raise Refusal(400, "invalid", "ExpiredToken: The provided token has expired.")
    canonical = _canonical(request, names)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join((ALGORITHM, query["X-Goog-Date"], scope, digest))
    key = serialization.load_pem_public_key(keys[email]) if email in keys else None
    try:
        if not isinstance(key, rsa.RSAPublicKey):
            raise InvalidSignature
        key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise Refusal(
            403, "forbidden", "SignatureDoesNotMatch: Access denied. The signature does not match the request."
        ) from error


def _canonical(request: Request, names: list[str]) -> str:
    path = request.scope["raw_path"].decode("ascii")
    pairs = [part.partition("=") for part in request.url.query.split("&")]
    query = sorted(
        (quote(unquote(key), safe="-_.~"), quote(unquote(value), safe="-_.~"))
        for key, _, value in pairs
        if key != "X-Goog-Signature"
    )
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names)
    return "\n".join(
        (
            request.method,
            path,
            "&".join(f"{key}={value}" for key, value in query),
            headers,
            ";".join(names),
            request.headers.get("X-Goog-Content-SHA256", "UNSIGNED-PAYLOAD"),
        )
    )

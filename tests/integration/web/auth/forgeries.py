"""Tokens that prove nothing, each for another reason."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from libs.idtoken.token import GOOGLE, IAP
from tests.integration.web.auth.doors import AUDIENCE, EMAIL, Door
from tests.issuer import Publisher, new_key, public_jwk


def part(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(header: dict[str, Any], claims: Any, signature: str = "") -> str:
    return f"{part(header)}.{part(claims)}.{signature}"


def hmac_signed(door: Door, secret: bytes, algorithm: str = "HS256") -> str:
    start = f"{part({'alg': algorithm, 'kid': door.publisher.kid})}.{part(door.claims)}"
    return f"{start}.{part(hmac.new(secret, start.encode(), hashlib.sha256).digest())}"


def public_key(door: Door, encoding: Encoding) -> bytes:
    return door.publisher.key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


def with_algorithm(door: Door, algorithm: str, signature: str | None = None) -> str:
    """The genuine token, but for what its header says of the algorithm."""
    _, claims, genuine = door.token().split(".")
    header = part({"alg": algorithm, "kid": door.publisher.kid, "typ": "JWT"})
    return f"{header}.{claims}.{genuine if signature is None else signature}"


def by_another_key(door: Door, **header: Any) -> str:
    """Signed by the forger, who names the genuine key's id or says where his own is."""
    forger = new_key(door.publisher.algorithm)
    header = {key: public_jwk(forger) if value == "the forger's" else value for key, value in header.items()}
    return jwt.PyJWS().encode(
        json.dumps(door.claims).encode(),
        forger,
        algorithm=door.publisher.algorithm,
        headers={"kid": door.publisher.kid, **header},
    )


def twice(door: Door, name: str, first: Any) -> bytes:
    """The claims as JSON, with one of them twice: first as given, then as it should be."""
    return b"{" + json.dumps({name: first}).encode()[1:-1] + b"," + json.dumps(door.claims).encode()[1:]


def forgeries(door: Door, evil: Publisher) -> dict[str, str]:
    """Tokens that must not be accepted, by what is wrong with them."""
    now = int(time.time())
    kid, sign = door.publisher.kid, door.publisher.sign
    genuine = door.token()
    head, claims, signature = genuine.split(".")
    found = {
        "alg none, no signature": with_algorithm(door, "none", ""),
        "alg none, the genuine signature": with_algorithm(door, "none"),
        "alg None": with_algorithm(door, "None", "AA"),
        "alg nOnE": with_algorithm(door, "nOnE"),
        "alg missing": unsigned({"kid": kid}, door.claims, signature),
        "alg a list": unsigned({"kid": kid, "alg": [door.publisher.algorithm]}, door.claims, signature),
        "HS256 by the public key as PEM": hmac_signed(door, public_key(door, Encoding.PEM)),
        "HS256 by the public key as DER": hmac_signed(door, public_key(door, Encoding.DER)),
        "HS256 by an empty secret": hmac_signed(door, b""),
        "alg of ours over an HMAC": hmac_signed(door, public_key(door, Encoding.PEM), door.publisher.algorithm),
        "the other asymmetric algorithm": with_algorithm(door, {"ES256": "RS256", "RS256": "ES256"}[head_alg(head)]),
        "a sibling algorithm": with_algorithm(door, {"ES256": "ES384", "RS256": "PS256"}[head_alg(head)]),
        "wrong issuer": door.token(iss="https://issuer.example.org"),
        "issuer of a longer name": door.token(iss=door.claims["iss"] + ".example.org"),
        "issuer of the other kind": door.token(iss=(GOOGLE if door.name == "iap" else IAP).names[0]),
        "no issuer": door.token(iss=...),
        "wrong audience": door.token(aud="https://other.example.org"),
        "audience with more behind it": door.token(aud=door.claims["aud"] + "3"),
        "audience a list with ours": door.token(aud=[door.claims["aud"]]),
        "audience empty": door.token(aud=""),
        "no audience": door.token(aud=...),
        "no expiry": door.token(exp=...),
        "expired": door.token(iat=now - 600, exp=now - 60),
        "expiry a text": door.token(exp=str(now + 600)),
        "expiry never": sign(json.dumps(door.claims | {"exp": "E"}).replace('"E"', "1e999").encode()),
        "expiry not a number": sign(json.dumps(door.claims | {"exp": "E"}).replace('"E"', "NaN").encode()),
        "expiry beyond numbers": sign(json.dumps(door.claims | {"exp": "E"}).replace('"E"', "9" * 400).encode()),
        "valid for ten years": door.token(exp=now + 10 * 365 * 86400),
        "not yet valid": door.token(nbf=now + 300),
        "issued in the far future": door.token(iat=now + 86400, exp=now + 90000),
        "no moment of issue": door.token(iat=...),
        "no e-mail": door.token(email=...),
        "e-mail empty": door.token(email=""),
        "e-mail a list": door.token(email=[door.claims["email"]]),
        "e-mail no address": door.token(email="../../system"),
        "e-mail not verified": door.token(email_verified=False),
        "e-mail verified as a text": door.token(email_verified="true"),
        "e-mail twice": sign(twice(door, "email", "other@example.org")),
        "audience twice": sign(twice(door, "aud", "https://other.example.org")),
        "claims no object": sign(b"[1]"),
        "claims no JSON": sign(b"{"),
        "claims nested without end": sign(b'{"a":' * 900 + b"1" + b"}" * 900),
        "claims in UTF-16": sign(json.dumps(door.claims).encode("utf-16")),
        "unknown key": sign(door.claims, kid="key-0"),
        "no key id": unsigned({"alg": door.publisher.algorithm}, door.claims, signature),
        "key id a number": unsigned({"alg": door.publisher.algorithm, "kid": 1}, door.claims, signature),
        "key id a path": sign(door.claims, kid="../../keys"),
        "key id an address": sign(door.claims, kid=evil.url),
        "by another key": by_another_key(door),
        "by another key, brought along": by_another_key(door, jwk="the forger's"),
        "by another key, said to be at an address": by_another_key(door, jku=evil.url, kid=evil.kid),
        "by another key, with an address of a certificate": by_another_key(door, x5u=evil.url),
        "a critical extension": sign(door.claims, crit=["x"], x=1),
        "signature removed": f"{head}.{claims}.",
        "signature left out": f"{head}.{claims}",
        "signature removed by Google": f"{head}.{claims}.SIGNATURE_REMOVED_BY_GOOGLE",
        "signature cut off": genuine[:-20],
        "signature of another token": f"{head}.{claims}.{door.token(sub='2').split('.')[2]}",
        "signature changed": f"{head}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
        "claims changed": f"{head}.{part(door.claims | {'email': 'other@example.org'})}.{signature}",
        "cut off in its claims": genuine[: len(head) + 20],
        "with a line end": genuine.replace(".", ".\t", 1),
        "padded": f"{head}=.{claims}.{signature}",
        "five parts": f"{genuine}.{claims}.{signature}",
        "two tokens, with a blank": f"{genuine} {genuine}",
        "two tokens, with a comma": f"{genuine}, {genuine}",
        "empty": "",
        "too long": door.token(more="x" * 17_000),
    }
    if door.name != "iap":
        found["e-mail not said to be verified"] = door.token(email_verified=...)
    if door.name in ("queue", "worker"):
        found["another service account"] = door.token(email="other@project.iam.gserviceaccount.com")
        found["a user"] = door.token(email=EMAIL)
        found["a token for the users' audience"] = door.token(aud=AUDIENCE)
    return found


def head_alg(head: str) -> str:
    return str(json.loads(base64.urlsafe_b64decode(head + "=="))["alg"])

"""Tokens that prove nothing: none is accepted, wherever a token is taken."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import jwt
import msgspec
import pytest
import structlog
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from libs.idtoken import keyset
from libs.idtoken.keyset import KeySet
from libs.idtoken.token import GOOGLE, IAP, STRIPPED, BadToken, TokenVerifier
from libs.internal_token import InternalToken
from libs.storage.memory import MemoryStore
from services.serving.metrics import new_registry
from services.serving.queue_identity import QueueAccount, SharedSecret, queue_account
from services.web.auth.configured import configured_identity
from services.web.config import WebConfig
from services.worker.app import assemble as assemble_worker
from services.worker.app import create_worker
from services.worker.config import WorkerConfig
from services.worker.metrics import WorkerMetrics
from tests.inprocess import idle_queue, in_process, outward_client
from tests.issuer import Publisher, new_key, public_jwk, publishing

AUDIENCE = "/projects/1/global/backendServices/2"
SERVICE = "https://web.example.org"
EMAIL = "reader@example.org"
QUEUE = "queue@project.iam.gserviceaccount.com"
SECRET = "s" * 40
TASK = {"session_id": "0" * 32, "user_email": ""}

Headers = list[tuple[str, str]]


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """A place where a token is taken."""

    name: str
    client: httpx.AsyncClient
    publisher: Publisher
    method: str
    path: str
    header: str
    claims: dict[str, Any]

    def carrying(self, token: str) -> Headers:
        return [(self.header, token if self.header.startswith("X-") else f"Bearer {token}")]

    def token(self, **changed: Any) -> str:
        claims = {name: value for name, value in (self.claims | changed).items() if value is not ...}
        return self.publisher.sign(claims)

    async def knock(self, headers: Headers) -> httpx.Response:
        body = TASK if self.method == "POST" else None
        return await self.client.request(self.method, self.path, headers=headers, json=body)


@pytest.fixture(scope="module")
def issuers() -> Iterator[dict[str, Publisher]]:
    with publishing("ES256") as iap, publishing("RS256") as google, publishing("RS256") as evil:
        yield {"iap": iap, "google": google, "evil": evil}


@pytest.fixture(params=["iap", "google", "queue", "worker"])
async def door(request: pytest.FixtureRequest, issuers: dict[str, Publisher]) -> AsyncIterator[Door]:
    async with outward_client() as outward:
        yield make_door(request.param, issuers, outward)


def make_door(name: str, issuers: dict[str, Publisher], outward: httpx.AsyncClient, *, cloud_run: bool = True) -> Door:
    """One place with a service of its own behind it, which has fetched no keys yet."""
    publisher = issuers["iap" if name == "iap" else "google"]
    now = int(time.time())
    claims: dict[str, Any] = {"iat": now - 10, "exp": now + 600, "sub": "accounts.google.com:1"}
    if name in ("iap", "google"):
        config = WebConfig(
            running_in_cloud=True,
            iap_audience=AUDIENCE if name == "iap" else "",
            google_audience=AUDIENCE if name == "google" else "",
        )
        store = MemoryStore()
        identity = configured_identity(
            config,
            store=store,
            client=outward,
            iap=issuers["iap"].issuer(IAP),
            google=issuers["google"].issuer(GOOGLE),
        )
        claims |= {"aud": AUDIENCE, "email": EMAIL, "iss": (IAP if name == "iap" else GOOGLE).names[0]}
        return Door(
            name=name,
            client=in_process(
                config, store=store, identity=identity, queue_identity=SharedSecret(InternalToken("x")), outward=outward
            ),
            publisher=publisher,
            method="GET",
            path="/api/jobs",
            header="X-Goog-IAP-JWT-Assertion" if name == "iap" else "Authorization",
            claims=claims if name == "iap" else claims | {"email_verified": True},
        )
    account = queue_account(
        account=QUEUE,
        audience=SERVICE,
        token=InternalToken(SECRET),
        on_cloud_run=cloud_run,
        client=outward,
        google=issuers["google"].issuer(GOOGLE),
    )
    claims |= {"aud": SERVICE, "email": QUEUE, "email_verified": True, "iss": GOOGLE.names[0]}
    if name == "queue":
        config = WebConfig(running_in_cloud=True, api_keys=True)
        store = MemoryStore()
        identity = configured_identity(config, store=store, client=outward)
        client: httpx.AsyncClient = in_process(
            config, store=store, identity=identity, queue_identity=account, outward=outward
        )
        path = "/internal/extract"
    else:
        client, path = worker_client(account), "/process-ocr-batch"
    return Door(
        name=name, client=client, publisher=publisher, method="POST", path=path, header="Authorization", claims=claims
    )


def worker_client(account: QueueAccount) -> httpx.AsyncClient:
    config = WorkerConfig(ocr_engine="tests.scripted:create")
    registry = new_registry()
    app = assemble_worker(config, registry=registry)
    app.state.worker = create_worker(
        config,
        store=MemoryStore(),
        queue=idle_queue(),
        queue_identity=account,
        metrics=WorkerMetrics(registry),
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


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


async def test_no_forged_token_is_accepted(door: Door, issuers: dict[str, Publisher]) -> None:
    evil = issuers["evil"]
    asked_before = evil.fetches
    forged = forgeries(door, evil)
    with structlog.testing.capture_logs() as logs:
        assert (await door.knock(door.carrying(door.token()))).status_code == 200
        accepted, told = [], set()
        for name, token in forged.items():
            answer = await door.knock(door.carrying(token))
            told.add(answer.json()["detail"])
            if answer.status_code != 401 or answer.headers["www-authenticate"] != "Bearer":
                accepted.append((name, answer.status_code))
        assert (await door.knock(door.carrying(door.token()))).status_code == 200
    assert accepted == []
    assert len(forged) >= 60
    assert len(told) == 1, "the answer tells a forger how far he came"
    assert evil.fetches == asked_before, "keys were looked for where a token said"
    written = repr(logs)
    assert "credential_refused" in written or "queue_refused" in written
    for secret in (EMAIL, QUEUE, SECRET, *(token for token in forged.values() if len(token) > 20)):
        assert secret not in written


async def test_a_token_is_taken_in_its_place_alone(door: Door) -> None:
    token = door.token()
    elsewhere: list[Headers] = [
        [],
        [("Authorization", token)],
        [("Authorization", f"Basic {token}")],
        [("X-Api-Key", token)],
        [("X-User-Email", EMAIL)],
        [("X-Goog-Authenticated-User-Email", f"accounts.google.com:{EMAIL}")],
        [("Cookie", f"Authorization=Bearer {token}")],
    ]
    other = "Authorization" if door.header != "Authorization" else "X-Goog-IAP-JWT-Assertion"
    elsewhere.append([(other, f"Bearer {token}" if other == "Authorization" else token)])
    for headers in elsewhere:
        assert (await door.knock(headers)).status_code == 401, headers
    for headers in (door.carrying(token) * 2, [*door.carrying(door.token(exp=1)), *door.carrying(token)]):
        assert (await door.knock(headers)).status_code == 400, headers


async def test_a_proof_makes_the_header_of_local_mode_void(issuers: dict[str, Publisher]) -> None:
    async with outward_client() as outward:
        door = make_door("google", issuers, outward)
        claimed = [("X-User-Email", "other@example.org")]
        uploaded = await door.client.post(
            "/upload", files={"file": ("a.pdf", b"%PDF-1.7 a")}, headers=[*door.carrying(door.token()), *claimed]
        )
        assert uploaded.status_code == 202
        listed = await door.knock([*door.carrying(door.token()), *claimed])
        assert [job["job_id"] for job in listed.json()["jobs"]] == [uploaded.json()["job_id"]]
        other = await door.knock(door.carrying(door.token(email="other@example.org")))
        assert other.json()["jobs"] == []


@pytest.mark.parametrize(
    ("changed", "good"),
    [
        # Thirty seconds, with room for a slow machine on either side.
        ({"exp": -15}, True),
        ({"exp": -45}, False),
        ({"iat": 15}, True),
        ({"iat": 60}, False),
        ({"nbf": 15}, True),
        ({"nbf": 60}, False),
    ],
    ids=str,
)
async def test_clocks_may_differ_by_the_allowance(door: Door, changed: dict[str, int], good: bool) -> None:
    now = int(time.time())
    token = door.token(**({"iat": now - 600} | {name: now + offset for name, offset in changed.items()}))
    assert (await door.knock(door.carrying(token))).status_code == (200 if good else 401)


async def test_a_new_key_is_found_within_the_request_that_needs_it(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyset, "PAUSE_SECONDS", 0.0)
    old = door.carrying(door.token())
    assert (await door.knock(old)).status_code == 200
    door.publisher.rotate()
    assert (await door.knock(door.carrying(door.token()))).status_code == 200
    assert (await door.knock(old)).status_code == 401, "a key that is published no more proves nothing"


@pytest.mark.parametrize("name", ["iap", "google", "queue", "worker"])
@pytest.mark.parametrize(
    "answer",
    [None, (404, b"{}"), (200, b"<html>"), (200, b'{"keys":[]}'), (200, b"[]"), (302, b""), (200, b" " * 300_000)],
    ids=lambda answer: "away" if answer is None else f"{answer[0]}, {len(answer[1])} bytes",
)
async def test_without_keys_nobody_is_let_in(name: str, answer: tuple[int, bytes] | None) -> None:
    with publishing("ES256") as iap, publishing("RS256") as google:
        async with outward_client() as outward:
            issuers = {"iap": iap, "google": google}
            door = make_door(name, issuers, outward)
            token = door.token()
            if answer is None:
                door.publisher.close()
            door.publisher.answer = answer
            for forged in (token, with_algorithm(door, "none"), by_another_key(door)):
                refused = await door.knock(door.carrying(forged))
                assert refused.status_code == (401 if "none" in head_alg(forged.split(".")[0]) else 503)
                assert refused.json()["hint"]


@pytest.mark.parametrize("name", ["queue", "worker"])
async def test_a_stripped_token_of_the_queue_counts_only_on_cloud_run_and_with_the_secret(
    name: str, issuers: dict[str, Publisher]
) -> None:
    async with outward_client() as outward:
        on_cloud_run = make_door(name, issuers, outward)
        elsewhere = make_door(name, issuers, outward, cloud_run=False)

        def stripped(**changed: Any) -> Headers:
            token = on_cloud_run.token(**changed).rsplit(".", 1)[0]
            return on_cloud_run.carrying(f"{token}.SIGNATURE_REMOVED_BY_GOOGLE")

        secret = [("X-Internal-Token", SECRET)]
        assert (await on_cloud_run.knock([*stripped(), *secret])).status_code == 200
        refused = [
            (elsewhere, [*stripped(), *secret]),
            (on_cloud_run, stripped()),
            (on_cloud_run, [*stripped(), ("X-Internal-Token", "")]),
            (on_cloud_run, [*stripped(), ("X-Internal-Token", SECRET[:-1])]),
            (on_cloud_run, secret),
            *[
                (on_cloud_run, [*stripped(**changed), *secret])
                for changed in (
                    {"email": EMAIL},
                    {"email_verified": False},
                    {"aud": AUDIENCE},
                    {"iss": "https://issuer.example.org"},
                    {"exp": 1},
                    {"iat": int(time.time()) + 9999},
                )
            ],
            (on_cloud_run, [*on_cloud_run.carrying(by_another_key(on_cloud_run)), *secret]),
            (on_cloud_run, [*on_cloud_run.carrying(with_algorithm(on_cloud_run, "none", STRIPPED[1:])), *secret]),
        ]
        for door, headers in refused:
            assert (await door.knock(headers)).status_code == 401, headers


async def test_a_token_with_its_signature_is_never_read_as_a_stripped_one(issuers: dict[str, Publisher]) -> None:
    async with outward_client() as outward:
        google = issuers["google"].issuer(GOOGLE)
        tokens = TokenVerifier(google, SERVICE, KeySet(google.keys_url, google.algorithm, outward))
        with pytest.raises(BadToken, match="signature"):
            tokens.claims_of_stripped(by_another_key(make_door("queue", issuers, outward)))


@pytest.mark.parametrize("name", ["iap", "google"])
async def test_only_accounts_of_the_allowed_domains_are_admitted(name: str, issuers: dict[str, Publisher]) -> None:
    async with outward_client() as outward:
        door = make_door(name, issuers, outward)
        config = WebConfig(
            running_in_cloud=True,
            iap_audience=AUDIENCE if name == "iap" else "",
            google_audience=AUDIENCE if name == "google" else "",
            allowed_domains=" Example.org, example.net",
        )
        store = MemoryStore()
        identity = configured_identity(
            config,
            store=store,
            client=outward,
            iap=issuers["iap"].issuer(IAP),
            google=issuers["google"].issuer(GOOGLE),
        )
        client = in_process(
            config, store=store, identity=identity, queue_identity=SharedSecret(InternalToken("x")), outward=outward
        )
        door = msgspec.structs.replace(door, client=client)
        for domain, status in (("example.org", 200), ("Example.NET", 200), ("example.com", 403), ("", 403), (..., 403)):
            assert (await door.knock(door.carrying(door.token(hd=domain)))).status_code == status, domain

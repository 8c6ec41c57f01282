"""Tokens that prove nothing: none is accepted, wherever a token is taken."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
import structlog

from libs.idtoken import keyset
from libs.idtoken.keyset import KeySet
from libs.idtoken.token import GOOGLE, IAP, STRIPPED, BadToken, TokenVerifier
from libs.internal_token import InternalToken
from libs.storage.memory import MemoryStore
from services.serving.queue_identity import SharedSecret
from services.web.auth.configured import configured_identity
from services.web.config import WebConfig
from tests.inprocess import in_process, outward_client
from tests.integration.web.auth.doors import AUDIENCE, EMAIL, QUEUE, SECRET, SERVICE, Door, Headers, make_door
from tests.integration.web.auth.forgeries import by_another_key, forgeries, head_alg, with_algorithm
from tests.issuer import Publisher, publishing


@pytest.fixture(scope="module")
def issuers() -> Iterator[dict[str, Publisher]]:
    with publishing("ES256") as iap, publishing("RS256") as google, publishing("RS256") as evil:
        yield {"iap": iap, "google": google, "evil": evil}


@pytest.fixture(params=["iap", "google", "queue", "worker"])
async def door(request: pytest.FixtureRequest, issuers: dict[str, Publisher]) -> AsyncIterator[Door]:
    async with outward_client() as outward:
        yield make_door(request.param, issuers, outward)


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

"""Published keys: how often they are asked for, how long they are used, and which of them count."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from libs.idtoken.keyset import (
    FRESH_SECONDS,
    MAX_BYTES,
    PAUSE_SECONDS,
    STALE_SECONDS,
    KeySet,
    KeysUnavailable,
    UnknownKey,
)
from tests.inprocess import outward_client
from tests.issuer import Publisher, new_key, public_jwk, publishing


class Clock:
    """Seconds, moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with outward_client() as made:
        yield made


@pytest.fixture
def publisher() -> object:
    with publishing("ES256") as made:
        yield made


def keyset(publisher: Publisher, client: httpx.AsyncClient) -> tuple[KeySet, Clock]:
    clock = Clock()
    return KeySet(publisher.url, publisher.algorithm, client, clock=clock), clock


async def test_keys_are_fetched_when_first_needed_and_then_kept(
    publisher: Publisher, client: httpx.AsyncClient
) -> None:
    keys, clock = keyset(publisher, client)
    assert publisher.fetches == 0
    for _ in range(20):
        await keys.key(publisher.kid)
        clock.now += FRESH_SECONDS / 40
    assert publisher.fetches == 1
    clock.now += FRESH_SECONDS
    await keys.key(publisher.kid)
    assert publisher.fetches == 2


async def test_a_hundred_requests_at_once_fetch_once(publisher: Publisher, client: httpx.AsyncClient) -> None:
    keys, _ = keyset(publisher, client)
    await asyncio.gather(*(keys.key(publisher.kid) for _ in range(100)))
    assert publisher.fetches == 1


async def test_made_up_key_ids_cause_one_fetch_in_a_while(publisher: Publisher, client: httpx.AsyncClient) -> None:
    keys, clock = keyset(publisher, client)
    for number in range(200):
        with pytest.raises(UnknownKey):
            await keys.key(f"made-up-{number}")
    assert publisher.fetches == 1
    clock.now += PAUSE_SECONDS
    with pytest.raises(UnknownKey):
        await keys.key("made-up")
    assert publisher.fetches == 2


async def test_a_rotated_key_is_found_and_the_old_one_forgotten(
    publisher: Publisher, client: httpx.AsyncClient
) -> None:
    keys, clock = keyset(publisher, client)
    old = publisher.kid
    await keys.key(old)
    publisher.rotate()
    clock.now += PAUSE_SECONDS
    await keys.key(publisher.kid)
    with pytest.raises(UnknownKey):
        await keys.key(old)


async def test_known_keys_outlive_an_issuer_that_is_away_but_not_for_ever(
    publisher: Publisher, client: httpx.AsyncClient
) -> None:
    keys, clock = keyset(publisher, client)
    await keys.key(publisher.kid)
    publisher.answer = 500, b""
    clock.now += FRESH_SECONDS
    await keys.key(publisher.kid)
    assert publisher.fetches == 2
    with pytest.raises(KeysUnavailable):
        await keys.key("perhaps-the-newest")
    clock.now = STALE_SECONDS
    with pytest.raises(KeysUnavailable):
        await keys.key(publisher.kid)
    publisher.answer = None
    clock.now += PAUSE_SECONDS
    await keys.key(publisher.kid)


async def test_an_issuer_that_is_away_is_not_asked_by_every_request(
    publisher: Publisher, client: httpx.AsyncClient
) -> None:
    keys, clock = keyset(publisher, client)
    publisher.answer = 503, b""
    for _ in range(50):
        with pytest.raises(KeysUnavailable):
            await keys.key(publisher.kid)
    assert publisher.fetches == 1
    clock.now += PAUSE_SECONDS
    publisher.answer = None
    await keys.key(publisher.kid)


async def test_only_public_signature_keys_of_the_algorithm_count(
    publisher: Publisher, client: httpx.AsyncClient
) -> None:
    private = new_key("ES256")
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    good = public_jwk(private)
    entries = {
        "good": good,
        "without use": {key: value for key, value in good.items() if key not in ("use", "alg")},
        "for encryption": good | {"use": "enc"},
        "of another algorithm": good | {"alg": "ES384"},
        "of another kind": public_jwk(new_key("RS256")),
        "symmetric": {"kty": "oct", "k": "c2VjcmV0"},
        "private": ECAlgorithm.to_jwk(private, as_dict=True),
        "cut off": good | {"x": good["x"][:8]},
        "not on the curve": good | {"x": good["y"]},
        "empty": {},
    }
    listed: list[Any] = [entry | {"kid": kid} for kid, entry in entries.items()]
    listed += [{**good, "kid": 7}, good, "text", None]
    publisher.answer = 200, json.dumps({"keys": listed}).encode()
    keys, _ = keyset(publisher, client)
    counted = set()
    for kid in entries:
        try:
            await keys.key(kid)
        except UnknownKey:
            continue
        counted.add(kid)
    assert counted == {"good", "without use"}


async def test_an_answer_without_end_is_not_read(publisher: Publisher, client: httpx.AsyncClient) -> None:
    keys, clock = keyset(publisher, client)
    whole = publisher.document()
    publisher.answer = 200, whole.ljust(MAX_BYTES + 1)
    with pytest.raises(KeysUnavailable):
        await keys.key(publisher.kid)
    clock.now += PAUSE_SECONDS
    publisher.answer = 200, whole.ljust(MAX_BYTES)
    await keys.key(publisher.kid)


async def test_no_redirect_is_followed(publisher: Publisher, client: httpx.AsyncClient) -> None:
    with publishing("ES256") as elsewhere:
        publisher.answer = 302, b""
        publisher.location = elsewhere.url
        following = httpx.AsyncClient(trust_env=False, follow_redirects=True)
        async with following:
            keys, _ = keyset(publisher, following)
            with pytest.raises(KeysUnavailable):
                await keys.key(elsewhere.kid)
        assert elsewhere.fetches == 0

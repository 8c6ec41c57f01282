"""API keys: how they are made, when they count, how they are taken back."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from starlette.datastructures import Headers

from libs.idtoken.token import BadToken
from libs.storage.errors import Unavailable
from libs.storage.local import LocalStore
from libs.storage.memory import MemoryStore
from libs.storage.store import Stored
from services.serving.problem import Problem
from services.web.auth import apikey, cli, keyring
from services.web.auth.apikey import ApiKey, Scope, TornKey
from services.web.auth.keyring import CACHE_KEYS, CACHE_SECONDS, Keyring

OWNER = "owner@example.org"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = NOW.timestamp()

    def __call__(self) -> float:
        return self.now


class CountingStore(MemoryStore):
    """Counts what is read, and may be away."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: NOW)
        self.reads = 0
        self.away = False

    async def read(self, path: str) -> Stored:
        self.reads += 1
        if self.away:
            raise Unavailable(path)
        return await super().read(path)


async def made(store: MemoryStore, *scopes: Scope, days: int = 10) -> tuple[ApiKey, str]:
    key, text = apikey.issue(email=OWNER, scopes=scopes or (Scope.WRITE,), at=NOW, days=days)
    await keyring.save_new(store, key)
    return key, text


async def refusal(ring: Keyring, text: str, method: str = "GET") -> str:
    with pytest.raises(BadToken) as caught:
        await ring.user(text, method)
    return caught.value.reason


async def test_a_key_acts_as_its_owner() -> None:
    store = MemoryStore()
    _, text = await made(store)
    assert (await Keyring(store, clock=Clock()).user(text, "POST")).email == OWNER


def test_no_secret_is_kept() -> None:
    key, text = apikey.issue(email=OWNER, scopes=(Scope.READ,), at=NOW, days=1)
    assert re.fullmatch(r"gnosis_[0-9a-f]{16}_[0-9a-f]{64}", text)
    parts = apikey.parse(text)
    assert parts is not None
    assert parts[0] == key.id
    assert parts[1] not in apikey.encode(key).decode()
    assert apikey.decode(apikey.encode(key)) == key


def test_no_two_keys_are_alike() -> None:
    texts = [apikey.issue(email=OWNER, scopes=(Scope.READ,), at=NOW, days=1)[1] for _ in range(100)]
    assert len({text.split("_")[1] for text in texts}) == len({text.split("_")[2] for text in texts}) == 100


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: "gnosis_",
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text.upper(),
        lambda text: text + "\n",
        lambda text: f"{text[:-1]}{'0' if text[-1] != '0' else '1'}",
        lambda text: text.replace("_", "-"),
        lambda text: f"gnosis_../../users_{text[-64:]}",
        lambda text: f"gnosis_{'0' * 16}_{text[-64:]}",
        lambda text: f"{text[:24]}{'0' * 64}",
        lambda text: text.replace("gnosis", "gnosis_gnosis"),
        lambda text: "gnosis_" + "a" * 100_000,
    ],
    ids=[
        "empty",
        "mark alone",
        "cut off",
        "longer",
        "capitals",
        "line end",
        "last digit",
        "dashes",
        "path",
        "unknown id",
        "zeros",
        "mark twice",
        "huge",
    ],
)
async def test_what_is_not_quite_the_key_proves_nothing(change: Callable[[str], str]) -> None:
    store = MemoryStore()
    _, text = await made(store)
    assert await refusal(Keyring(store, clock=Clock()), change(text)) in ("malformed", "unknown_key")


async def test_the_secret_of_one_key_does_not_fit_another() -> None:
    store = MemoryStore()
    (first, _), (_, second) = await made(store), await made(store)
    assert await refusal(Keyring(store, clock=Clock()), f"gnosis_{first.id}_{second[-64:]}") == "unknown_key"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "get", "PURGE"])
async def test_a_key_to_read_only_reads(method: str) -> None:
    store = MemoryStore()
    ring = Keyring(store, clock=Clock())
    _, reading = await made(store, Scope.READ)
    _, writing = await made(store, Scope.WRITE)
    _, both = await made(store, Scope.READ, Scope.WRITE)
    for text in (writing, both):
        assert (await ring.user(text, method)).email == OWNER
    if method in ("GET", "HEAD", "OPTIONS"):
        assert (await ring.user(reading, method)).email == OWNER
        return
    with pytest.raises(Problem) as refused:
        await ring.user(reading, method)
    assert refused.value.status == 403


async def test_a_key_without_scopes_does_nothing() -> None:
    store = MemoryStore()
    key, text = apikey.issue(email=OWNER, scopes=(), at=NOW, days=1)
    await keyring.save_new(store, key)
    with pytest.raises(Problem):
        await Keyring(store, clock=Clock()).user(text, "GET")


async def test_a_key_expires_at_its_moment_also_when_it_is_remembered() -> None:
    store, clock = MemoryStore(), Clock()
    ring = Keyring(store, clock=clock)
    _, text = await made(store, days=1)
    clock.now += timedelta(days=1).total_seconds() - 1
    await ring.user(text, "GET")
    clock.now += 1
    assert await refusal(ring, text) == "expired"


async def test_a_revoked_key_ends_when_it_is_forgotten_at_the_latest() -> None:
    store, clock = MemoryStore(clock=lambda: NOW), Clock()
    ring = Keyring(store, clock=clock)
    key, text = await made(store)
    await ring.user(text, "GET")
    await keyring.revoke(store, key.id)
    assert await refusal(Keyring(store, clock=clock), text) == "revoked"
    clock.now += CACHE_SECONDS
    assert await refusal(ring, text) == "revoked"


async def test_revoking_twice_keeps_the_first_moment() -> None:
    moments = iter([NOW, NOW + timedelta(days=1), NOW + timedelta(days=2), NOW + timedelta(days=3)])
    store = MemoryStore(clock=lambda: next(moments, NOW + timedelta(days=9)))
    key, _ = await made(store)
    first = await keyring.revoke(store, key.id)
    assert first.revoked_at is not None
    assert (await keyring.revoke(store, key.id)).revoked_at == first.revoked_at


async def test_a_deleted_key_is_void_once_it_is_forgotten() -> None:
    store, clock = MemoryStore(), Clock()
    ring = Keyring(store, clock=clock)
    key, text = await made(store)
    await ring.user(text, "GET")
    await store.delete(keyring.key_path(key.id))
    clock.now += CACHE_SECONDS
    assert await refusal(ring, text) == "unknown_key"


async def test_a_clock_set_back_does_not_keep_a_key_alive() -> None:
    store, clock = MemoryStore(), Clock()
    ring = Keyring(store, clock=clock)
    key, text = await made(store)
    await ring.user(text, "GET")
    await keyring.revoke(store, key.id)
    clock.now -= 3600
    assert await refusal(ring, text) == "revoked"


async def test_many_requests_cost_one_look_into_the_storage() -> None:
    store, clock = CountingStore(), Clock()
    ring = Keyring(store, clock=clock)
    _, text = await made(store)
    for _ in range(50):
        await ring.user(text, "GET")
    assert store.reads == 1


async def test_without_the_storage_a_key_counts_only_while_it_is_remembered() -> None:
    store, clock = CountingStore(), Clock()
    ring = Keyring(store, clock=clock)
    _, text = await made(store)
    await ring.user(text, "GET")
    store.away = True
    await ring.user(text, "GET")
    clock.now += CACHE_SECONDS
    with pytest.raises(Unavailable):
        await ring.user(text, "GET")


async def test_guesses_push_no_key_out_and_what_is_remembered_is_bounded() -> None:
    store, clock = CountingStore(), Clock()
    ring = Keyring(store, clock=clock)
    _, mine = await made(store)
    await ring.user(mine, "GET")
    for number in range(CACHE_KEYS + 1):
        await refusal(ring, f"gnosis_{number:016x}_{'0' * 64}")
    store.reads = 0
    await ring.user(mine, "GET")
    assert store.reads == 0
    for _ in range(CACHE_KEYS):
        _, text = await made(store)
        await ring.user(text, "GET")
    store.reads = 0
    await ring.user(mine, "GET")
    assert store.reads == 1, "the key read longest ago is looked up again"


@pytest.mark.parametrize("torn", [b"", b"{", b"[]", b'{"id":"x"}', b"[" * 10_000])
async def test_a_torn_key_proves_nothing_and_is_listed_as_such(torn: bytes) -> None:
    store = MemoryStore()
    key, text = await made(store)
    await store.write(keyring.key_path(key.id), torn)
    assert await refusal(Keyring(store, clock=Clock()), text) == "unknown_key"
    assert [entry async for entry in keyring.all_keys(store)] == [(key.id, None)]
    with pytest.raises(TornKey):
        await keyring.revoke(store, key.id)


def test_keys_are_found_in_either_header_and_counted() -> None:
    ring = Keyring(MemoryStore())
    _, text = apikey.issue(email=OWNER, scopes=(Scope.READ,), at=NOW, days=1)
    assert list(ring.shown(Headers({"X-Api-Key": text}))) == [text]
    assert list(ring.shown(Headers({"authorization": f"bearer  {text} "}))) == [text]
    assert list(ring.shown(Headers({"Authorization": "Bearer a.b.c"}))) == []
    assert list(ring.shown(Headers({"Authorization": "Basic gnosis_"}))) == []
    both = Headers(raw=[(b"x-api-key", text.encode()), (b"authorization", b"Bearer gnosis_1")])
    assert len(ring.shown(both)) == 2


# The command


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STORAGE_PATH", str(tmp_path / "storage"))
    return tmp_path / "storage"


def test_a_key_is_made_listed_and_revoked_by_the_command(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["create", "--email", " Owner@Example.org ", "--scopes", "read", "--days", "30"]) == 0
    printed = capsys.readouterr()
    text = printed.out.strip()
    parts = apikey.parse(text)
    assert parts is not None, "standard output is the key and nothing else"
    assert OWNER in printed.err
    assert parts[1] not in printed.err
    for path in storage.rglob("*"):
        assert path.is_dir() or parts[1] not in path.read_text()

    assert cli.main(["list"]) == 0
    listed = capsys.readouterr().out
    assert re.search(rf"^{parts[0]} +valid +read .* {OWNER}$", listed, re.MULTILINE)
    assert parts[1] not in listed
    assert cli.main(["revoke", parts[0]]) == 0
    assert cli.main(["revoke", parts[0]]) == 0
    capsys.readouterr()
    cli.main(["list"])
    assert f"{parts[0]}  revoked" in capsys.readouterr().out


async def test_the_service_takes_what_the_command_made(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # As another process would: the command has its own event loop.
    code = await asyncio.to_thread(cli.main, ["create", "--email", OWNER])
    assert code == 0
    text = capsys.readouterr().out.strip()
    assert (await Keyring(LocalStore(storage)).user(text, "DELETE")).email == OWNER


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["create"], "--email"),
        (["create", "--email", "nobody"], "e-mail"),
        (["create", "--email", OWNER, "--scopes", "all"], "read, write"),
        (["create", "--email", OWNER, "--scopes", ""], "read, write"),
        (["create", "--email", OWNER, "--days", "0"], "1 to 365"),
        (["create", "--email", OWNER, "--days", "366"], "1 to 365"),
        (["create", "--email", OWNER, "--days", "1e2"], "1 to 365"),
        (["revoke", "../internal_token"], "16 hex digits"),
        (["revoke", "gnosis_" + "0" * 16 + "_" + "0" * 64], "never the whole key"),
        ([], "action"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_a_wrong_argument_is_explained(
    storage: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], hint: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert hint in capsys.readouterr().err
    assert not storage.exists()


def test_what_cannot_be_revoked_is_said(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["revoke", "0" * 16]) == 1
    assert "no key of this id" in capsys.readouterr().err
    torn = storage / "system" / "keys" / f"{'1' * 16}.json"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"{")
    assert cli.main(["revoke", "1" * 16]) == 1
    assert f"system/keys/{'1' * 16}.json" in capsys.readouterr().err


def test_keys_are_never_made_where_no_service_looks(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("K_SERVICE", "web")
    assert cli.main(["create", "--email", OWNER]) == 2
    assert "RUNNING_IN_CLOUD" in capsys.readouterr().err
    assert not storage.exists()


def test_a_key_of_a_later_version_is_still_read() -> None:
    key, _ = apikey.issue(email=OWNER, scopes=(Scope.READ,), at=NOW, days=1)
    later = msgspec.json.encode(msgspec.json.decode(apikey.encode(key)) | {"note": "more"})
    assert apikey.decode(later) == key

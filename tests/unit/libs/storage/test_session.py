from collections.abc import AsyncIterator

import msgspec
import pytest

from libs.storage import layout
from libs.storage.errors import Forbidden, NotFound
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles, create_session, owner_of, validate_session

OWNER = "ada@example.org"
#: Two addresses with the same hash; one core finds such a pair in about a minute.
COLLIDING = ("u24485408@sec.example", "u34974273@sec.example")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def session(store: MemoryStore) -> SessionFiles:
    return await create_session(store, OWNER)


async def test_a_new_session_belongs_to_its_user_and_has_an_id_of_its_own(store: MemoryStore) -> None:
    first, second = await create_session(store, OWNER), await create_session(store, " ADA@example.org ")
    assert first.user_hash == second.user_hash == layout.user_hash(OWNER)
    assert layout.is_session_id(first.session_id)
    assert first.session_id != second.session_id


async def test_files_of_a_session_lie_in_its_folder(session: SessionFiles) -> None:
    assert session.path("intake.json") == f"users/{session.user_hash}/{session.session_id}/intake.json"


async def test_an_address_is_relative_and_percent_encoded(session: SessionFiles) -> None:
    base = f"/storage/{session.user_hash}/{session.session_id}/"
    assert session.url("page_001.png") == base + "page_001.png"
    assert session.url("é #1?%.pdf") == base + "%C3%A9%20%231%3F%25.pdf"
    assert session.url("batches/0001.json") == base + "batches/0001.json"


async def test_a_page_image_is_saved_once_and_never_replaced(store: MemoryStore, session: SessionFiles) -> None:
    generation = await session.save_page_image(7, b"first")
    assert await session.save_page_image(7, b"second") == generation
    assert (await store.read(session.path("page_007.png"))).data == b"first"


async def test_the_combined_result_is_saved_whole_or_in_chunks(session: SessionFiles) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"<!-- page 1 -->\n"
        yield "é".encode()

    await session.save_combined("whole ☑")
    assert await session.read_text("combined_output.md") == "whole ☑"
    await session.save_combined(chunks())
    assert await session.read_text("combined_output.md") == "<!-- page 1 -->\né"


async def test_reading_a_missing_file_says_so(session: SessionFiles) -> None:
    with pytest.raises(NotFound):
        await session.read_text("page_001_result.txt")


async def test_a_name_cannot_lead_out_of_the_session(session: SessionFiles) -> None:
    for name in ("../other/page_001.png", "/etc/passwd", "", "batches/../../x"):
        with pytest.raises(Forbidden):
            await session.read_text(name)


def owned_by(email: str) -> bytes:
    return msgspec.json.encode({"user_email": email})


@pytest.mark.parametrize("name", [layout.INTAKE, layout.RECORD])
async def test_a_session_is_valid_for_the_user_that_its_intake_or_its_record_names(
    store: MemoryStore, session: SessionFiles, name: str
) -> None:
    await store.write(session.path(name), owned_by(OWNER))
    for email in (OWNER, f" {OWNER.upper()} "):
        assert await validate_session(store, email, session.session_id) == session
        assert await validate_session(store, email, session.session_id, user_hash=session.user_hash) == session
    assert await owner_of(session) == OWNER


async def test_the_record_names_the_owner_where_the_intake_is_damaged(store: MemoryStore) -> None:
    session = await create_session(store, COLLIDING[0])
    await store.write(session.path(layout.INTAKE), b'{"user_em')
    await store.write(session.path(layout.RECORD), owned_by(COLLIDING[0]))
    assert await validate_session(store, COLLIDING[0], session.session_id) == session
    with pytest.raises(NotFound):
        await validate_session(store, COLLIDING[1], session.session_id)


async def test_a_session_of_which_nothing_can_be_read_belongs_to_the_user_of_its_folder(
    store: MemoryStore, session: SessionFiles
) -> None:
    for path in (session.intake_path, session.record_path):
        await store.write(path, b"{")
    assert await validate_session(store, OWNER, session.session_id) == session
    assert await owner_of(session) is None
    with pytest.raises(NotFound):
        await validate_session(store, "other@example.org", session.session_id)


async def test_a_session_of_another_user_is_forbidden_whether_or_not_it_exists(
    store: MemoryStore, session: SessionFiles
) -> None:
    await store.write(session.path(layout.INTAKE), owned_by(OWNER))
    for session_id in (session.session_id, layout.new_session_id(), ".."):
        with pytest.raises(Forbidden):
            await validate_session(store, "eve@example.org", session_id, user_hash=session.user_hash)


async def test_a_session_is_not_found_by_another_user(store: MemoryStore, session: SessionFiles) -> None:
    await store.write(session.path(layout.INTAKE), owned_by(OWNER))
    with pytest.raises(NotFound):
        await validate_session(store, "eve@example.org", session.session_id)


async def test_a_session_is_not_found_by_a_user_whose_address_has_the_same_hash(store: MemoryStore) -> None:
    assert layout.user_hash(COLLIDING[0]) == layout.user_hash(COLLIDING[1])
    session = await create_session(store, COLLIDING[0])
    for name in (layout.INTAKE, layout.RECORD):
        await store.write(session.path(name), owned_by(COLLIDING[0]))
    assert await validate_session(store, COLLIDING[0], session.session_id) == session
    for user_hash in (None, session.user_hash):
        with pytest.raises(NotFound):
            await validate_session(store, COLLIDING[1], session.session_id, user_hash=user_hash)


async def test_an_unknown_malformed_or_deleted_session_is_not_found(store: MemoryStore, session: SessionFiles) -> None:
    await store.write(session.path(layout.INTAKE), owned_by(OWNER))
    for session_id in (
        layout.new_session_id(),
        session.session_id[:-1],
        session.session_id.upper(),
        "..",
        "",
    ):
        with pytest.raises(NotFound):
            await validate_session(store, OWNER, session_id)
    await store.write(layout.tombstone_path(session.user_hash, session.session_id), b"")
    with pytest.raises(NotFound):
        await validate_session(store, OWNER, session.session_id)

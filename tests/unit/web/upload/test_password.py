"""A password that comes with an upload: by every way it is stored in one place, and shown in none."""

import base64
import json
from typing import Any

import msgspec
import pytest

from libs.jobstate.commit import load
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from libs.taskqueue.queue import EXTRACT_QUEUE
from services.web.upload.admission import MAX_PASSWORD
from tests.reachable import ReachableStore
from tests.tusclient import ADA, PDF, Answer, Client, metadata

SECRET = " Zq7pLkW9 geh\u00efm\u20ac, "
#: How it may be written where it must not be.
FORMS = [
    SECRET.encode(),
    b"Zq7pLkW9",
    base64.b64encode(SECRET.encode()).rstrip(b"="),
    json.dumps(SECRET).encode(),
]


def form(*, file: bytes = PDF, **fields: str) -> bytes:
    parts = [("file", '; filename="a.pdf"', file)] + [(name, "", text.encode()) for name, text in fields.items()]
    body = b"".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"
        for name, more, content in parts
    )
    return body + b"--b--\r\n"


async def by_form(client: Client, password: str, **headers: str) -> Answer:
    body = form(password=password)
    given = {"Content_Type": "multipart/form-data; boundary=b", **headers}
    return await client.send("POST", "/upload", body, headers=given)


async def by_tus(client: Client, password: str) -> Answer:
    given = metadata(filename="a.pdf", password=password, pages="1")
    answer = await client.send("POST", "/api/uploads", Upload_Length=str(len(PDF)), Upload_Metadata=given)
    if answer.status == 201:
        answer = await client.patch(answer.headers["location"], 0, PDF)
    return answer


async def to_the_bucket(client: Client, password: str) -> Answer:
    order = json.dumps({"filename": "a.pdf", "size": len(PDF), "password": password}).encode()
    answer = await client.send("POST", "/api/direct-uploads", order)
    if answer.status != 201:
        return answer
    begun = json.loads(answer.body)
    assert isinstance(client.store, ReachableStore)
    await client.store.arrive(begun["upload_url"], PDF)
    return await client.send("POST", begun["complete"])


WAYS = {"form": by_form, "tus": by_tus, "direct": to_the_bucket}


@pytest.fixture
def client() -> Client:
    store = ReachableStore()
    client = Client(store)
    client.web = client.app.state.web = msgspec.structs.replace(client.web, direct=store)
    return client


def session(client: Client, answer: Answer) -> SessionFiles:
    session_id = answer.headers["location"].rsplit("/", 1)[-1]
    return SessionFiles(store=client.store, user_hash=layout.user_hash(ADA), session_id=session_id)


async def holders(store: Any) -> list[str]:
    """The objects in which the password is, in any form."""
    stored = {stat.path: (await store.read(stat.path)).data async for stat in store.list("")}
    return [path for path, data in stored.items() if any(text in data for text in FORMS)]


@pytest.mark.parametrize("way", WAYS)
async def test_it_is_in_an_object_of_its_own_and_the_record_says_only_that_there_is_one(
    client: Client, way: str
) -> None:
    answer = await WAYS[way](client, SECRET)
    files = session(client, answer)
    assert await holders(client.store) == [files.path(layout.PASSWORD)]
    assert (await client.store.read(files.password_path)).data == SECRET.encode()
    assert (await load(files)).options.has_password
    (task,) = client.queue._lanes[EXTRACT_QUEUE]._waiting
    assert files.session_id in repr(task)
    assert "Zq7pLkW9" not in repr(task)
    assert b"Zq7pLkW9" not in answer.body


@pytest.mark.parametrize("way", WAYS)
async def test_without_one_nothing_is_kept(client: Client, way: str) -> None:
    files = session(client, await WAYS[way](client, ""))
    assert not (await load(files)).options.has_password
    assert [path async for path in client.store.children(files.prefix)] == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("password", ["a" * (MAX_PASSWORD + 1), "nul\0l"])
async def test_what_cannot_be_a_password_is_refused_without_repeating_it(
    client: Client, way: str, password: str
) -> None:
    answer = await WAYS[way](client, password)
    assert answer.status == 422
    assert password.encode() not in answer.body
    assert [stat.path async for stat in client.store.list("")] == []


async def test_the_longest_password_is_kept_whole(client: Client) -> None:
    files = session(client, await by_form(client, "\u20ac" * MAX_PASSWORD))
    assert (await client.store.read(files.password_path)).data.decode() == "\u20ac" * MAX_PASSWORD


async def test_it_is_not_among_the_metadata_that_head_returns(client: Client) -> None:
    for given in (
        metadata(filename="a.pdf", password=SECRET, pages="1"),
        metadata(password=SECRET),
        f"filename YS5wZGY= ,  {metadata(password=SECRET)} , is_private",
    ):
        created = await client.send("POST", "/api/uploads", Upload_Length="10", Upload_Metadata=given)
        assert created.status == 201
        head = await client.send("HEAD", created.headers["location"])
        assert "password" not in str(head.headers)
        assert ("filename" in given) == ("YS5wZGY=" in head.headers.get("upload-metadata", ""))
        files = session(client, created)
        assert await client.store.read(files.password_path)
        assert (await client.send("DELETE", created.headers["location"])).status == 204
    assert await holders(client.store) == []


async def test_no_address_of_a_stored_file_leads_to_it(client: Client) -> None:
    files = session(client, await by_tus(client, SECRET))
    for name in ("private/password", "private%2Fpassword", "private%252Fpassword", "./private/password", "password"):
        answer = await client.send("GET", f"/storage/{files.user_hash}/{files.session_id}/{name}")
        assert answer.status in (403, 404), name
        assert b"Zq7pLkW9" not in answer.body


async def test_an_upload_with_the_name_of_its_folder_is_stored_under_another(client: Client) -> None:
    body = form(password=SECRET).replace(b'"a.pdf"', b'"private"')
    answer = await client.send("POST", "/upload", body, Content_Type="multipart/form-data; boundary=b")
    files = session(client, answer)
    assert (await load(files)).file_info.raw_file == "upload_private"
    assert (await client.store.read(files.password_path)).data == SECRET.encode()


async def test_an_idempotency_key_keeps_nothing_that_depends_on_it(client: Client) -> None:
    first = await by_form(client, SECRET, Idempotency_Key="upload-1")
    keys = [stat async for stat in client.store.list(layout.IDEMPOTENCY)]
    again = await by_form(client, "another", Idempotency_Key="upload-1")
    assert again.headers["location"] == first.headers["location"]
    files = session(client, first)
    assert (await client.store.read(files.password_path)).data == SECRET.encode(), "that of the job"
    assert [stat async for stat in client.store.list(layout.IDEMPOTENCY)] == keys
    refused = await by_form(client, "", Idempotency_Key="upload-1")
    assert refused.status == 422, "an upload without a password is another one"


async def test_a_deleted_job_leaves_none(client: Client) -> None:
    files = session(client, await by_form(client, SECRET))
    assert (await client.send("DELETE", f"/api/jobs/{files.session_id}")).status == 204
    assert await holders(client.store) == []


async def test_a_cancelled_job_leaves_none(client: Client) -> None:
    files = session(client, await by_form(client, SECRET))
    assert (await client.send("POST", f"/api/jobs/{files.session_id}/cancel")).status == 202
    assert await holders(client.store) == []


async def test_uploads_in_memory_are_searched_as_they_should_be() -> None:
    """The search finds each form that it looks for."""
    store = MemoryStore()
    for number, text in enumerate(FORMS):
        await store.write(str(number), b"a" + text + b"b")
    assert await holders(store) == ["0", "1", "2", "3"]

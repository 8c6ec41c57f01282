"""The languages of a document: checked against what the worker has, and kept in the record."""

import json

import pytest

from libs import workerstate
from libs.jobstate.commit import load
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.workerstate import WorkerState
from tests.tusclient import PDF, Answer, Client, metadata

STATE = WorkerState(
    engine="rapidocr",
    engines=("auto", "rapidocr", "tesseract", "nanonets"),
    languages={"rapidocr": ("deu", "eng", "rus"), "tesseract": ("eng",)},
)


async def asked(client: Client, **fields: str) -> Answer:
    """The answer to an upload with these fields; by tus, which reads them as the other ways do."""
    return await client.send(
        "POST",
        "/api/uploads",
        PDF,
        headers={"Content_Type": "application/offset+octet-stream"},
        Upload_Length=str(len(PDF)),
        Upload_Metadata=metadata(**fields),
    )


async def client_of(state: WorkerState | None) -> Client:
    store = MemoryStore()
    if state is not None:
        await store.write(layout.WORKER_STATE, workerstate.encode(state))
    return Client(store)


@pytest.mark.parametrize(
    ("fields", "languages"),
    [
        ({"languages": "en, de"}, ("eng", "deu")),
        ({"languages": "ru", "engine": "auto"}, ("rus",)),
        ({"languages": "en", "engine": "tesseract"}, ("eng",)),
        ({"languages": "he", "engine": "nanonets"}, ("heb",)),
        ({"languages": ""}, ()),
        ({}, ()),
    ],
)
async def test_the_record_has_the_languages_by_the_codes_of_the_engine(
    fields: dict[str, str], languages: tuple[str, ...]
) -> None:
    client = await client_of(STATE)
    answer = await asked(client, **fields)
    assert answer.status == 201, answer.body
    assert (await load(client.files(answer.headers["location"]))).options.languages == languages


@pytest.mark.parametrize(
    ("fields", "detail", "hint"),
    [
        ({"languages": "fr"}, "The engine rapidocr does not read the language fra here.", "deu, eng, rus"),
        ({"languages": "en,de", "engine": "tesseract"}, "The engine tesseract does not read", "some of: eng."),
        ({"languages": "klingon"}, "'klingon' is not the code of a language", "Correct the field languages"),
    ],
)
async def test_a_language_that_is_not_there_is_refused_with_those_that_are(
    fields: dict[str, str], detail: str, hint: str
) -> None:
    client = await client_of(STATE)
    answer = await asked(client, **fields)
    assert answer.status == 422
    problem = json.loads(answer.body)
    assert detail in problem["detail"]
    assert hint in problem["hint"]
    assert [stat.path async for stat in client.store.list(layout.USERS)] == []


async def test_before_a_worker_has_said_what_it_has_every_known_language_is_taken() -> None:
    client = await client_of(None)
    answer = await asked(client, languages="fr")
    assert (await load(client.files(answer.headers["location"]))).options.languages == ("fra",)

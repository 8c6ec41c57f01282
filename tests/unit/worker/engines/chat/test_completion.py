"""The request of a page: what the profile adds to it, and what a server may refuse of it."""

from typing import Any

from services.worker.engines.chat.completion import CompletionRequest, refused_field
from services.worker.engines.transcriber import Sampling

PNG = b"\x89PNG"
NOTHING: frozenset[str] = frozenset()


def request(**more: Any) -> CompletionRequest:
    return CompletionRequest(model="m", prompt="Read.", image=PNG, sampling=Sampling(max_tokens=7), **more)


def content(made: CompletionRequest) -> list[str]:
    messages: Any = made.fields(without=NOTHING)["messages"]
    return [part["type"] for part in messages[0]["content"]]


def test_the_image_stands_where_the_model_was_trained_to_have_it() -> None:
    assert content(request()) == ["image_url", "text"]
    assert content(request(image_first=False)) == ["text", "image_url"]


def test_a_model_without_a_prompt_gets_the_image_alone() -> None:
    made = CompletionRequest(model="m", prompt="", image=PNG, sampling=Sampling(max_tokens=7))
    assert content(made) == ["image_url"]


def test_further_fields_are_sent_and_replace_none_of_ours() -> None:
    fields = request(extra={"top_p": 0.9, "max_tokens": 1, "vllm_xargs": {"ngram_size": 30}}).fields(without=NOTHING)
    assert (fields["top_p"], fields["max_tokens"], fields["vllm_xargs"]) == (0.9, 7, {"ngram_size": 30})


def test_a_further_field_that_the_server_does_not_know_is_left_out() -> None:
    made = request(extra={"vllm_xargs": {}, "top_p": 0.9})
    field = refused_field(b'{"error": "Unrecognized request argument: vllm_xargs"}', made.extra)
    assert field == "vllm_xargs"
    assert field not in made.fields(without=frozenset({field}))
    assert refused_field(b'{"error": "image too large"}', made.extra) is None

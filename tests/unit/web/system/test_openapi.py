"""The OpenAPI document, and the page made of it."""

import json
import re
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # publishes no types
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from services.web.system.docs import METHODS, render_docs
from services.web.system.site import interface

DOCUMENT = interface()
OPERATIONS = [
    (path, method, item[method]) for path, item in DOCUMENT["paths"].items() for method in METHODS if method in item
]
PAGE = render_docs(DOCUMENT)

# The rows of the interface that this version has.
PROMISED = {
    ("/upload", "post"),
    ("/api/uploads", "options"),
    ("/api/uploads", "post"),
    *(("/api/uploads/{upload_id}", method) for method in ("options", "head", "post", "patch", "delete")),
    ("/api/direct-uploads", "post"),
    ("/api/direct-uploads/{upload_id}", "delete"),
    ("/api/direct-uploads/{upload_id}/complete", "post"),
    ("/api/jobs", "get"),
    ("/api/jobs/{job_id}", "delete"),
    ("/api/jobs/{job_id}/status", "get"),
    ("/api/v1/jobs/{job_id}/status", "get"),
    ("/api/jobs/{job_id}/events", "get"),
    ("/api/jobs/{job_id}/cancel", "post"),
    ("/api/jobs/{job_id}/webhooks", "get"),
    ("/api/webhooks", "get"),
    ("/api/jobs/{job_id}/retry", "post"),
    ("/metrics", "get"),
    ("/api/jobs/{job_id}/pages/{n}", "get"),
    ("/api/jobs/{job_id}/pages/{n}/image", "get"),
    ("/api/jobs/{job_id}/result", "get"),
    ("/storage/{user_hash}/{session_id}/{filename}", "get"),
    ("/schemas/page.json", "get"),
    *((path, "get") for path in ("/", "/docs", "/openapi.json", "/version", "/health", "/ready", "/cache/info")),
}


class Page(HTMLParser):
    """The ids, links and sources of an HTML page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.inline: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("href", "src"):
                self.links.append(value or "")
            elif name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")


def walk(node: Any, pointer: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield pointer, node
        for key, value in node.items():
            yield from walk(value, f"{pointer}/{key}")
    elif isinstance(node, list):
        for at, value in enumerate(node):
            yield from walk(value, f"{pointer}/{at}")


def target(reference: str) -> Any:
    node: Any = DOCUMENT
    for key in reference.removeprefix("#/").split("/"):
        node = node[key]
    return node


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = target(node["$ref"])
    return node


def examples() -> list[Any]:
    """Every example of a JSON body, with the pointer to its schema."""
    found = []
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for at, example in enumerate(schema.get("examples", ())):
            found.append(pytest.param(f"#/components/schemas/{name}", example, id=f"{name}-{at}"))
    for name, response in DOCUMENT["components"]["responses"].items():
        for media in response.get("content", {}).values():
            for label, example in media.get("examples", {}).items():
                found.append(pytest.param(media["schema"]["$ref"], example["value"], id=f"{name}-{label}"))
    return found


def test_the_document_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_every_reference_leads_into_the_document() -> None:
    references = [node["$ref"] for _, node in walk(DOCUMENT) if "$ref" in node]

    assert references
    for reference in references:
        assert reference.startswith("#/")
        assert target(reference)


def test_every_component_is_used() -> None:
    used = {node["$ref"] for _, node in walk(DOCUMENT) if "$ref" in node}
    named = {
        f"#/components/{kind}/{name}"
        for kind, entries in DOCUMENT["components"].items()
        if kind != "securitySchemes"
        for name in entries
    }

    assert named - used == set()


def test_the_document_has_exactly_the_promised_operations() -> None:
    assert {(path, method) for path, method, _ in OPERATIONS} == PROMISED


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_operation_names_itself_its_tag_and_its_answers(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    declared = {parameter["name"] for parameter in map(resolved, DOCUMENT["paths"][path].get("parameters", ()))}

    assert declared == set(re.findall(r"{(\w+)}", path))
    assert operation["summary"]
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    assert any(status.startswith("2") for status in operation["responses"])


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_error_answer_is_a_problem_with_an_example(path: str, method: str, operation: dict[str, Any]) -> None:
    for status, given in operation["responses"].items():
        answer = resolved(given)
        if status < "400" or path in ("/health", "/ready"):
            continue
        media = answer["content"]["application/problem+json"]
        assert media["schema"]["$ref"].rsplit("/", 1)[-1] in ("Problem", "NotDone")
        for example in media["examples"].values():
            assert str(example["value"]["status"]) == status


@pytest.mark.parametrize(("pointer", "example"), examples())
def test_every_example_fits_its_schema(pointer: str, example: Any) -> None:
    registry = Registry().with_resource("urn:document", Resource.from_contents(DOCUMENT, DRAFT202012))
    validator = Draft202012Validator(
        {"$ref": f"urn:document{pointer}"}, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
    )

    assert [error.message for error in validator.iter_errors(example)] == []


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_the_page_shows_every_operation(path: str, method: str, operation: dict[str, Any]) -> None:
    article = PAGE.split(f'<article class="operation" id="{operation["operationId"]}">')[1].split("</article>")[0]

    assert escape(operation["summary"]) in article
    assert method.upper() in article
    assert f"<code>{escape(path)}</code>" in article
    assert "curl " in article
    for status in operation["responses"]:
        assert f">{status}</span>" in article
    parameters = [*DOCUMENT["paths"][path].get("parameters", ()), *operation.get("parameters", ())]
    for parameter in map(resolved, parameters):
        assert f"<code>{parameter['name']}</code>" in article


def test_the_page_shows_every_schema_with_its_fields() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        article = PAGE.split(f'id="schema-{name}">')[1].split("</article>")[0]
        for field in schema.get("properties", {}):
            assert f"<code>{field}</code>" in article


def test_every_curl_example_is_complete() -> None:
    commands = re.findall(r"<code>(curl [^<]*)</code>", PAGE)

    assert len(commands) == len(OPERATIONS)
    assert not [command for command in commands if "{n}" in command or "{job_id}" in command or "..." in command]


def test_every_link_within_the_page_has_its_target_and_no_id_is_given_twice() -> None:
    page = Page(PAGE)

    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_the_page_needs_no_script_and_nothing_from_elsewhere() -> None:
    page = Page(PAGE)

    assert "script" not in page.tags
    assert "style" not in page.tags
    assert page.inline == []
    assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in page.links)


def test_markup_in_the_document_is_shown_and_not_obeyed() -> None:
    hostile = json.loads(json.dumps(DOCUMENT))
    hostile["info"]["title"] = "<script>alert(1)</script>"
    hostile["paths"]["/upload"]["post"]["summary"] = '"><img src=x onerror=alert(1)>'
    hostile["components"]["schemas"]["Problem"]["properties"]["<b>"] = {"type": "string", "description": "<iframe>"}
    page = Page(render_docs(hostile))

    assert not {"script", "iframe"} & set(page.tags)
    assert page.inline == []
    assert set(page.links) == set(Page(PAGE).links)

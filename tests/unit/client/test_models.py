"""The client's models are the schemas of `/openapi.json`."""

from typing import Any

import msgspec
import pytest

from gnosis_ocr import errors, models, pagedocument
from services.web.outputs.result import ResultForm
from services.web.system.site import interface

SCHEMAS: dict[str, Any] = interface()["components"]["schemas"]
MODELS: list[type[msgspec.Struct]] = [
    value
    for value in (*vars(models).values(), *vars(pagedocument).values())
    if isinstance(value, type) and issubclass(value, msgspec.Struct) and value is not msgspec.Struct
]
JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def shapes(node: dict[str, Any]) -> set[Any]:
    """The JSON types that the schema admits; of an array with those of its items, of an object with its name."""
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        if "properties" in SCHEMAS.get(name, {}):
            return {("object", name)}
        return shapes(SCHEMAS[name])
    for choice in ("anyOf", "oneOf"):
        if choice in node:
            return set().union(*(shapes(one) for one in node[choice]))
    if "type" not in node:
        return {JSON_TYPES[type(value)] for value in node.get("enum", [node.get("const")])}
    types = node["type"] if isinstance(node["type"], list) else [node["type"]]
    return {shape(kind, node) for kind in types}


def shape(kind: str, node: dict[str, Any]) -> Any:
    if kind == "array" and "prefixItems" in node:
        return kind, tuple(frozenset(shapes(item)) for item in node["prefixItems"])
    if kind == "array":
        return kind, frozenset(shapes(node["items"]))
    if kind == "object":
        (values,) = (
            node["patternProperties"].values() if "patternProperties" in node else [node["additionalProperties"]]
        )
        return "map", frozenset(shapes(values))
    return kind


def own_schema(model: type[msgspec.Struct]) -> dict[str, Any]:
    _, definitions = msgspec.json.schema_components([model])
    schema: dict[str, Any] = definitions[model.__name__]
    return schema


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_has_the_fields_of_its_schema_and_takes_what_the_schema_admits(model: type[msgspec.Struct]) -> None:
    schema, own = SCHEMAS[model.__name__], own_schema(model)

    assert own["properties"].keys() == schema["properties"].keys(), "mend clients/python/gnosis_ocr/models.py"
    assert set(own.get("required", ())) <= set(schema.get("required", ()))
    for name, node in schema["properties"].items():
        taken = shapes(own["properties"][name])
        admitted = shapes(node)
        if "number" in taken:
            admitted.discard("integer")
        assert admitted <= taken, name


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_takes_the_examples_of_its_schema(model: type[msgspec.Struct]) -> None:
    for example in SCHEMAS[model.__name__].get("examples", ()):
        assert isinstance(msgspec.json.decode(msgspec.json.encode(example), type=model), model)


def test_the_problem_of_an_error_has_the_fields_of_its_schema() -> None:
    assert set(errors.Problem.__struct_fields__) - {"extensions"} == SCHEMAS["Problem"]["properties"].keys()


def test_the_names_of_states_and_forms_are_those_of_the_service() -> None:
    assert set(models.FORMS) == set(ResultForm)
    ended = {status for status in SCHEMAS["JobStatus"]["enum"] if status in models.ENDED}
    assert ended == models.ENDED
    assert set(SCHEMAS["JobStatus"]["enum"]) - ended == {"queued", "extracting", "processing"}

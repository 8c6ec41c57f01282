"""The `/docs` page: the OpenAPI document as static HTML, without scripts."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from services.web.text.html import to_html

#: The address in the curl examples: the local service at its default port.
BASE = "http://127.0.0.1:7799"

#: The HTTP methods of an OpenAPI path item, in the order in which the page shows them.
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")

#: An object of the OpenAPI document.
Node = Mapping[str, Any]


def render_docs(openapi: Mapping[str, Any]) -> str:
    """The whole document as one page: each operation with its parameters, bodies, answers and a curl example.

    Expects a valid OpenAPI 3.1 document whose references are local.
    """
    return _Docs(openapi).page()


class _Docs:
    def __init__(self, document: Node) -> None:
        self._document = document

    def page(self) -> str:
        info = self._document["info"]
        title = f"{info['title']} {info['version']}: API"
        sections = [(tag, list(self._tagged(tag["name"]))) for tag in self._document.get("tags", ())]
        return "".join(
            (
                '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
                '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
                '<meta name="color-scheme" content="light dark">\n',
                f"<title>{escape(title)}</title>\n",
                '<link rel="icon" href="/static/favicon.svg" type="image/svg+xml">\n',
                '<link rel="stylesheet" href="/static/styles/base.css">\n',
                '<link rel="stylesheet" href="/static/styles/docs.css">\n</head>\n<body>\n',
                '<a class="skip" href="#main">Skip to content</a>\n',
                _masthead(info["title"]),
                '<div class="docs">\n',
                self._contents(sections),
                '<main id="main" tabindex="-1">\n',
                f"<h1>{escape(info['title'])} API</h1>\n",
                f'<p class="lede">{escape(info.get("summary", ""))}</p>\n',
                _prose(info.get("description", "")),
                '<p>The same as a document for tools: <a href="/openapi.json">openapi.json</a>.</p>\n',
                self._security(),
                *(self._section(tag, operations) for tag, operations in sections),
                self._schemas(),
                "</main>\n</div>\n</body>\n</html>\n",
            )
        )

    def _tagged(self, tag: str) -> Iterator[tuple[str, str, Node, Node]]:
        """Path, method, path item and operation of each operation under the tag, in the document's order."""
        for path, item in self._document["paths"].items():
            for method in METHODS:
                if method in item and tag in item[method]["tags"]:
                    yield path, method, item, item[method]

    def _contents(self, sections: Iterable[tuple[Node, list[tuple[str, str, Node, Node]]]]) -> str:
        parts = ['<nav class="contents" aria-label="Contents">\n']
        for tag, operations in sections:
            parts.append(f"<h2>{escape(tag['name'])}</h2>\n<ul>\n")
            parts.extend(
                f'<li><a href="#{escape(operation["operationId"])}">{escape(operation["summary"])}</a></li>\n'
                for _, _, _, operation in operations
            )
            parts.append("</ul>\n")
        parts.append('<h2><a href="#schemas">Schemas</a></h2>\n</nav>\n')
        return "".join(parts)

    def _security(self) -> str:
        schemes = self._document["components"].get("securitySchemes", {})
        rows = [
            (
                f"<code>{escape(scheme.get('name', 'Authorization'))}</code>",
                escape(scheme.get("in", "header")),
                _prose(scheme.get("description", "")),
            )
            for scheme in schemes.values()
        ]
        return f"<h2>Who is asking</h2>\n{_table(('Name', 'In', 'Meaning'), rows)}" if rows else ""

    def _section(self, tag: Node, operations: Iterable[tuple[str, str, Node, Node]]) -> str:
        head = f"<section>\n<h2>{escape(tag['name'])}</h2>\n{_prose(tag.get('description', ''))}"
        return head + "".join(self._operation(*operation) for operation in operations) + "</section>\n"

    def _operation(self, path: str, method: str, item: Node, operation: Node) -> str:
        parameters = [self._resolve(p) for p in (*item.get("parameters", ()), *operation.get("parameters", ()))]
        return "".join(
            (
                f'<article class="operation" id="{escape(operation["operationId"])}">\n',
                f"<h3>{escape(operation['summary'])}</h3>\n",
                f'<p class="address"><span class="method method-{method}">{method.upper()}</span> ',
                f"<code>{escape(path)}</code></p>\n",
                _prose(operation.get("description", "")),
                self._parameters(parameters),
                self._body(operation),
                self._answers(operation["responses"]),
                "<h4>Example</h4>\n",
                _code(self._curl(path, method, parameters, operation)),
                "</article>\n",
            )
        )

    def _parameters(self, parameters: Iterable[Node]) -> str:
        rows = [
            (
                f"<code>{escape(p['name'])}</code>{_required(p.get('required', False))}",
                escape(p["in"]),
                self._type(p["schema"]),
                _prose(p.get("description", "")),
            )
            for p in parameters
        ]
        return f"<h4>Parameters</h4>\n{_table(('Name', 'In', 'Type', 'Meaning'), rows)}" if rows else ""

    def _body(self, operation: Node) -> str:
        if "requestBody" not in operation:
            return ""
        body = self._resolve(operation["requestBody"])
        parts = [f"<h4>Body{'' if body.get('required') else ' (optional)'}</h4>\n"]
        for kind, media in body["content"].items():
            parts.append(f"<p><code>{escape(kind)}</code></p>\n{self._properties(self._resolve(media['schema']))}")
        return "".join(parts)

    def _answers(self, responses: Mapping[str, Node]) -> str:
        rows = []
        examples: list[str] = []
        for status, given in responses.items():
            answer = self._resolve(given)
            headers = ", ".join(f"<code>{escape(name)}</code>" for name in answer.get("headers", {}))
            content = "<br>".join(
                f"<code>{escape(kind)}</code>{self._named(media.get('schema', {}))}"
                for kind, media in answer.get("content", {}).items()
            )
            meaning = _prose(answer["description"]) + (f"<p>Headers: {headers}</p>\n" if headers else "")
            rows.append((f'<span class="status status-{status[0]}">{status}</span>', meaning, content or "no body"))
            examples.extend(self._examples(status, answer))
        shown = "".join(examples)
        folded = f"<details>\n<summary>Examples of answers</summary>\n{shown}</details>\n" if shown else ""
        return f"<h4>Answers</h4>\n{_table(('Status', 'When', 'Body'), rows)}{folded}"

    def _examples(self, status: str, answer: Node) -> Iterator[str]:
        for kind, media in answer.get("content", {}).items():
            schema = self._resolve(media.get("schema", {}))
            values = [self._resolve(example)["value"] for example in media.get("examples", {}).values()]
            for value in values or schema.get("examples", [])[:1]:
                text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
                yield f"<p>{status} <code>{escape(kind)}</code></p>\n{_code(text)}"

    def _schemas(self) -> str:
        parts = ['<section id="schemas">\n<h2>Schemas</h2>\n']
        for name, schema in self._document["components"]["schemas"].items():
            parts.append(f'<article class="operation" id="schema-{escape(name)}">\n<h3>{escape(name)}</h3>\n')
            if not any(key in schema for key in ("properties", "allOf")):
                parts.append(f"<p>{self._type(schema)}</p>\n")
            parts.append(_prose(schema.get("description", "")))
            parts.append(self._properties(schema))
            parts.append("</article>\n")
        return "".join(parts) + "</section>\n"

    def _properties(self, schema: Node) -> str:
        required = set(schema.get("required", ()))
        properties = dict(schema.get("properties", {}))
        for part in schema.get("allOf", ()):
            whole = self._resolve(part)
            required.update(whole.get("required", ()))
            properties.update(whole.get("properties", {}))
        rows = [
            (
                f"<code>{escape(name)}</code>{_required(name in required)}",
                self._type(value),
                _prose(value.get("description", "")),
            )
            for name, value in properties.items()
        ]
        return _table(("Field", "Type", "Meaning"), rows) if rows else ""

    def _type(self, schema: Node) -> str:
        """The type of a value in words, with a link where it has a name."""
        if "$ref" in schema:
            name = escape(schema["$ref"].rsplit("/", 1)[-1])
            return f'<a href="#schema-{name}">{name}</a>'
        if "const" in schema:
            return f"<code>{escape(json.dumps(schema['const']))}</code>"
        if "enum" in schema:
            return " | ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
        if "anyOf" in schema:
            return " or ".join(map(self._type, schema["anyOf"]))
        kind = schema.get("type", "any")
        words = [" or ".join([kind] if isinstance(kind, str) else kind)]
        if "prefixItems" in schema:
            words = [f"{words[0]} of {', '.join(map(self._type, schema['prefixItems']))}"]
        elif "items" in schema:
            words = [f"{words[0]} of {self._type(schema['items'])}"]
        if isinstance(values := schema.get("additionalProperties"), Mapping):
            words = [f"object of {self._type(values)}"]
        for values in schema.get("patternProperties", {}).values():
            words = [f"object of {self._type(values)}"]
        if "properties" in schema:
            fields = ", ".join(f"<code>{escape(name)}</code>" for name in schema["properties"])
            words = [f"object: {fields}"]
        words += [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
        if "default" in schema:
            words.append(f"(default {escape(str(schema['default']))})")
        return " ".join(words)

    def _named(self, schema: Node) -> str:
        return f" {self._type(schema)}" if "$ref" in schema else ""

    def _curl(self, path: str, method: str, parameters: Iterable[Node], operation: Node) -> str:
        address = path
        for parameter in parameters:
            if parameter["in"] == "path":
                address = address.replace(f"{{{parameter['name']}}}", str(self._sample(parameter["schema"])))
        words = {"get": ["curl"], "head": ["curl", "--head"]}.get(method, ["curl", "-X", method.upper()])
        answers = [self._resolve(answer) for answer in operation["responses"].values()]
        if any("text/event-stream" in answer.get("content", {}) for answer in answers):
            words += ["--no-buffer"]
        for parameter in parameters:
            if parameter["in"] == "header" and parameter.get("required"):
                words += ["-H", f"{parameter['name']}: {self._sample(parameter['schema'])}"]
        content = self._resolve(operation.get("requestBody", {})).get("content", {})
        if "multipart/form-data" in content:
            words = ["curl", "-F", "file=@document.pdf"]
        elif "application/json" in content:
            sample = json.dumps(self._sample(content["application/json"]["schema"]))
            words += ["-H", "Content-Type: application/json", "-d", sample]
        elif any(kind.endswith("octet-stream") for kind in content):
            words += ["-H", f"Content-Type: {next(iter(content))}", "--data-binary", "@document.pdf"]
        ways = operation.get("security", self._document.get("security", ()))
        if {} not in ways and {"bearer": []} in ways:
            words += ["-H", "Authorization: Bearer YOUR_KEY_OR_TOKEN"]
        elif {} not in ways and {"operator": []} in ways:
            words += ["-H", "Authorization: Bearer OPERATOR_TOKEN"]
        return shlex.join([*words, f"{BASE}{address}"])

    def _sample(self, schema: Node) -> Any:
        """A value that fits: the schema's own first example."""
        return next(iter(self._resolve(schema).get("examples", [schema.get("default", "...")])))

    def _resolve(self, node: Node) -> Node:
        """The node, or what it refers to when it is a reference into this document."""
        while "$ref" in node:
            target: Any = self._document
            for key in node["$ref"].removeprefix("#/").split("/"):
                target = target[key.replace("~1", "/").replace("~0", "~")]
            node = target
        return node


def _masthead(title: str) -> str:
    return (
        '<header class="masthead">\n<a class="wordmark" href="/">'
        '<img src="/static/favicon.svg" alt="" width="26" height="26">'
        f"<span>{escape(title)}</span></a>\n"
        '<nav aria-label="Site"><a href="/">Documents</a></nav>\n</header>\n'
    )


def _prose(markdown: str) -> str:
    """A description. Its lines are wrapped in the document's source, which means nothing here."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in markdown.split("\n\n"))
    return to_html("\n\n".join(paragraphs))


def _required(required: bool) -> str:
    return ' <span class="required">required</span>' if required else ""


def _code(text: str) -> str:
    return f'<pre tabindex="0"><code>{escape(text)}</code></pre>\n'


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return (
        f'<div class="table" tabindex="0"><table>\n<thead><tr>{titles}</tr></thead>\n'
        f"<tbody>\n{body}</tbody>\n</table></div>\n"
    )

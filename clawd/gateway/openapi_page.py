"""docs/api.md, made from the description: `python -m clawd.gateway.openapi_page > docs/api.md`. Pure but for that."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from clawd.gateway.openapi_document import ERRORS, document
from clawd.gateway.operations import BODY, KNOWN, NEAR

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HEAD: Final = """# The API

Every path of the [gateway](gateway.md), every field, every answer. This page is made from `/openapi.json`, which a running
clawd answers with: `python -m clawd.gateway.openapi_page > docs/api.md`.

```console
$ CLAWD=http://127.0.0.1:7373
$ TOKEN=$(cat ~/.local/state/clawd/gateway.token)
```
"""
_COMMON: Final = """
## Errors

Every operation may answer 401, 403, 429, 431 and 503, and one with a body 408, 413 and 415. The body is
[ErrorBody](#errorbody), and [OpenAIErrorBody](#openaierrorbody) where OpenAI's clients ask.

| status | when |
|---|---|
"""
_ANSWERS_TO_ALL: Final = frozenset(str(status) for status in (*NEAR, *KNOWN, *BODY) if status != 400)

_FORM: Final = "multipart/form-data"

Json = dict[str, Any]


def page(described: Json) -> str:
    """Return the page; `described` is the OpenAPI document."""
    return "".join(_lines(described)).rstrip() + "\n"


def _lines(described: Json) -> Iterator[str]:
    yield _HEAD
    operations = [
        (method, path, operation)
        for path, item in described["paths"].items()
        for method, operation in item.items()
    ]
    for tag in described["tags"]:
        yield f"\n## {tag['name']}\n\n{tag['description']}\n"
        for method, path, operation in operations:
            if tag["name"] in operation["tags"]:
                yield from _operation(described, method, path, operation)
    yield _COMMON
    for status, text in ERRORS.items():
        yield f"| {status} | {text} |\n"
    yield "\n## Shapes\n"
    for name, schema in described["components"]["schemas"].items():
        yield from _shape(name, schema)


def _operation(described: Json, method: str, path: str, operation: Json) -> Iterator[str]:
    yield f"\n### {method.upper()} {path}\n\n{operation['summary']}."
    if "description" in operation:
        yield f" {operation['description']}"
    yield f" {_who(operation['security'])}\n"
    if (command := _curl(method, path, operation)) is not None:
        yield f"\n```console\n$ {command}\n"
        if (example := _example(operation)) is not None:
            yield f"{example}\n"
        yield "```\n"
    rows = [*_parameters(operation), *_body(operation)]
    if rows:
        yield "\n| field | in | type | |\n|---|---|---|---|\n"
        yield from rows
    yield "\n| answer | body | |\n|---|---|---|\n"
    for status, answer in operation["responses"].items():
        if "$ref" not in answer:
            yield f"| {status} | {_contents(answer)} | {answer['description']} |\n"
    errors = [
        status
        for status, answer in operation["responses"].items()
        if "$ref" in answer and status not in _ANSWERS_TO_ALL
    ]
    if errors:
        yield f"\n[Errors](#errors) of its own: {', '.join(errors)}.\n"


def _who(security: list[Json]) -> str:
    if not security:
        return "Needs no token."
    scopes = " or ".join(f"`{scope}`" for scope in security[0]["token"])
    told = f"Needs the scope {scopes}"
    if any("app" in each for each in security):
        told += ", or an app"
    if {} in security:
        told += "; see there who needs none"
    return f"{told}."


def _curl(method: str, path: str, operation: Json) -> str | None:
    """Return a command that a shell runs; None for what is no plain request."""
    if "101" in operation["responses"] or path.startswith("/bridges/"):
        return None
    query = []
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", parameter["example"])
        elif parameter["in"] == "query" and (parameter["required"] or "example" in parameter):
            query.append(f"{parameter['name']}={parameter['example']}")
    words = ["curl -s"]
    if "text/event-stream" in operation["responses"].get("200", {}).get("content", {}) and method == "get":
        words = ["curl -sN"]
    if method != "get":
        words.append(f"-X {method.upper()}")
    words.append(f'"$CLAWD{path}{"?" if query else ""}{"&".join(query)}"')
    if operation["security"] and {} not in operation["security"]:
        words.append('-H "Authorization: Bearer $TOKEN"')
    contents = operation.get("requestBody", {}).get("content", {})
    content = contents.get("application/json")
    if _FORM in contents:
        words.append('-F "file=@cat.png"')
    if content is not None:
        words.append('-H "Content-Type: application/json"')
        words.append(f"-d '{json.dumps(content['example'], ensure_ascii=False)}'")
    lines, line = [], ""
    for word in words:
        if line and len(line) + len(word) > 100:
            lines.append(line)
            line = "   "
        line = f"{line} {word}" if line else word
    return " \\\n".join([*lines, line])


def _example(operation: Json) -> str | None:
    """Return the example of the first answer that has one."""
    for _, answer in sorted(operation["responses"].items(), reverse=True):  # 202 before 200
        for content in answer.get("content", {}).values():
            example = content.get("example")
            if example is not None:
                return (
                    example.rstrip() if isinstance(example, str) else json.dumps(example, ensure_ascii=False)
                )
    return None


def _parameters(operation: Json) -> Iterator[str]:
    for parameter in operation.get("parameters", ()):
        name = parameter["name"] if parameter["required"] else f"{parameter['name']}?"
        yield _row(name, parameter["in"], _type(parameter["schema"]), parameter["description"])


def _body(operation: Json) -> Iterator[str]:
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        if "schema" in content:
            told = "As a form, `multipart/form-data`; or the file itself." if kind == _FORM else ""
            yield _row("", "body", _type(content["schema"]), told)


def _contents(answer: Json) -> str:
    return " or ".join(
        _type(content["schema"]) if "$ref" in content.get("schema", {}) else f"`{kind}`"
        for kind, content in answer.get("content", {}).items()
    )


def _shape(name: str, schema: Json) -> Iterator[str]:
    yield f"\n### {name}\n\n"
    if "oneOf" in schema and "properties" not in schema:
        yield f"One of {', '.join(_type(one) for one in schema['oneOf'])}, told apart by `type`.\n"
        return
    yield f"{' '.join(schema.get('description', '').split())}\n"
    if "properties" not in schema:
        return
    yield "\n| field | type | |\n|---|---|---|\n"
    required = schema.get("required", ())
    for field, value in schema["properties"].items():
        yield _row(field if field in required else f"{field}?", _type(value), value.get("description", ""))


def _row(*cells: str) -> str:
    first, *rest = cells
    told = [f"`{first}`" if first else "", *(" ".join(cell.split()).replace("|", "\\|") for cell in rest)]
    return f"| {' | '.join(told)} |\n"


def _type(schema: Mapping[str, Any]) -> str:
    """Return a type in a few words; null goes without saying, as what may be left out may be null."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in schema and "properties" not in schema:
            kinds = [_type(one) for one in schema[several] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds)) + _limits(schema)
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}{_limits(schema)}"
    names = {"date-time": "time"}
    return str(names.get(schema.get("format", ""), kind)) + _limits(schema)


def _limits(schema: Mapping[str, Any]) -> str:
    if "pattern" in schema:
        return f" `{schema['pattern']}`"
    least = schema.get("minimum", schema.get("minLength", schema.get("minItems")))
    most = schema.get("maximum", schema.get("maxLength", schema.get("maxItems")))
    if least is None and most is None:
        return ""
    if most is None:
        return f", at least {least:,}"
    return f", at most {most:,}" if least is None else f", {least:,} to {most:,}"


if __name__ == "__main__":
    sys.stdout.write(page(document("")))

"""`/openapi.json`: valid, complete, and of what the gateway does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from clawd.config.schema import JournalConfig
from clawd.gateway.openai_models import Offered
from clawd.gateway.openapi_document import OPERATIONS, document
from clawd.journal.opening import open_journal
from clawd.testing import ManualClock, ScriptedModel
from tests.fakes.gateway_site import site
from tests.fakes.routing import router_over

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clawd.response import JsonObject

OFFERED = Offered(router=router_over(ScriptedModel()), models=("main",), routes=("default",))


@pytest.fixture(scope="module")
def described() -> JsonObject:
    return document("1.2.3")


async def test_it_is_read_without_a_token_and_made_once(state_dir: Path, described: JsonObject) -> None:
    async with site(state_dir, offered=OFFERED) as here:
        first, second = [await here.call("GET", "/openapi.json", token="") for _ in range(2)]
        assert first == second
        assert (first[0], {**first[1], "info": {}}) == (
            200,
            json.loads(json.dumps({**described, "info": {}})),
        )
        assert first[1]["info"]["version"]


async def test_every_route_is_described_and_nothing_else(state_dir: Path, described: Any) -> None:
    opened = await open_journal(state_dir, JournalConfig(), ManualClock())
    async with site(state_dir, offered=OFFERED, artifacts=opened.artifacts) as here:
        app = web.Application()
        app.add_routes(here.gateway.routes())
    await opened.close()
    routes = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    told = {(method.upper(), path) for path, item in described["paths"].items() for method in item}
    assert told == routes


def test_it_is_valid(described: Any) -> None:
    OpenAPIV31SpecValidator(described).validate()
    for schema in described["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def examples(described: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name, schema and example of every body."""
    for path, item in described["paths"].items():
        for operation in item.values():
            contents = [operation.get("requestBody", {}).get("content", {})]
            contents += [answer.get("content", {}) for answer in operation["responses"].values()]
            for content in contents:
                for media in content.values():
                    if media.keys() >= {"schema", "example"}:
                        yield path, media["schema"], media["example"]
    for name, answer in described["components"]["responses"].items():
        media = answer["content"]["application/json"]
        yield name, media["schema"], media["example"]


def test_every_example_is_as_its_schema_says(described: Any) -> None:
    found = list(examples(described))
    assert len(found) > 40
    for name, schema, example in found:
        whole = {**schema, "components": described["components"]}
        errors = [error.message for error in Draft202012Validator(whole).iter_errors(example)]
        assert not errors, name


def test_every_operation_has_a_name_of_its_own_and_tells_its_errors(described: Any) -> None:
    names = [operation.id for operation in OPERATIONS]
    assert len(names) == len(set(names))
    for operation in OPERATIONS:
        told = described["paths"][operation.path][operation.method]["responses"]
        if operation.scopes:
            assert {"401", "403", "429", "503"} <= told.keys()
        if operation.body is not None or operation.upload is not None:
            assert {"400", "408", "413", "415"} <= told.keys()

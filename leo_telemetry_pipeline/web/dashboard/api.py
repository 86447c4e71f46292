"""JSON API of the dashboard: the model of each page, and each step, under ``/api/v1``, with an OpenAPI document.

Belongs here: values as JSON, and the document, both by pydantic from the annotations of the models. Does not: what a
page reads, who may ask (app).
"""

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, get_type_hints

from leo_telemetry_pipeline.web.dashboard.page import Page, Step

if TYPE_CHECKING:
    from pydantic import TypeAdapter

PREFIX = "/api/v1"
DOCUMENT = f"{PREFIX}/openapi.json"
CSV = "text/csv"
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_MEANINGS = {
    "200": "Done",
    "400": "The body is not a JSON object of texts",
    "401": "The token is missing or wrong",
    "403": "This token, page or Host may not do this",
    "404": "There is no such thing",
    "409": "The step is not possible now",
    "413": "The body is too large",
    "415": "Content-Type is not application/json",
    "503": "The database does not answer; try again",
}


class BadBody(Exception):
    """The body of a request is not a JSON object of texts."""


def path_of(path: str) -> str:
    """Return the address in the API of a page or a step."""
    return PREFIX + ("/overview" if path == "/" else path)


def csv_path_of(path: str) -> str:
    """Return the address of a list as CSV."""
    return f"{path_of(path)}.csv"


def as_json(page: Page, model: Any) -> bytes:
    """Return the model of a page as JSON; times in ISO 8601, numbers that are not finite as null."""
    return _adapter(_model_of(page)).dump_json(model)


def form_of(body: bytes) -> dict[str, str]:
    """Return the fields of a step from a JSON body. Raises BadBody."""
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise BadBody from None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise BadBody
    return given


def document(pages: Sequence[Page], steps: Sequence[Step]) -> dict[str, Any]:
    """Return the OpenAPI document."""
    from pydantic import TypeAdapter

    inputs = [(page.path, "serialization", _adapter(_model_of(page))) for page in pages]
    models, shared = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    paths: dict[str, dict[str, Any]] = {}
    for page in pages:
        paths[_in_braces(path_of(page.path))] = {"get": _get(page, models[page.path, "serialization"])}
        if page.table:
            paths[csv_path_of(page.path)] = {"get": _as_csv(page)}
    for step in steps:
        paths.setdefault(_in_braces(path_of(step.path)), {})["post"] = _post(step)
    problem = {
        "type": "object",
        "properties": {"error": {"type": "string"}},
        "required": ["error"],
        "additionalProperties": False,
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Workflow telemetry", "version": version("leo-telemetry-pipeline")},
        "paths": paths,
        "components": {
            "schemas": {**shared.get("$defs", {}), "Problem": problem},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        # The first alternative is for loopback, where no token is needed.
        "security": [{}, {"token": []}],
    }


def _model_of(page: Page) -> type:
    return get_type_hints(page.read)["return"]


@cache
def _adapter(model: type) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(model)


def _get(page: Page, schema: Mapping[str, Any]) -> dict[str, Any]:
    return _reading(page, (inspect.getdoc(page.read) or "").partition("\n")[0], _answer("200", schema))


def _as_csv(page: Page) -> dict[str, Any]:
    answer = {"description": _MEANINGS["200"], "content": {CSV: {"schema": {"type": "string"}}}}
    return _reading(page, f"{page.link} as CSV, from the place asked for to the end.", answer)


def _reading(page: Page, summary: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    query = [_parameter(name, "query", means, required=False) for name, means in page.query.items()]
    return {
        "summary": summary,
        "parameters": [*_in_path(page.path), *query],
        "responses": {"200": answer, **_problems("401", "403", "404", "503")},
    }


def _post(step: Step) -> dict[str, Any]:
    fields = {name: {"type": "string", "description": means} for name, means in step.form.items()}
    body = {"type": "object", "properties": fields, "additionalProperties": {"type": "string"}}
    shown = {"type": "object", "properties": {"page": {"type": "string"}}, "required": ["page"]}
    return {
        "summary": (inspect.getdoc(step.make) or "").partition("\n")[0],
        "parameters": _in_path(step.path),
        "requestBody": {"content": {"application/json": {"schema": body}}, "required": True},
        "responses": {
            "200": _answer("200", shown),
            **_problems("400", "401", "403", "404", "409", "413", "415", "503"),
        },
    }


def _in_path(path: str) -> list[dict[str, Any]]:
    return [_parameter(name, "path", name, required=True) for name in re.findall(r"{(\w+)", path)]


def _parameter(name: str, place: str, means: str, *, required: bool) -> dict[str, Any]:
    return {"name": name, "in": place, "description": means, "required": required, "schema": {"type": "string"}}


def _problems(*statuses: str) -> dict[str, Any]:
    return {status: _answer(status, _PROBLEM) for status in statuses}


def _answer(status: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": _MEANINGS[status], "content": {"application/json": {"schema": schema}}}


def _in_braces(path: str) -> str:
    """Return a path without the converters of its parameters."""
    return re.sub(r"{(\w+):\w+}", r"{\1}", path)

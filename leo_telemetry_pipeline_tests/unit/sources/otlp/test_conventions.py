"""Names of OpenTelemetry's spans, and their description in docs/opentelemetry.md."""

import re
from pathlib import Path

import pytest

from leo_telemetry_pipeline.sources.otlp import conventions, otlp_json, otlp_span
from leo_telemetry_pipeline.sources.otlp.conventions import CLAUDE_CODE, GEN_AI, OPERATION, kind

DOCS = (Path(__file__).resolve().parents[4] / "docs" / "opentelemetry.md").read_text(encoding="utf-8")
OWN = "its own name"


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table that starts with a heading row."""
    lines = DOCS[DOCS.index(heading) :].split("\n\n", 1)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


MAPPING = table("| span | type | named by |")


def words(cell: str) -> list[str]:
    """Return the words in backticks of a cell."""
    return re.findall(r"`([^`]+)`", cell)


def sent(cell: str) -> list[tuple[str, dict]]:
    """Return the names and attributes of spans that a table row describes."""
    first, *rest = words(cell) or ["GET /cart"]
    if first == OPERATION:
        return [("chat gpt-4o", {OPERATION: rest[0]})]
    if "tool_name" in rest:
        return [(first, {"tool_name": tool}) for tool in rest if tool != "tool_name"]
    return [(first, {})]


@pytest.mark.parametrize("row", MAPPING[1:], ids=lambda row: row[0])
def test_the_code_follows_each_row_of_the_documented_mapping(row: list[str]) -> None:
    """Lost: people search for their spans under names that the documentation promised."""
    of, [span_type], keys = sent(row[0]), words(row[1]), words(row[2])
    for name, given in of:
        if row[2] == OWN:
            assert kind(name, given) == (span_type, name)
            continue
        # Each attribute counts only if those before it are missing; without any, the span's own name stays.
        for first, key in enumerate(keys):
            if key in given:
                assert kind(name, given) == (span_type, given[key])
            else:
                others = dict.fromkeys(keys[first:], "later") | {key: "named"}
                assert kind(name, others | given) == (span_type, "named")
        if not given.keys() & set(keys):
            assert kind(name, given) == (span_type, name)


def test_the_documented_mapping_is_complete() -> None:
    """Lost: conventions stay undocumented, so nobody uses them."""
    cells = [row[0] for row in MAPPING]
    assert [words(cell)[1] for cell in cells if OPERATION in cell] == list(GEN_AI)
    assert set(CLAUDE_CODE) <= {word for cell in cells for word in words(cell)}
    assert words(MAPPING[-1][1]) == [conventions.OTHER_TYPE]


def test_known_names_take_precedence_over_generic_conventions() -> None:
    """Lost: one kind of work has two names, depending on the version of its exporter."""
    given = {OPERATION: "execute_tool", "gen_ai.tool.name": "Task", "tool_name": "Bash", "subagent_type": "Explore"}
    assert kind("claude_code.tool", given) == ("tool", "Bash")
    assert kind("execute_tool Task", given) == ("tool", "Task")
    assert kind("claude_code.interaction", {OPERATION: "invoke_agent"}) == ("handoff", "claude_code.interaction")
    mcp = {OPERATION: "execute_tool", "gen_ai.tool.name": "lookup", "tool_name": "mcp__shop__lookup"}
    assert kind("claude_code.tool", mcp) == ("tool", "mcp__shop__lookup")
    assert kind("claude_code.hook", {OPERATION: "chat", "hook_event": "Stop"}) == ("hook", "Stop")


@pytest.mark.parametrize("value", [None, 5, "", " ", ["chat"], {"a": 1}])
def test_an_attribute_that_is_not_text_is_not_used_as_a_name(value: object) -> None:
    """Lost: PostgreSQL refuses a name, and with it the batch."""
    assert kind("work", {OPERATION: value}) == ("operation", "work")
    assert kind("work", {OPERATION: "chat", "gen_ai.request.model": value}) == ("llm", "work")


def test_the_documented_columns_and_resource_attributes_are_those_of_the_code() -> None:
    """Lost: people set attributes without effect."""
    rows = {row[0]: row for row in table("| sent | stored |")}
    [named] = [words(cell) for cell in rows if "leo.sd_id" in cell]
    elsewhere = {"span_type", "span_name", conventions.STORED}
    assert f"`leo.{conventions.STORED}`" in rows
    assert {key.removeprefix("leo.") for key in named} | elsewhere == conventions.COLUMNS
    [resource] = [words(cell) for cell in rows if cell.startswith("resource:")]
    # The last is an older name of the one before it.
    assert {*resource, "deployment.environment"} == conventions.RESOURCE_KEYS


@pytest.mark.parametrize(
    "text",
    [
        f"{otlp_span.MAX_SPANS:,} spans per request",
        f"{otlp_span.MAX_PARTS:,} resources and scopes",
        f"{otlp_span.MAX_RESOURCE_BYTES >> 20} MiB of resources",
        f"{otlp_span.MAX_SPAN_BYTES >> 20} MiB per span",
        f"{otlp_span.MAX_ATTRIBUTES} attributes per span",
        f"{otlp_json.MAX_SPAN_VALUES:,} values per span",
        otlp_span.TOO_MANY,
    ],
)
def test_the_documented_limits_are_those_of_the_code(text: str) -> None:
    """Lost: people configure their exporters with wrong numbers."""
    assert text in DOCS


GENERIC = [
    ("GET", {"http.route": "/users/{id}"}, "GET /users/{id}"),
    ("HTTP POST", {"url.template": "/cart"}, "POST /cart"),
    ("GET /users/4711", {"http.route": "/users/{id}"}, "GET /users/{id}"),
    ("http.server.request", {"http.route": "/cart", "http.request.method": "PUT"}, "PUT /cart"),
    ("HTTP", {"http.route": "/cart"}, "HTTP /cart"),
    ("grpc", {"rpc.service": "shop.Cart", "rpc.method": "Add"}, "shop.Cart/Add"),
    ("Add", {"rpc.service": "shop.Cart", "rpc.method": "Add"}, "shop.Cart/Add"),
    ("rpc", {"rpc.method": "shop.Cart/Add"}, "shop.Cart/Add"),
    ("SELECT", {"db.operation.name": "SELECT", "db.collection.name": "users"}, "SELECT users"),
    ("SELECT shop", {"db.operation": "SELECT", "db.name": "shop", "db.sql.table": "users"}, "SELECT users"),
    ("query", {"db.query.summary": "SELECT users; UPDATE cart"}, "SELECT users; UPDATE cart"),
    ("redis", {"db.system": "redis", "db.operation": "HGET"}, "HGET"),
    # A name that says what the work is stays, and so does one that nothing improves.
    ("UsersController.show", {"http.route": "/users/{id}", "http.request.method": "GET"}, "UsersController.show"),
    ("GET users", {"http.route": "/users"}, "GET users"),
    ("load cart", {"db.operation": "SELECT", "db.sql.table": "cart", "rpc.method": "Add"}, "load cart"),
    ("GET", {"http.request.method": "GET"}, "GET"),
    ("query", {"db.system": "redis"}, "query"),
    ("SELECT shop", {"db.operation": "SELECT", "db.name": "shop"}, "SELECT shop"),
    ("grpc", {"rpc.service": "shop.Cart"}, "grpc"),
]


@pytest.mark.parametrize(("name", "given", "shown"), GENERIC, ids=lambda value: value if isinstance(value, str) else "")
def test_generic_names_give_way_to_route_remote_method_and_statement(name: str, given: dict, shown: str) -> None:
    """Lost: all requests of a service are one operation, and the slow one hides among them."""
    assert kind(name, given) == ("operation", shown)

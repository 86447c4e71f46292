"""Semantic conventions: span type, span name and columns of an OpenTelemetry span.

Belongs here: ``leo.*`` attributes, GenAI conventions and Claude Code's spans, as in the tables of
docs/opentelemetry.md. Does not: encodings of requests (otlp_json, otlp_protobuf), which attributes are kept (redact).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from leo_telemetry_pipeline.span import Span

OURS = "leo."
# The last one holds all columns of a span that was stored before (stored_columns).
STORED = "stored_span"
COLUMNS = frozenset(("span_type", "span_name", "sd_id", "project", "workflow_execution_id", "queue_wait_ms", STORED))
OTHER_TYPE = "operation"

# The kind of a span as an attribute: whether it calls another service or serves a call. Internal, the default, is not
# stored.
SPAN_KIND = "span.kind"
KINDS = {2: "server", 3: "client", 4: "producer", 5: "consumer"}

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY"))
_HTTP_METHOD = ("http.request.method", "http.method")
_ROUTE = ("http.route", "url.template")
_RPC_SYSTEM = ("rpc.system", "rpc.system.name")
_DB_SYSTEM = ("db.system.name", "db.system")
_DB_OPERATION = ("db.operation.name", "db.operation")
_DB_TARGET = ("db.collection.name", "db.sql.table", "db.mongodb.collection")
_DB_NAMESPACE = ("db.namespace", "db.name")
# Names of whole instrumentations, in lower case, which say nothing about the work.
_HTTP_NAMES = frozenset(
    ("http", "http request", "http.request", "http.server.request", "http.client.request", "request", "fetch")
)
_RPC_NAMES = frozenset(("rpc", "grpc", "rpc.call", "grpc.client", "grpc.server", "grpc.request", "call"))
_DB_NAMES = frozenset(("db", "sql", "query", "execute", "statement", "db.query", "db.statement", "sql.query"))

OPERATION = "gen_ai.operation.name"
_MODEL = ("gen_ai.request.model", "gen_ai.response.model")
_AGENT = ("gen_ai.agent.name", "gen_ai.workflow.name")
GEN_AI = {
    "chat": ("llm", _MODEL),
    "text_completion": ("llm", _MODEL),
    "generate_content": ("llm", _MODEL),
    "embeddings": ("llm", _MODEL),
    "execute_tool": ("tool", ("gen_ai.tool.name",)),
    "invoke_agent": ("subagent", _AGENT),
    "create_agent": ("subagent", _AGENT),
    "invoke_workflow": ("subagent", _AGENT),
}
CLAUDE_CODE = {
    "claude_code.interaction": ("handoff", ()),
    "claude_code.llm_request": ("llm", ("model", "gen_ai.request.model")),
    "claude_code.tool": ("tool", ("tool_name",)),
    "claude_code.tool.blocked_on_user": ("wait", ()),
    "claude_code.tool.execution": ("execution", ()),
    "claude_code.hook": ("hook", ("hook_name", "hook_event")),
}
CLAUDE_CODE_SERVICE = "claude-code"
# Claude Code's tool that launches a sub-agent was renamed from Task to Agent.
SUBAGENT_TOOLS = ("Agent", "Task")
SKILL_TOOL = "Skill"
# Continues a finished sub-agent.
CONTINUING_TOOL = "SendMessage"
_SUBAGENT = ("subagent_type", "agent_type", "agent.type")
_SKILL = ("skill_name", "skill.name")

# Resource attributes that distinguish deployments; without host names, which often contain a person's name.
RESOURCE_KEYS = frozenset(("service.name", "service.version", "deployment.environment.name", "deployment.environment"))


def kind(name: str, attributes: dict) -> tuple[str, str]:
    """Return the default span type and span name of a span, used without ``leo.span_type`` and ``leo.span_name``.

    The span's own name is used if the attribute that should name it is missing. Other spans are named by their route,
    remote method or statement if their own name is generic.
    """
    # Known names take precedence: newer versions of Claude Code also set GenAI attributes, meant for other tools.
    known = CLAUDE_CODE.get(name)
    if known is None:
        operation = attributes.get(OPERATION)
        known = GEN_AI.get(operation) if type(operation) is str else None
    if known is None:
        return OTHER_TYPE, _operation(name, attributes)
    span_type, keys = known
    span_name = _first(attributes, keys) or name
    if span_type == "tool" and name in CLAUDE_CODE:
        if span_name in SUBAGENT_TOOLS:
            return "subagent", _first(attributes, _SUBAGENT) or span_name
        if span_name == SKILL_TOOL:
            return "skill", _first(attributes, _SKILL) or span_name
    return span_type, span_name


def _operation(name: str, attributes: dict) -> str:
    return _http(name, attributes) or _rpc(name, attributes) or _db(name, attributes) or name


def _http(name: str, attributes: dict) -> str | None:
    route = _first(attributes, _ROUTE)
    if route is None:
        return None
    method, _, path = name.removeprefix("HTTP ").partition(" ")
    if name.lower() in _HTTP_NAMES:
        return f"{_first(attributes, _HTTP_METHOD) or 'HTTP'} {route}"
    return f"{method} {route}" if method in _METHODS and (not path or path[0] == "/") else None


def _rpc(name: str, attributes: dict) -> str | None:
    method = _first(attributes, ("rpc.method",))
    if method is None or not (name.lower() in _RPC_NAMES or name in (method, _first(attributes, _RPC_SYSTEM))):
        return None
    service = _first(attributes, ("rpc.service",))
    return f"{service}/{method}" if service else method


def _db(name: str, attributes: dict) -> str | None:
    operation, target = _first(attributes, _DB_OPERATION), _first(attributes, _DB_TARGET)
    words = [word for word in (operation, target) if word]
    summary = _first(attributes, ("db.query.summary",)) or " ".join(words)
    generic = (operation, *(_first(attributes, of) for of in (_DB_SYSTEM, _DB_NAMESPACE)))
    if name.lower() in _DB_NAMES or name in generic:
        return summary or None
    # The older convention names the database where the table is unknown.
    return summary if target and name == f"{operation} {generic[-1]}" else None


def has_one_start(span: "Span") -> bool:
    """Return whether two sources may report a span with different starts, so that only its ids identify it.

    Claude Code's hooks and its OpenTelemetry export use the same ids, but starts a few milliseconds apart.
    """
    return span.attributes.get("service.name") == CLAUDE_CODE_SERVICE and bool(span.attributes.get("session.id"))


def split(attributes: dict) -> tuple[dict, dict, dict]:
    """Return the columns set by ``leo.*`` attributes, the other ``leo.*`` attributes, and all other attributes."""
    # Fast path: most spans have no leo.* key, which one search in all joined keys shows.
    if OURS not in "\n".join(attributes):
        return {}, {}, attributes
    columns, ours, foreign = {}, {}, {}
    for key, value in attributes.items():
        name = key.removeprefix(OURS)
        if name == key or not name:
            foreign[key] = value
        elif name in COLUMNS:
            columns[name] = value
        else:
            ours[name] = value
    return columns, ours, foreign


def _first(attributes: dict, keys: tuple[str, ...]) -> str | None:
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, str) and value.strip():
            return value
    return None

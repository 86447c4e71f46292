"""Attribute policy: which keys are kept, depending on who chose them.

Belongs here: the allow-list for other instrumentation, and the operator's choices.
Does not: the values of the keys that are kept (values).
"""

from leo_telemetry_pipeline.redact.texts import as_text, remember, text
from leo_telemetry_pipeline.redact.values import MAX_DEPTH, MAX_KEY, MAX_VALUES, is_identity

# Attributes of other instrumentation that help to explain durations and reveal nothing about people or contents.
_FOREIGN = """
service.name service.version service.namespace deployment.environment deployment.environment.name
host.name host.arch os.type os.version cloud.provider cloud.region cloud.platform cloud.availability_zone
container.name faas.name faas.version faas.trigger faas.coldstart otel.scope.name otel.scope.version
http.request.method http.request.resend_count http.response.status_code http.route http.method http.status_code
http.flavor http.scheme url.scheme server.address server.port net.peer.name net.peer.port
network.protocol.name network.protocol.version network.transport error.type exception.type
db.system db.system.name db.operation db.operation.name db.operation.batch.size db.collection.name db.sql.table
rpc.system rpc.system.name rpc.service rpc.method rpc.grpc.status_code rpc.response.status_code
messaging.system messaging.operation messaging.operation.name messaging.operation.type
messaging.destination.name messaging.consumer.group.name messaging.batch.message_count
graphql.operation.name graphql.operation.type code.function code.function.name code.namespace
span.type tool_name model attempt success agent_type agent.type subagent_type decision source speed stop_reason
effort query_source query_source_safe llm_request.context interaction.sequence event.name event.sequence session.id
terminal.type tool_use_id cost_usd cost_usd_micros status_code start_type hook_event hook_name response.has_tool_call
sd_type gate_score retry_attempt
"""
_FOREIGN_KEYS = frozenset(_FOREIGN.split())
_FOREIGN_PREFIXES = ("process.runtime.", "telemetry.sdk.", "thread.", "gen_ai.")
# A number is harmless if its key ends in a unit.
_UNITS = ("_ms", "_tokens", "_bytes", "_count", "_length")
# These keys below gen_ai., and any below them, hold text written by people and models.
_CONTENTS = tuple(
    "gen_ai." + name
    for name in (
        *("prompt", "completion", "input", "output", "system_instructions", "content", "choice", "user", "message"),
        *("assistant", "system.message", "tool.message", "tool.call.arguments", "tool.call.result"),
        *("tool.definitions", "tool.description", "agent.description", "retrieval", "evaluation.explanation"),
    )
)
_MOST_REMOVED = 200
_MAX_REMOVED = 100
_MOST_PATH = 1_000
# Types of values without nested values.
_FLAT = frozenset((str, int, float, bool, type(None)))


class Policy:
    """Decides which attributes are kept.

    ``keep_keys`` are additional keys to keep from other instrumentation; ``shop.*`` matches a prefix.
    Keys that identify a person, an account or an organization are kept only with ``keep_identity``.
    """

    __slots__ = ("_chosen", "_exact", "_keep_identity", "_kept_foreign", "_kept_own", "_prefixes")

    def __init__(self, keep_keys: tuple[str, ...] | list[str] = (), keep_identity: bool = False) -> None:
        keys = tuple(keep_keys)
        self._chosen = frozenset(key for key in keys if not key.endswith("*"))
        self._exact = _FOREIGN_KEYS | self._chosen
        self._prefixes = tuple(key[:-1] for key in keys if key.endswith("*"))
        self._keep_identity = keep_identity
        self._kept_foreign: set[str] = set()
        self._kept_own: set[str] = set()

    def foreign(self, attributes: dict, removed: dict[str, int]) -> dict:
        """Return the allowed attributes of other instrumentation; count the rest in ``removed``."""
        return self._below(_kept(attributes, removed, self._kept_foreign, self._is_harmless), removed)

    def own(self, attributes: dict, removed: dict[str, int]) -> dict:
        """Return attributes that the user chose, without identities, which are counted in ``removed``."""
        return self._below(_kept(attributes, removed, self._kept_own, self._is_allowed), removed)

    def resource(self, attributes: dict, removed: dict[str, int], known: frozenset[str]) -> dict:
        """Return a resource's ``known`` and chosen attributes; count the rest in ``removed``."""

        def judge(key: str, _: object) -> bool:
            return self._is_allowed(key) and (key in known or key in self._chosen or key.startswith(self._prefixes))

        return self._below(_kept(attributes, removed, set(), judge), removed)

    def _below(self, attributes: dict, removed: dict[str, int]) -> dict:
        # Remove identities from nested values.
        if self._keep_identity or _FLAT.issuperset(map(type, attributes.values())):
            return attributes
        left = [MAX_VALUES]
        return {key: _nameless(value, as_text(key), 1, left, removed) for key, value in attributes.items()}

    def _is_allowed(self, key: str, _: object = None) -> bool:
        return self._keep_identity or not is_identity(key)

    def _is_harmless(self, key: str, value: object) -> bool:
        if is_identity(key):
            return self._keep_identity
        if key in self._exact or key.startswith(self._prefixes):
            return True
        if key.startswith("k8s."):
            return key.endswith(".name")
        if key.startswith(_FOREIGN_PREFIXES):
            # gen_ai.usage.input_tokens is a count, gen_ai.input.messages is not.
            return not key.startswith(_CONTENTS)
        return key.endswith(_UNITS) and isinstance(value, int | float)


def _kept(attributes: dict, removed: dict[str, int], known: set[str], judge) -> dict:
    if attributes.keys() <= known:
        return attributes
    kept = {}
    for key, value in attributes.items():
        name = key if isinstance(key, str) else as_text(key)
        if judge(name, value):
            kept[key] = value
            if judge(name, None) and len(name) <= MAX_KEY:
                remember(known, (key,))
        else:
            _count(removed, name)
    return kept


def _nameless(value, path: str, depth: int, left: list[int], removed: dict[str, int]):
    # redact.clean cuts off anything beyond the same bounds.
    if depth >= MAX_DEPTH or left[0] <= 0 or not isinstance(value, dict | list | tuple):
        return value
    if not isinstance(value, dict):
        left[0] -= len(value)
        return [_nameless(item, path, depth + 1, left, removed) for item in value]
    kept = {}
    for key, inner in value.items():
        name = key if isinstance(key, str) else as_text(key)
        below = f"{path}.{name}"
        if is_identity(name):
            _count(removed, below)
        else:
            left[0] -= 1
            kept[key] = _nameless(inner, below[:_MOST_PATH], depth + 1, left, removed)
    return kept


def _count(removed: dict[str, int], name: str) -> None:
    name = name if name in removed else text(name, _MAX_REMOVED)
    name = name if name in removed or len(removed) < _MOST_REMOVED else "…"
    removed[name] = removed.get(name, 0) + 1

"""Dimension types: their grammar, and the SQL that derives dimensions from spans.

Belongs here: the only expressions for a span's type, name, key and judged time, including those of older LEO spans.
Does not: medians, windows, thresholds.
"""

from collections.abc import Collection, Iterable, Mapping

from leo_telemetry_pipeline.dimension import OTHER_KEYS, Dimension
from leo_telemetry_pipeline.redact import HASH
from leo_telemetry_pipeline.store import name_templates
from leo_telemetry_pipeline.store.name_templates import Folds

# Attributes of handoffs that every analysis groups by; other bare words that are not span types are attributes too.
ATTRIBUTES = ("sd_type",)
# Dimension types of every analysis, each with its own asset.
NAMED_ASSETS = ("phase", "gate", "subagent", "handoff", *ATTRIBUTES, "gate+sd_type")
NOT_BY_DEFAULT = ("wait", "execution")
GLOBAL = "global"

# A type with more keys probably has ids in its names; the keys with the fewest spans are pooled.
MOST_KEYS = 20_000
# Values of attributes that are dimensions by choice (history.slice_choice), those of the names with the most spans.
MOST_SLICES = 1_000

# Waits and handoffs of a trace are read up to this far outside the window.
REACH_MS = 7 * 86_400_000
# Clock skew: a handoff begins before its spans, or at most this much later.
AHEAD_MS = 86_400_000

_TYPE = "CASE s.span_type WHEN 'workflow' THEN 'handoff' ELSE s.span_type END"
_NAME = """CASE
    WHEN s.span_type = 'workflow' THEN coalesce(nullif(s.attributes->>'handoff_type', ''), s.span_name)
    WHEN s.span_type = 'gate' THEN coalesce(nullif(s.gate_name, ''), s.span_name)
    WHEN s.span_type = 'subagent' THEN coalesce(nullif(s.subagent_name, ''), s.span_name)
    WHEN s.span_type = 'phase' AND s.span_name ~ '^(step|phase|workflow)[.]'
        THEN coalesce(nullif(s.attributes->>'step_name', ''), substring(s.span_name FROM '^step[.](.+)$'),
                      nullif(s.phase, ''), s.span_name)
    ELSE s.span_name END"""
# Keys are indexed, and index entries have a size limit.
LONGEST = 200
# A truncated key ends in a hash of the whole, like redact.name, so that it stays unique.
_CUT_SQL = "convert_from(decode('e280a6', 'hex'), 'UTF8')"
_PREFIX = LONGEST - HASH - 1


def _bounded(text: str) -> str:
    digest = f"left(encode(sha256(convert_to({text}, 'UTF8')), 'hex'), {HASH})"
    cut = f"left({text}, {_PREFIX}) || {_CUT_SQL} || {digest}"
    return f"CASE WHEN length({text}) <= {LONGEST} THEN {text} ELSE {cut} END"


# The name of a span, which is its key unless it is folded.
_OWN_NAME = f"({_bounded(_NAME)})"
_DURATION = "coalesce(s.duration_ms, s.end_time_ms - s.start_time_ms)"
# The duration with microseconds, NULL if the span has none.
_FINE = "(s.duration_ms + s.duration_rest_us / 1000::float8)"


def types_to_judge(seen: Iterable[str], named: Iterable[str]) -> list[str]:
    """Return the sorted dimension types of an analysis: the span types ``seen``, and those ``named`` in thresholds."""
    by_default = set(NAMED_ASSETS) | {span_type for span_type in seen if span_type not in NOT_BY_DEFAULT}
    return sorted(by_default | {dimension_type for dimension_type in named if dimension_type != GLOBAL})


def to_pool(spans: Mapping[Dimension, int]) -> list[Dimension]:
    """Return the dimensions to pool: those with the fewest spans, beyond MOST_KEYS keys per type."""
    of_type: dict[str, list[str]] = {}
    for dimension_type, key in sorted(spans, key=lambda dimension: (-spans[dimension], dimension[1])):
        if key != OTHER_KEYS:
            of_type.setdefault(dimension_type, []).append(key)
    return [(dimension_type, key) for dimension_type, keys in of_type.items() for key in keys[MOST_KEYS:]]


def types_among(types: Iterable[str], span_types: Collection[str]) -> list[str]:
    """Return the dimension types that spans of these types can have."""
    has_handoffs = "handoff" in span_types
    return [word for word in types if word.partition("+")[0] in span_types or (has_handoffs and "+" not in word)]


# Condition on spans ``s`` for those of a window.
IN_WINDOW = "s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s"


def observations(
    types: Iterable[str], seen: Iterable[str], folds: Folds, within: str = IN_WINDOW
) -> tuple[str, dict[str, object]]:
    """Return SQL with one row per dimension and judged time, with the columns OBSERVED, and its parameters.

    ``judged_ms`` is in whole ms; ``fine_ms`` has microseconds, and is NULL if a span that it is computed from has none.

    The caller adds the parameters ``from_ms`` and ``to_ms`` (range of start_time_ms, ``to_ms`` excluded) and
    ``project`` (None: all), and may set ``created_from`` and ``created_to`` (range of created_at, the latter excluded).
    A bare word is a span type if ``seen``, else an attribute of handoffs. Names are folded by ``folds``. ``within`` may
    select whole days of the range.
    """
    span_types = {*NAMED_ASSETS, *NOT_BY_DEFAULT, *seen} - set(ATTRIBUTES)
    plain = sorted(word for word in types if "+" not in word and word in span_types)
    name = _key(folds)
    parts = [_PLAIN.format(name=name, spans=_folded(_SPANS.format(of="%(plain_stored)s", within=within), folds))]
    parameters: dict[str, object] = {"reach": REACH_MS, "ahead": AHEAD_MS, "created_from": None, "created_to": None}
    parameters |= folds.parameters() | {
        "plain_stored": stored_types(plain),
        "handoff_stored": stored_types(["handoff"]),
    }
    chosen = sorted(each for each in folds.slices if f"{each[0]}+{each[2]}" in types)
    if chosen:
        parts.append(_slices(name, folds, within))
        parameters |= {"slice_stored": stored_types([span_type for span_type, _, _ in chosen])}
        parameters |= {f"slice_{of}": [each[at] for each in chosen] for at, of in enumerate(("types", "keys", "names"))}
    others = set(types) - set(plain) - {f"{span_type}+{attribute}" for span_type, _, attribute in chosen}
    for index, word in enumerate(sorted(others)):
        span_type, _, attribute = word.partition("+")
        of = f"%(stored{index})s" if attribute else "%(handoff_stored)s"
        parameters |= {f"dimension{index}": word, f"attribute{index}": attribute or word}
        parameters |= {f"type{index}": span_type, f"stored{index}": stored_types([span_type])}
        spans = _folded(_SPANS.format(of=of, within=within), folds)
        if attribute:
            named = {"dimension": f"%(dimension{index})s", "attribute": f"%(attribute{index})s"}
            parts.append(_COMBINED.format(**named, name=name, of=of, spans=spans, chosen="", within=within))
        else:
            value = _bounded(f"(attributes->>%(attribute{index})s)")
            parts.append(_ATTRIBUTE.format(i=index, value=value, spans=spans))
    return " UNION ALL ".join(parts), parameters


def _slices(name: str, folds: Folds, within: str) -> str:
    """Return SQL for the spans of all chosen names per value of an attribute, in one pass."""
    named = {"dimension": "span_type || '+' || attribute", "attribute": "attribute", "name": name}
    of = "%(slice_stored)s"
    spans = _folded(_SPANS.format(of=of, within=within), folds)
    return _COMBINED.format(**named, of=of, spans=spans, chosen=_CHOSEN.format(name=name), within=within)


def _folded(spans: str, folds: Folds) -> str:
    """Return SQL for spans with their key in the column ``_key(folds)``, given SQL with their type and name."""
    if not folds.templates:
        return spans
    key = name_templates.key("span_type", "span_name", "template")
    return _FOLDED.format(spans=spans, template=name_templates.template("span_name"), key=key)


def _key(folds: Folds) -> str:
    return "folded_name" if folds.templates else "span_name"


def stored_types(span_types: list[str]) -> list[str]:
    """Return the stored span types of dimension types; older LEO spans call a handoff ``workflow``."""
    return sorted({*span_types, "workflow"} if "handoff" in span_types else {*span_types} - {"workflow"})


OBSERVED = "(day, project, dimension_type, dimension_key, trace_id, judged_ms, fine_ms, queue_wait_ms)"
# The day of a span ``s``.
DAY_OF = "DATE '1970-01-01' + (s.start_time_ms / 86400000)::integer"

# Joins stay within a trace, so a cluster that keeps each trace on one node need not move rows.
_SPANS = f"""(
    SELECT {DAY_OF} AS day, coalesce(s.project, '') AS project,
           {_TYPE} AS span_type, {_OWN_NAME} AS span_name, s.trace_id, s.attributes,
           greatest({_DURATION} - coalesce(waits.wait_ms, 0), 0) AS judged_ms,
           -- Not by greatest, which ignores NULL.
           CASE WHEN waits.span_id IS NULL THEN {_FINE} WHEN {_FINE} < waits.fine_ms THEN 0
                ELSE {_FINE} - waits.fine_ms END AS fine_ms,
           s.queue_wait_ms
    FROM workflow_trace_log AS s
    LEFT JOIN (
        SELECT w.trace_id, w.parent_span_id AS span_id,
               least(sum({_DURATION.replace("s.", "w.")}), 9223372036854775807)::bigint AS wait_ms,
               CASE WHEN count(w.duration_rest_us) = count(*) THEN sum({_FINE.replace("s.", "w.")}) END AS fine_ms
        FROM workflow_trace_log AS w
        WHERE w.span_type = 'wait' AND w.parent_span_id IS NOT NULL
          AND w.start_time_ms >= %(from_ms)s AND w.start_time_ms < %(to_ms)s + %(reach)s
        GROUP BY 1, 2
    ) AS waits ON waits.trace_id = s.trace_id AND waits.span_id = s.span_id
    WHERE {{within}} AND s.span_type = ANY({{of}})
      AND (%(project)s::text IS NULL OR coalesce(s.project, '') = %(project)s)
      AND (%(created_from)s::timestamptz IS NULL OR s.created_at >= %(created_from)s)
      AND (%(created_to)s::timestamptz IS NULL OR s.created_at < %(created_to)s)
      AND {_DURATION} IS NOT NULL
) AS spans"""

# OFFSET 0 keeps the planner from copying the expressions, so each name and each template is computed once per span.
_FOLDED = """(
    SELECT templated.*, {key} AS folded_name
    FROM (
        SELECT named.*, CASE WHEN span_type = ANY(%(folded_types)s::text[]) THEN {template} END AS template
        FROM (SELECT * FROM {spans} OFFSET 0) AS named OFFSET 0
    ) AS templated
) AS spans"""

_PLAIN = """
SELECT day, project, span_type, {name}, trace_id, judged_ms, fine_ms, queue_wait_ms
FROM {spans}"""

_ATTRIBUTE = """
SELECT day, project, %(dimension{i})s, {value}, trace_id, judged_ms,
       fine_ms, queue_wait_ms
FROM {spans} WHERE attributes->>%(attribute{i})s <> ''"""

_CHOSEN = """ JOIN unnest(%(slice_types)s::text[], %(slice_keys)s::text[], %(slice_names)s::text[])
                         AS chosen (of_type, of_name, attribute)
                    ON chosen.of_type = spans.span_type AND chosen.of_name = spans.{name}"""

# A span's attribute comes from its trace's handoff of the same day; other days are read only if that day has none.
_COMBINED = f"""
SELECT day, project, {{dimension}}, {{name}} || ':' || {_bounded("value")}, trace_id, judged_ms, fine_ms,
       queue_wait_ms
FROM (
    SELECT spans.*, {{attribute}} AS attribute, coalesce(nullif(spans.attributes->>{{attribute}}, ''),
                                                       nullif(own.attributes->>{{attribute}}, ''),
                                                       nullif(other.attributes->>{{attribute}}, '')) AS value
    FROM {{spans}}{{chosen}} LEFT JOIN (
        SELECT DISTINCT ON (s.trace_id, s.start_time_ms / 86400000) s.trace_id, {DAY_OF} AS day, s.attributes
        FROM workflow_trace_log AS s
        WHERE {{within}}
          AND s.span_type IN ('handoff', 'workflow')
        ORDER BY s.trace_id, s.start_time_ms / 86400000, s.start_time_ms, s.span_id
    ) AS own ON own.trace_id = spans.trace_id AND own.day = spans.day
    LEFT JOIN (
        SELECT found.*, DATE '1970-01-01' + traces.day::integer AS day FROM (
            SELECT s.trace_id, s.start_time_ms / 86400000 AS day FROM workflow_trace_log AS s
            WHERE {{within}}
              AND s.span_type = ANY(%(handoff_stored)s || {{of}})
            GROUP BY 1, 2 HAVING bool_and(s.span_type NOT IN ('handoff', 'workflow'))
        ) AS traces CROSS JOIN LATERAL (
            SELECT h.trace_id, (array_agg(h.attributes ORDER BY h.start_time_ms, h.span_id))[1] AS attributes
            FROM workflow_trace_log AS h
            WHERE h.trace_id = traces.trace_id AND h.span_type IN ('handoff', 'workflow')
              AND h.start_time_ms >= traces.day * 86400000 - %(reach)s
              AND h.start_time_ms < (traces.day + 1) * 86400000 + %(ahead)s
              AND h.start_time_ms >= %(from_ms)s - %(reach)s AND h.start_time_ms < %(to_ms)s + %(reach)s
            GROUP BY h.trace_id
        ) AS found
    ) AS other ON other.trace_id = spans.trace_id AND other.day = spans.day
) AS valued
WHERE value IS NOT NULL"""

# Spans that affect others: handoffs give attributes to their trace, waits reduce the judged time of their parent.
REACHING = "s.span_type IN ('handoff', 'workflow', 'wait')"

_COUNTED = """s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s
  AND (%(project)s::text IS NULL OR coalesce(s.project, '') = %(project)s)
  AND (%(created_from)s::timestamptz IS NULL OR s.created_at >= %(created_from)s)
  AND (%(created_to)s::timestamptz IS NULL OR s.created_at < %(created_to)s)"""

# Rows of workflow_trace_counts, by day, span type and project.
COUNTS = f"""
SELECT {DAY_OF} AS day, {_TYPE} AS span_type, coalesce(s.project, '') AS project,
       count(*) AS spans, count({_DURATION}) AS timed_spans
FROM workflow_trace_log AS s
WHERE {_COUNTED}
GROUP BY 1, 2, 3
"""

# The same for all span types together, with the number of traces. Grouped by trace first, so that a cluster counts them
# where they are.
TRACES = f"""
SELECT day, project, sum(spans)::bigint AS spans, sum(timed_spans)::bigint AS timed_spans, count(*) AS traces
FROM (
    SELECT s.trace_id, {DAY_OF} AS day, coalesce(s.project, '') AS project,
           count(*) AS spans, count({_DURATION}) AS timed_spans
    FROM workflow_trace_log AS s
    WHERE {_COUNTED}
    GROUP BY 1, 2, 3
) AS of_traces
GROUP BY 1, 2
"""

# Spans with their types and names as received; a caller adds conditions on ``s``.
NAMED_SPANS = f"""
SELECT {_TYPE} AS span_type, {_bounded(_NAME)} AS span_name, {DAY_OF} AS day FROM workflow_trace_log AS s"""

# Columns of single spans; a caller adds conditions on ``s``.
STORED_SPANS = f"""(
    SELECT {DAY_OF} AS day, s.trace_id, s.span_id, s.parent_span_id, {_TYPE} AS span_type, {_OWN_NAME} AS span_name,
           s.start_time_ms, coalesce(s.end_time_ms, s.start_time_ms + s.duration_ms) AS end_time_ms,
           coalesce({_FINE}, {_DURATION}) AS duration_ms, s.queue_wait_ms, s.attributes
    FROM workflow_trace_log AS s
    WHERE {{where}}
) AS spans"""


def keyed_spans(where: str, folds: Folds) -> str:
    """Return SQL for types, keys and attributes of spans; ``where``: condition on ``s``. Needs Folds.parameters."""
    return f"SELECT span_type, {_key(folds)} AS key, attributes FROM {_folded(STORED_SPANS.format(where=where), folds)}"


def valued_spans(condition: str, folds: Folds) -> str:
    """Return SQL for the text attributes of keys with several values: total spans, spans of the largest, all values.

    As in dimensions, spans have the attributes of their trace's handoff. ``condition`` is on spans ``s``. Needs
    Folds.parameters, ``sampled`` (of 2**31 parts of the traces) and ``most`` (values).
    """
    where = f"""({condition}) AND s.span_type NOT IN ('wait', 'execution') AND {_DURATION} IS NOT NULL
        AND (hashtext(s.trace_id::text)::bigint & 2147483647) < %(sampled)s"""
    return f"""
    WITH sampled AS MATERIALIZED (
        SELECT span_type, {_key(folds)} AS key, trace_id, start_time_ms,
               CASE jsonb_typeof(attributes) WHEN 'object' THEN attributes ELSE '{{}}' END AS attributes
        FROM {_folded(STORED_SPANS.format(where=where), folds)}
    ), totals AS (
        SELECT span_type, key, count(*) AS total FROM sampled GROUP BY 1, 2
    ), handoffs AS (
        SELECT DISTINCT ON (trace_id) trace_id, attributes FROM sampled WHERE span_type = 'handoff'
        ORDER BY trace_id, start_time_ms
    ), valued AS (
        SELECT s.span_type, s.key, a.key AS attribute, left(a.value #>> ARRAY[]::text[], {LONGEST}) AS value,
               count(*) AS n
        FROM sampled AS s LEFT JOIN handoffs AS h ON h.trace_id = s.trace_id
        CROSS JOIN LATERAL jsonb_each(coalesce(h.attributes, '{{}}') || s.attributes) AS a
        WHERE jsonb_typeof(a.value) = 'string' AND a.value <> '""'
        GROUP BY 1, 2, 3, 4
    )
    SELECT span_type, key, attribute, total, (array_agg(n ORDER BY n DESC))[1:%(most)s], count(*)
    FROM valued JOIN totals USING (span_type, key) GROUP BY 1, 2, 3, 4 HAVING count(*) > 1
    """


_OF_TRACES = f"""s.trace_id = ANY(%(traces)s::uuid[]) AND {_DURATION} IS NOT NULL
  AND s.start_time_ms >= %(from_ms)s - %(reach)s AND s.start_time_ms < %(to_ms)s + %(reach)s"""


def trace_spans(folds: Folds) -> str:
    """Return SQL for all spans of given traces: ids, type, key, start, end, duration, queue wait, attributes."""
    return f"""
        SELECT trace_id::text, span_id::text, parent_span_id::text, span_type, {_key(folds)}, start_time_ms,
               end_time_ms, duration_ms, queue_wait_ms, attributes
        FROM {_folded(STORED_SPANS.format(where=_OF_TRACES), folds)}
        ORDER BY spans.trace_id, start_time_ms, spans.span_id"""


_OF_TYPE = f"""s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s AND s.span_type = ANY(%(stored)s)
  AND (%(project)s::text IS NULL OR coalesce(s.project, '') = %(project)s)
  AND {_DURATION} IS NOT NULL
  AND NOT {DAY_OF} = ANY(%(dropped)s::date[])"""


def spans_of_one(folds: Folds) -> str:
    """Return SQL for the spans of one plain dimension, without the days ``dropped``, whose spans are incomplete."""
    return f"""
        SELECT day, trace_id, span_id, parent_span_id, duration_ms, attributes
        FROM {_folded(STORED_SPANS.format(where=_OF_TYPE), folds)} WHERE {_key(folds)} = %(key)s"""


def waited_for(folds: Folds) -> str:
    """Return SQL for the key of the span that a sibling wait ``w`` belongs to."""
    name = f"({_bounded('w.span_name')})"
    return name_templates.key("%(span_type)s::text", name) if folds.templates else name

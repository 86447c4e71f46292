"""What durations are grouped by: the grammar of dimension types, and the SQL that reads a span by it.

Belongs here: the one expression for a span's type, its name, its judged time and its key, the older LEO shape
included. Does not: medians, windows, thresholds.
"""

from collections.abc import Iterable

NAMED_ASSETS = ("phase", "gate", "subagent", "handoff", "sd_type", "gate+sd_type")
NOT_BY_DEFAULT = ("wait", "execution")
GLOBAL = "global"

# A wait or a handoff is looked for this long outside the window that its trace touches.
REACH_MS = 7 * 86_400_000

_TYPE = "CASE s.span_type WHEN 'workflow' THEN 'handoff' ELSE s.span_type END"
_NAME = """CASE
    WHEN s.span_type = 'workflow' THEN coalesce(nullif(s.attributes->>'handoff_type', ''), s.span_name)
    WHEN s.span_type = 'gate' THEN coalesce(nullif(s.gate_name, ''), s.span_name)
    WHEN s.span_type = 'subagent' THEN coalesce(nullif(s.subagent_name, ''), s.span_name)
    WHEN s.span_type = 'phase' AND s.span_name ~ '^(step|phase|workflow)[.]'
        THEN coalesce(nullif(s.attributes->>'step_name', ''), substring(s.span_name FROM '^step[.](.+)$'),
                      nullif(s.phase, ''), s.span_name)
    ELSE s.span_name END"""
# A key is part of an index, which has a limit; nobody reads longer names either.
LONGEST = 200
_DURATION = "coalesce(s.duration_ms, s.end_time_ms - s.start_time_ms)"


def types_to_judge(seen: Iterable[str], named: Iterable[str]) -> list[str]:
    """Return the dimension types of an analysis, sorted.

    ``seen`` are the span types of the window, ``named`` those that ``telemetry_thresholds`` switches on.
    """
    by_default = set(NAMED_ASSETS) | {span_type for span_type in seen if span_type not in NOT_BY_DEFAULT}
    return sorted(by_default | {dimension_type for dimension_type in named if dimension_type != GLOBAL})


def observations(types: Iterable[str], seen: Iterable[str]) -> tuple[str, dict[str, object]]:
    """Return SQL whose rows are one judged time of one dimension each, and its parameters.

    Columns: day, project, dimension_type, dimension_key, trace_id, judged_ms, queue_wait_ms. The caller adds the
    parameters ``from_ms``, ``to_ms`` (start_time_ms in between, ``to_ms`` excluded) and ``project`` (None: all).
    ``seen`` decides what a bare word is: a span type that occurs, or else an attribute of handoffs.
    """
    span_types = {*NAMED_ASSETS, *NOT_BY_DEFAULT, *seen} - {"sd_type", "gate+sd_type"}
    plain = sorted(word for word in types if "+" not in word and word in span_types)
    parts = [
        """SELECT day, project, span_type, span_name, trace_id, judged_ms, queue_wait_ms FROM spans
           WHERE span_type = ANY(%(plain)s)"""
    ]
    parameters: dict[str, object] = {"plain": plain, "reach": REACH_MS}
    for index, word in enumerate(sorted(set(types) - set(plain))):
        span_type, _, attribute = word.partition("+")
        parameters |= {
            f"dimension{index}": word,
            f"type{index}": span_type,
            f"attribute{index}": attribute or word,
        }
        part = _COMBINED if attribute else _ATTRIBUTE
        parts.append(part.format(i=index, longest=LONGEST))
    return _SPANS + " UNION ALL ".join(parts), parameters


_ATTRIBUTE = """
SELECT day, project, %(dimension{i})s, left(attributes->>%(attribute{i})s, {longest}), trace_id, judged_ms,
       queue_wait_ms
FROM spans WHERE span_type = 'handoff' AND attributes->>%(attribute{i})s <> ''"""

_COMBINED = """
SELECT day, project, %(dimension{i})s, span_name || ':' || left(value, {longest}), trace_id, judged_ms, queue_wait_ms
FROM (SELECT spans.*, coalesce(nullif(spans.attributes->>%(attribute{i})s, ''),
                               nullif(handoffs.attributes->>%(attribute{i})s, '')) AS value
      FROM spans LEFT JOIN handoffs USING (trace_id) WHERE span_type = %(type{i})s) AS valued
WHERE value IS NOT NULL"""

_SPANS = f"""
WITH waits AS (
    SELECT s.trace_id, s.parent_span_id AS span_id, sum({_DURATION})::bigint AS wait_ms
    FROM workflow_trace_log AS s
    WHERE s.span_type = 'wait' AND s.parent_span_id IS NOT NULL
      AND s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s + %(reach)s
    GROUP BY 1, 2
), handoffs AS (
    SELECT DISTINCT ON (s.trace_id) s.trace_id, s.attributes FROM workflow_trace_log AS s
    WHERE s.span_type IN ('handoff', 'workflow')
      AND s.start_time_ms >= %(from_ms)s - %(reach)s AND s.start_time_ms < %(to_ms)s + %(reach)s
    ORDER BY s.trace_id, s.start_time_ms, s.span_id
), spans AS (
    SELECT DATE '1970-01-01' + (s.start_time_ms / 86400000)::integer AS day, coalesce(s.project, '') AS project,
           {_TYPE} AS span_type, left({_NAME}, {LONGEST}) AS span_name, s.trace_id, s.attributes,
           greatest({_DURATION} - coalesce(waits.wait_ms, 0), 0) AS judged_ms, s.queue_wait_ms
    FROM workflow_trace_log AS s
    LEFT JOIN waits ON waits.trace_id = s.trace_id AND waits.span_id = s.span_id
    WHERE s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s
      AND (%(project)s::text IS NULL OR coalesce(s.project, '') = %(project)s)
      AND {_DURATION} IS NOT NULL
)
"""

SEEN_TYPES = f"""
SELECT {_TYPE} AS span_type, DATE '1970-01-01' + (s.start_time_ms / 86400000)::integer AS day,
       count(*), count({_DURATION}), count(DISTINCT s.trace_id)
FROM workflow_trace_log AS s
WHERE s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s
  AND (%(project)s::text IS NULL OR coalesce(s.project, '') = %(project)s)
GROUP BY 1, 2 ORDER BY 1, 2
"""

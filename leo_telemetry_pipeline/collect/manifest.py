"""What a look at the generated history must find, worked out apart from the analysis.

Belongs here: plain Python over all spans, slow and simple, with nothing of the analysis in it.
Does not: how the spans come about (generated).
"""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from statistics import median

from leo_telemetry_pipeline.collect.generated import DAYS, SEED, SLOWDOWNS, WINDOW_DAYS, generate
from leo_telemetry_pipeline.span import Span

MULTIPLIER = 2.0
MIN_SAMPLES = 10
_NOT_JUDGED = ("wait", "execution")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Dimension = tuple[str, str]


def manifest(last_midnight: datetime, days: int = DAYS, seed: int = SEED) -> dict:
    """Return which dimensions of the generated history became slow, and by how much.

    ``slowed`` has those whose P50 of the last 7 days is more than 2.0 times that of the days before,
    with at least 10 spans in either, the worst first; times are ms. All of it can be written as JSON.
    """
    listed = [found for found in ratios(last_midnight, days, seed) if found["ratio"] > MULTIPLIER]
    slowed = [{**found, "cause": _cause(found)} for found in listed]
    return {"generated": last_midnight.isoformat(), "days": days, "seed": seed, "slowed": slowed}


def ratios(last_midnight: datetime, days: int = DAYS, seed: int = SEED) -> list[dict]:
    """Return P50 before, P50 in the last 7 days and their ratio for each dimension, the worst first."""
    window_start = (last_midnight - timedelta(days=WINDOW_DAYS) - _EPOCH) // timedelta(milliseconds=1)
    history: dict[Dimension, list[int]] = defaultdict(list)
    window: dict[Dimension, list[int]] = defaultdict(list)
    spans = list(generate(last_midnight, days, seed))
    for dimension, start, judged in _judged(spans):
        (window if start >= window_start else history)[dimension].append(judged)
    found = []
    for dimension, durations in window.items():
        if min(len(durations), len(history[dimension])) < MIN_SAMPLES:
            continue
        before, now = median(history[dimension]), median(durations)
        found.append(
            {
                "dimension_type": dimension[0],
                "dimension_key": dimension[1],
                "history_p50_ms": before,
                "window_p50_ms": now,
                "ratio": round(now / before, 3),
            }
        )
    return sorted(found, key=lambda one: (-one["ratio"], one["dimension_type"], one["dimension_key"]))


def _judged(spans: list[Span]) -> list[tuple[Dimension, int, int]]:
    waited: dict[str | None, int] = defaultdict(int)
    sd_types = {}
    for span in spans:
        if span.span_type == "wait":
            waited[span.parent_span_id] += span.duration_ms or 0
        if span.span_type == "handoff":
            sd_types[span.trace_id] = span.attributes["sd_type"]
    judged = []
    for span in spans:
        if span.span_type in _NOT_JUDGED:
            continue
        time = (span.duration_ms or 0) - waited[span.span_id]
        sd_type = span.attributes.get("sd_type", sd_types[span.trace_id])
        judged.append(((span.span_type, span.span_name), span.start_time_ms, time))
        if span.span_type == "handoff":
            judged.append((("sd_type", sd_type), span.start_time_ms, time))
        if span.span_type == "gate":
            judged.append((("gate+sd_type", f"{span.span_name}:{sd_type}"), span.start_time_ms, time))
    return judged


def _cause(found: dict) -> str:
    name, _, sd_type = found["dimension_key"].partition(":")
    for slowdown in SLOWDOWNS:
        if slowdown.span_name == name and slowdown.sd_type in (None, sd_type):
            return slowdown.cause
    return "it contains what was made slower"

"""What a look at the generated history must find, worked out apart from the analysis.

Belongs here: plain Python over all spans, slow and simple, with nothing of the analysis in it.
Does not: how the spans come about (generated).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.sample.generated import DAYS, SEED, SLOWDOWNS, WINDOW_DAYS, generate
from leo_telemetry_pipeline.span import Span

# The median day of a dimension has so many spans, or too little is known of it.
SPANS_A_DAY = 8
# What is slower by less is no slowdown that anyone would see.
RATIO = 1.15
_NOT_JUDGED = ("wait", "execution")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class _Observed:
    """One span as its dimensions see it: times in ms, ``planted`` one per slowdown: what lies in it of that."""

    day: int
    judged: int
    planted: tuple[int, ...]


def manifest(last_midnight: datetime, spans: Sequence[Span] | None = None) -> dict:
    """Return what is planted in the generated history and which dimensions each of it slows, as JSON can hold it.

    ``spans`` are those of ``generate`` for this midnight, where the caller has them.
    ``planted`` has one entry a slowdown: the dimension that names it, its ``cause`` in words, and ``slows``: the
    entries of ``ratios`` that are over 1.15 times as slow for the most part because of it, the worst first.
    """
    found = [one for one in ratios(last_midnight, spans) if one["ratio"] > RATIO]
    planted = [
        {
            "dimension_type": slowdown.dimension[0],
            "dimension_key": slowdown.dimension[1],
            "cause": slowdown.cause,
            "slows": [
                {name: value for name, value in one.items() if name != "slowdown"}
                for one in found
                if one["slowdown"] == number
            ],
        }
        for number, slowdown in enumerate(SLOWDOWNS)
    ]
    return {"generated": last_midnight.isoformat(), "days": DAYS, "seed": SEED, "planted": planted}


def ratios(last_midnight: datetime, spans: Sequence[Span] | None = None) -> list[dict]:
    """Return P50 before, P50 in the last 7 days and their ratio of each dimension with enough spans, the worst first.

    Times are ms. ``slowdown`` is the number of the planted one of whose time there is most more, None where there is
    no more of any.
    """
    first_slow_day = (last_midnight - timedelta(days=WINDOW_DAYS) - _EPOCH).days
    found = []
    for dimension, observed in _observed(spans or list(generate(last_midnight))).items():
        history = [one for one in observed if one.day < first_slow_day]
        window = [one for one in observed if one.day >= first_slow_day]
        if not history or not window or _spans_a_day(observed) < SPANS_A_DAY:
            continue
        before, now = (median(one.judged for one in side) for side in (history, window))
        found.append(
            {
                "dimension_type": dimension[0],
                "dimension_key": dimension[1],
                "history_p50_ms": before,
                "window_p50_ms": now,
                "ratio": round(now / before, 3),
                "slowdown": _most_more(history, window),
            }
        )
    return sorted(found, key=lambda one: (-one["ratio"], one["dimension_type"], one["dimension_key"]))


def _observed(spans: Sequence[Span]) -> dict[Dimension, list[_Observed]]:
    waited: dict[str | None, int] = defaultdict(int)
    sd_types = {}
    for span in spans:
        if span.span_type == "wait":
            waited[span.parent_span_id] += span.duration_ms or 0
        if span.span_type == "handoff":
            sd_types[span.trace_id] = span.attributes["sd_type"]
    planted = _planted(spans, sd_types)
    observed: dict[Dimension, list[_Observed]] = defaultdict(list)
    for span in spans:
        if span.span_type in _NOT_JUDGED:
            continue
        sd_type = sd_types[span.trace_id]
        dimensions = [(span.span_type, span.span_name)]
        if span.span_type == "handoff":
            dimensions.append(("sd_type", sd_type))
        if span.span_type == "gate":
            dimensions.append(("gate+sd_type", f"{span.span_name}:{sd_type}"))
        judged = (span.duration_ms or 0) - waited[span.span_id]
        one = _Observed(span.start_time_ms // _DAY_MS, judged, tuple(planted[span.span_id]))
        for dimension in dimensions:
            observed[dimension].append(one)
    return observed


def _planted(spans: Sequence[Span], sd_types: dict[str, str]) -> dict[str | None, list[int]]:
    """Return for each span the ms, one for each slowdown, of the spans in it, and it itself, that it was planted in."""
    by_id = {span.span_id: span for span in spans}
    planted: dict[str | None, list[int]] = defaultdict(lambda: [0] * len(SLOWDOWNS))
    for span in spans:
        for number, slowdown in enumerate(SLOWDOWNS):
            if slowdown.is_of(span.span_type, span.span_name, sd_types[span.trace_id]):
                above: Span | None = span
                while above:
                    planted[above.span_id][number] += span.duration_ms or 0
                    above = by_id.get(above.parent_span_id or "")
    return planted


def _spans_a_day(observed: Sequence[_Observed]) -> float:
    counts: dict[int, int] = defaultdict(int)
    for one in observed:
        counts[one.day] += 1
    return median(counts.values())


def _most_more(history: Sequence[_Observed], window: Sequence[_Observed]) -> int | None:
    more = [
        sum(one.planted[number] for one in window) / len(window)
        - sum(one.planted[number] for one in history) / len(history)
        for number in range(len(SLOWDOWNS))
    ]
    return more.index(max(more)) if max(more) > 0 else None

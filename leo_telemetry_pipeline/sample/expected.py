"""Expected findings in the generated history, computed independently of the analysis.

Belongs here: plain Python over all spans, slow and simple, without any code of the analysis.
Does not: generating the spans (generated).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.sample.generated import DAYS, SEED, SLOWDOWNS, WINDOW_DAYS, generate
from leo_telemetry_pipeline.span import Span

# A smaller slowdown would go unnoticed.
RATIO = 1.15
_NOT_JUDGED = ("wait", "execution")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class _Observed:
    """One span's contribution to its dimensions, in ms; ``planted`` is the part due to each planted slowdown."""

    day: int
    judged: int
    planted: tuple[int, ...]


def manifest(last_midnight: datetime, spans: Sequence[Span] | None = None) -> dict:
    """Return the planted slowdowns and the dimensions that each slows, as JSON-ready data.

    ``spans`` are those of ``generate`` for this midnight, if the caller has them.
    ``planted`` has one entry per slowdown: its dimension, its ``cause`` in words, and ``slows``: the entries of
    ``ratios`` over 1.15 that are mainly due to it, the worst first.
    """
    # A P50 of few spans may also be higher by chance, without a planted slowdown.
    slowed = [
        entry for entry in ratios(last_midnight, spans) if entry["ratio"] > RATIO and entry["slowdown"] is not None
    ]
    planted = [
        {
            "dimension_type": slowdown.dimension[0],
            "dimension_key": slowdown.dimension[1],
            "cause": slowdown.cause,
            "slows": [
                {name: value for name, value in entry.items() if name != "slowdown"}
                for entry in slowed
                if entry["slowdown"] == number
            ],
        }
        for number, slowdown in enumerate(SLOWDOWNS)
    ]
    return {"generated": last_midnight.isoformat(), "days": DAYS, "seed": SEED, "planted": planted}


def ratios(last_midnight: datetime, spans: Sequence[Span] | None = None) -> list[dict]:
    """Return the P50 before, the P50 of the last 7 days and their ratio per dimension, worst first.

    Times are ms. ``slowdown`` is the index of the planted slowdown whose time increased most, None if none increased.
    """
    first_slow_day = (last_midnight - timedelta(days=WINDOW_DAYS) - _EPOCH).days
    entries = []
    for dimension, observed in _observed(spans or list(generate(last_midnight))).items():
        history = [span for span in observed if span.day < first_slow_day]
        window = [span for span in observed if span.day >= first_slow_day]
        if not history or not window:
            continue
        before, now = (median(span.judged for span in side) for side in (history, window))
        entries.append(
            {
                "dimension_type": dimension[0],
                "dimension_key": dimension[1],
                "history_p50_ms": before,
                "window_p50_ms": now,
                "ratio": round(now / before, 3),
                "slowdown": _most_increased(history, window),
            }
        )
    return sorted(entries, key=lambda entry: (-entry["ratio"], entry["dimension_type"], entry["dimension_key"]))


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
        dimensions.append((f"{span.span_type}+sd_type", f"{span.span_name}:{sd_type}"))
        judged = (span.duration_ms or 0) - waited[span.span_id]
        contribution = _Observed(span.start_time_ms // _DAY_MS, judged, tuple(planted[span.span_id]))
        for dimension in dimensions:
            observed[dimension].append(contribution)
    return observed


def _planted(spans: Sequence[Span], sd_types: dict[str, str]) -> dict[str | None, list[int]]:
    """Return per span id, for each slowdown, the ms of slowed spans within that span, itself included."""
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


def _most_increased(history: Sequence[_Observed], window: Sequence[_Observed]) -> int | None:
    increases = [
        sum(span.planted[number] for span in window) / len(window)
        - sum(span.planted[number] for span in history) / len(history)
        for number in range(len(SLOWDOWNS))
    ]
    return increases.index(max(increases)) if max(increases) > 0 else None

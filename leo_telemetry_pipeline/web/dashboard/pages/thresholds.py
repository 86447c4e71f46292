"""List of thresholds: what counts as slow for each dimension, as configured, learned and suggested.

Belongs here: the model of the list. Does not: the threshold of one dimension (threshold).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from leo_telemetry_pipeline.analysis.bottlenecks import DEFAULT_MULTIPLIER
from leo_telemetry_pipeline.dimension import Dimension, Suggestion, Threshold
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import baselines, dimension_results, runs, suggestions, thresholds
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard import listing
from leo_telemetry_pipeline.web.dashboard.page import Asked, Page
from leo_telemetry_pipeline.web.dashboard.tables import Table


@dataclass(frozen=True)
class OfType:
    """Values that apply to a whole type, or as type ``global`` to all; None: not set."""

    dimension_type: str
    baseline_p50_ms: float | None
    multiplier: float | None
    min_samples: int | None
    is_active: bool


@dataclass(frozen=True)
class Row:
    """Threshold of a dimension in force, with the learned and the suggested one, as (baseline in ms, multiplier).

    ``p50_ms`` is from the last analysis, None if it did not measure the dimension.
    """

    name: str
    p50_ms: float | None
    spans: int
    is_active: bool
    configured: tuple[float, float] | None
    learned: tuple[float, float] | None
    suggested: tuple[float | None, float] | None
    min_samples: int


@dataclass(frozen=True)
class Thresholds:
    """The list. ``text``: what it is filtered by; ``place``: where its next part begins."""

    of_types: tuple[OfType, ...]
    rows: tuple[Row, ...]
    place: str
    text: str
    is_start: bool


def read(database: Database, asked: Asked) -> Thresholds:
    """Read a part of the list."""
    text, place = listing.search(asked.query.get("text", "")), listing.dimension(asked.query.get("after", ""))
    last = runs.last_succeeded_id(database)
    names = thresholds.names_after(database, last, place, listing.SIZE + 1, text)
    part = listing.cut(names, lambda name: (":".join(name),))
    return Thresholds(
        tuple(OfType(*row) for row in thresholds.of_types(database)) if place is None else (),
        tuple(rows(database, last, part.rows, asked.settings)),
        part.place,
        text,
        place is None,
    )


def rows(database: Database, run_id: str | None, names: Sequence[Dimension], settings: Settings) -> list[Row]:
    """Read the rows of some dimensions."""
    if not names:
        return []
    learned = baselines.of_dimensions(database, None, names)
    suggested = suggestions.of_dimensions(database, run_id, names) if run_id else {}
    measured = dimension_results.p50s_of(database, run_id, names) if run_id else {}
    return [
        row(one, measured.get(one.dimension), learned.get(one.dimension), suggested.get(one.dimension), settings)
        for one in thresholds.effective(database, names)
    ]


def row(
    one: Threshold,
    measured: tuple[int, float] | None,
    learned: tuple[float, float] | None,
    suggestion: Suggestion | None,
    settings: Settings,
) -> Row:
    """Return the row of a dimension."""
    spans, p50_ms = measured or (0, None)
    configured = suggested = None
    if one.baseline_source == "configured" and one.baseline_p50_ms is not None:
        configured = one.baseline_p50_ms, one.multiplier or DEFAULT_MULTIPLIER
    if suggestion and suggestion.multiplier is not None and not suggestion.is_applied:
        suggested = suggestion.baseline_p50_ms, suggestion.multiplier
    min_samples = one.min_samples or settings.min_samples
    return Row(one.name, p50_ms, spans, one.is_active, configured, learned, suggested, min_samples)


QUERY = {
    "text": "Only dimensions with this text in their name",
    "after": "Where a part of the list begins: the place that the part before it ends with",
}
TABLE = Table(
    {
        "dimension": lambda row: row.name,
        "judged": lambda row: "yes" if row.is_active else "no",
        "p50_ms": lambda row: row.p50_ms,
        "spans": lambda row: row.spans,
        "configured_p50_ms": lambda row: row.configured[0] if row.configured else None,
        "configured_multiplier": lambda row: row.configured[1] if row.configured else None,
        "learned_p50_ms": lambda row: row.learned[0] if row.learned else None,
        "learned_multiplier": lambda row: row.learned[1] if row.learned else None,
        "suggested_p50_ms": lambda row: row.suggested[0] if row.suggested else None,
        "suggested_multiplier": lambda row: row.suggested[1] if row.suggested else None,
        "spans_needed": lambda row: row.min_samples,
    }
)
PAGE = Page("/thresholds", "thresholds.html", read, "Thresholds", QUERY, TABLE)

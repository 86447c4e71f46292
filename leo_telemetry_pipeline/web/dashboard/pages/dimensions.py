"""All dimensions of the last analysis: a list to search, filter and sort.

Belongs here: the model of the page, and reading it. Does not: one dimension (dimension).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from leo_telemetry_pipeline.actions.judgement_words import OUTCOMES
from leo_telemetry_pipeline.dimension import DimensionResult
from leo_telemetry_pipeline.store import dimension_results, runs
from leo_telemetry_pipeline.store.days import DAY
from leo_telemetry_pipeline.store.dimension_results import SORTS, Listed, Place
from leo_telemetry_pipeline.store.history import recent_p50s
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard import listing, outputs
from leo_telemetry_pipeline.web.dashboard.page import Asked
from leo_telemetry_pipeline.web.dashboard.tables import Table

QUERY = {
    "q": "Only dimensions with this text in their name",
    "type": "Only dimensions of this type, such as gate",
    "outcome": "slow, mix (not slower, but other work than before), or nothing for all",
    "sort": "Largest first by: lost (time lost), ratio, or total (time)",
    "project": "The last analysis of this project",
    "after": "Where the list continues: place of the page before",
}
TABLE = Table(
    {
        "dimension": lambda row: row.result.name,
        "judged_as": lambda row: row.outcome,
        "slow_since": lambda row: row.result.onset_day,
        "times_normal": lambda row: row.result.ratio,
        "p50_ms": lambda row: row.result.observed_p50_ms or row.result.p50_ms,
        "baseline_p50_ms": lambda row: row.result.baseline_p50_ms,
        "spans": lambda row: row.result.sample_count,
        "total_ms": lambda row: row.result.sum_ms,
        "lost_ms_a_week": lambda row: row.lost_ms,
    }
)
# Days of the charts.
DAYS = 28
WEEK_DAYS = 7
# Outcome of each filter, and what people see.
FILTERS = {"": ("", "all"), "slow": ("bottleneck", "slow"), "mix": ("mix", "other work than before")}
SORTED_BY = {"lost": "time lost", "ratio": "times normal", "total": "total time"}


@dataclass(frozen=True)
class Row:
    """Dimension in the list. ``lost_ms``: per week; ``p50s_ms``: of each of the last days, None without spans."""

    result: DimensionResult
    outcome: str
    lost_ms: float
    p50s_ms: tuple[float | None, ...]


@dataclass(frozen=True)
class Selection:
    """What a person asked for; ``after``: the place of the last dimension of the page before."""

    text: str = ""
    of_type: str = ""
    outcome: str = ""
    sort: str = "lost"
    project: str = ""
    after: Place | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether some dimensions are left out."""
        return bool(self.text or self.of_type or self.outcome)


@dataclass(frozen=True)
class DimensionsPage:
    """Everything on the page. ``place``: where the list continues, empty at its end. ``judged``: their number."""

    selection: Selection
    run_id: str | None = None
    window_start: datetime | None = None
    window_end: datetime | None = None
    judged: int = 0
    rows: tuple[Row, ...] = ()
    types: tuple[str, ...] = ()
    place: str = ""

    @property
    def filters(self) -> Mapping[str, str]:
        """Filters by outcome, and what people see."""
        return {name: words for name, (_, words) in FILTERS.items()}

    @property
    def sorts(self) -> Mapping[str, str]:
        """Values to sort by, and what people see."""
        return SORTED_BY


def read(database: Database, asked: Asked) -> DimensionsPage:
    """Read a part of the list of all dimensions."""
    wanted = selection(asked.query)
    run = runs.last(database, wanted.project or None)
    if run is None:
        return DimensionsPage(wanted)
    found = dimension_results.listed(
        database,
        run.run_id,
        sort=wanted.sort,
        text=wanted.text,
        of_type=wanted.of_type,
        outcome=FILTERS[wanted.outcome][0],
        after=wanted.after,
        limit=listing.SIZE + 1,
    )
    part = listing.cut(found, lambda one: (one.place[0], one.place[1], one.result.name))
    return DimensionsPage(
        wanted,
        run.run_id,
        run.window_start,
        run.window_end,
        outputs.of(database, run.run_id).get("dimensions_evaluated") or 0,
        tuple(_rows(database, run, part.rows)),
        tuple(dimension_results.types(database, run.run_id)),
        part.place,
    )


def selection(query: Mapping[str, str]) -> Selection:
    """Return what a query asks for; an unknown outcome or order counts as not given. Raises Missing."""
    sort, outcome = query.get("sort", ""), query.get("outcome", "")
    return Selection(
        listing.search(query.get("q", "")),
        query.get("type", ""),
        outcome if outcome in FILTERS else "",
        sort if sort in SORTS else "lost",
        query.get("project", ""),
        _place(query.get("after", "")),
    )


def _place(words: str) -> Place | None:
    """Read the place of a dimension in the list. Raises Missing."""
    place = listing.parsed(words, (float, float, str))
    if place is None:
        return None
    value, total, name = place
    of_type, _, key = name.partition(":")
    return value, total, of_type, key


def _rows(database: Database, run: Run, shown: Sequence[Listed]) -> list[Row]:
    if not shown or run.window_end is None:
        return []
    names = [one.result.dimension for one in shown]
    charts = recent_p50s.of(database, names, run.window_end.astimezone(UTC).date() - DAY, DAYS, run.window.project)
    weeks = (run.window.end - run.window.start) / (WEEK_DAYS * DAY)
    return [
        Row(
            one.result,
            OUTCOMES[one.result.outcome or "no_baseline"],
            one.lost_ms / weeks,
            tuple(charts[one.result.dimension]),
        )
        for one in shown
    ]

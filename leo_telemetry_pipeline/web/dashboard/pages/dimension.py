"""One dimension: its days, how it was judged and why, its distribution, and what sets its slow spans apart.

Belongs here: the model of the page, and reading it. Does not: days (dimension_history), charts (dimension_charts).
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from leo_telemetry_pipeline.actions import judgement_words
from leo_telemetry_pipeline.actions.dimension_names import parse
from leo_telemetry_pipeline.actions.items import explanations, fingerprint
from leo_telemetry_pipeline.analysis import attributes, compare, forecast, slices
from leo_telemetry_pipeline.analysis.compare import Comparison
from leo_telemetry_pipeline.dimension import Dimension, DimensionResult
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import dimension_results, folded_names, forecasts, item_episodes, runs
from leo_telemetry_pipeline.store.days import DAY
from leo_telemetry_pipeline.store.forecasts import Expected
from leo_telemetry_pipeline.store.history.histograms import GAMMA
from leo_telemetry_pipeline.store.item_episodes import Episode
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard import distribution_chart, outputs
from leo_telemetry_pipeline.web.dashboard.distribution_chart import Steps
from leo_telemetry_pipeline.web.dashboard.page import Asked, Missing
from leo_telemetry_pipeline.web.dashboard.pages import dimension_charts, dimension_history
from leo_telemetry_pipeline.web.dashboard.pages.dimension_charts import DailyChart
from leo_telemetry_pipeline.web.dashboard.pages.dimension_history import Day, History, LevelChange, Spread

QUERY = {
    "name": "Type and key of the dimension, such as gate:GATE_PRD_REQUIRED",
    "project": "Only spans of this project, by its last analysis",
    "with": "Another dimension to compare with",
    "before": "A day, such as 2026-02-28: compare with the days before it",
}
# Values of an attribute that are shown, and days on each side of a comparison.
VALUES_SHOWN, COMPARED_DAYS = 12, 28
# Days outside of these are taken for the nearest of them, so that there are days around each.
_EARLIEST, _LATEST = date(1972, 1, 1), date(9000, 1, 1)


@dataclass(frozen=True)
class Value:
    """Spans of a dimension with one value of an attribute. ``share``: P50 relative to the longest, 0 to 1."""

    value: str
    result: DimensionResult
    share: float


@dataclass(frozen=True)
class Attribute:
    """Values of an attribute, slowest first; ``more``: number of further ones."""

    name: str
    values: tuple[Value, ...]
    more: int


@dataclass(frozen=True)
class Apart:
    """Property that slow spans have more often; shares are 0 to 1, None if only the text is known."""

    text: str
    slow: float | None = None
    others: float | None = None


@dataclass(frozen=True)
class Compared:
    """The other side of a comparison: another dimension, or an earlier period, whose days are moved to lie over these.

    ``comparison``: this dimension (b) against the other side (a); None if either has no spans in its days.
    """

    name: str
    is_earlier: bool
    days: tuple[Day, ...]
    comparison: Comparison | None


@dataclass(frozen=True)
class Judged:
    """How the last analysis judged it, in words: facts with labels, and conditions with whether they passed."""

    outcome: str
    facts: tuple[tuple[str, str], ...] = ()
    guards: tuple[tuple[bool, str, str], ...] = ()
    explanations: tuple[str, ...] = ()
    ahead: tuple[str, ...] = ()


@dataclass(frozen=True)
class DimensionPage:
    """Everything on the page.

    ``cause``: the dimension that makes it slow, None if it is not slow or its own cause. ``asked_with`` and
    ``asked_before``: what to compare with.
    """

    name: str
    project: str | None
    run_id: str
    result: DimensionResult | None
    judged: Judged
    cause: str | None
    days: tuple[Day, ...]
    changes: tuple[LevelChange, ...]
    expected: tuple[Expected, ...]
    episodes: tuple[Episode, ...]
    spread: Spread | None
    apart: tuple[Apart, ...]
    attributes: tuple[Attribute, ...]
    compared: Compared | None
    asked_with: str
    asked_before: str

    @property
    def is_slow(self) -> bool:
        """Whether the last analysis found it slow."""
        return self.result is not None and self.result.outcome == "bottleneck"

    @property
    def evidence(self) -> Sequence[str]:
        """Ids of the slowest traces, slowest first."""
        return (self.result.evidence_trace_ids if self.result else None) or ()

    @property
    def chart(self) -> DailyChart:
        """Chart of days."""
        other = self.compared.days if self.compared else ()
        return dimension_charts.daily(self.days, self.result, self.changes, self.expected, self.episodes, other)

    @property
    def steps(self) -> Steps:
        """Chart of the distributions."""
        bins = self.spread.bins if self.spread else ()
        return distribution_chart.steps([one.before for one in bins], [one.now for one in bins])

    @property
    def certainty(self) -> float:
        """Probability that the forecast area contains the P50."""
        return forecast.INTERVAL

    @property
    def days_compared(self) -> int:
        """Days on each side of a comparison."""
        return COMPARED_DAYS

    @property
    def command(self) -> str:
        """Command that prints how it was judged."""
        project = f" --project {shlex.quote(self.project)}" if self.project else ""
        return f"leo-telemetry why {shlex.quote(self.name)}{project}"


def read(database: Database, asked: Asked) -> DimensionPage:
    """Read one dimension, in the last analysis of all projects or of one."""
    dimension, project = _parsed(asked.query.get("name", "")), asked.query.get("project") or None
    run = runs.last(database, project)
    if run is None or run.window_end is None:
        raise Missing(f"No analysis{_in(project)} has succeeded yet. Run one now: {_command(project)}")
    result = dimension_results.of_dimension(database, run.run_id, *dimension)
    end = run.window_end.astimezone(UTC).date()
    history = dimension_history.read(database, dimension, end, project)
    if result is None and history.side is None:
        raise Missing(_unknown(database, dimension, project))
    found = judgement_words.bottleneck_of(outputs.of(database, run.run_id), *dimension) or {}
    expected = forecasts.of_dimension(database, run.run_id, *dimension)
    judged = Judged("not measured: it has no spans in the window of the last analysis")
    if result:
        judged = Judged(
            judgement_words.outcome(result),
            tuple(judgement_words.facts(run, result)),
            tuple(judgement_words.guards(result)),
            tuple(explanations(found)),
            tuple(map(judgement_words.ahead, expected)),
        )
    name = ":".join(dimension)
    item_ids = [found["improvement_id"]] if found.get("improvement_id") else []
    return DimensionPage(
        name,
        project,
        run.run_id,
        result,
        judged,
        cause if (cause := found.get("cause")) != name else None,
        history.days,
        history.changes(),
        tuple(expected),
        tuple(item_episodes.of(database, fingerprint(*dimension, project), item_ids)),
        dimension_history.spread(history, result, run.window.start.date(), end),
        apart(found),
        _attributes(database, run.run_id, dimension) if result else (),
        _compared(database, asked, dimension, history, end),
        asked.query.get("with", ""),
        asked.query.get("before", ""),
    )


def apart(found: Mapping[str, Any]) -> tuple[Apart, ...]:
    """Return what slow spans have more often, from a dimension's entry in the findings."""
    texts = [*([found["slow_value"]] if found.get("slow_value") else ()), *(found.get("set_apart_by") or ())]
    return tuple(Apart(*known) if (known := attributes.shares_in(one)) else Apart(one) for one in texts)


def values_of(whole: Dimension, results: Sequence[DimensionResult]) -> tuple[Attribute, ...]:
    """Return the parts of a dimension by attribute, slowest first."""
    by_name = {one.dimension: one for one in results}
    found = slices.slices_of([whole, *by_name]).get(whole, {})
    shown = []
    for name, parts in found.items():
        slowest = sorted((by_name[part] for part in parts), key=lambda one: (-one.p50_ms, one.dimension))
        longest = slowest[0].p50_ms or 1.0
        values = [
            Value(slices.value_of(whole, one.dimension), one, one.p50_ms / longest) for one in slowest[:VALUES_SHOWN]
        ]
        shown.append(Attribute(name, tuple(values), max(0, len(slowest) - VALUES_SHOWN)))
    return tuple(shown)


def _attributes(database: Database, run_id: str, dimension: Dimension) -> tuple[Attribute, ...]:
    of_handoffs = f"{slices.HANDOFF}+{dimension[0]}"
    of_types = [
        name
        for name in dimension_results.types(database, run_id)
        if name.startswith(f"{dimension[0]}+") or name == of_handoffs
    ]
    return values_of(dimension, dimension_results.parts(database, run_id, dimension, of_types)) if of_types else ()


def _compared(database: Database, asked: Asked, dimension: Dimension, history: History, end: date) -> Compared | None:
    name, before = asked.query.get("with", ""), asked.query.get("before", "")
    if not name and not before:
        return None
    until = end if name else _day(before)
    wanted, project = _parsed(name) if name else dimension, asked.query.get("project") or None
    other = dimension_history.read(database, wanted, until, project)
    this = history.part(end - COMPARED_DAYS * DAY, end)
    that = other.part(until - COMPARED_DAYS * DAY, until)
    return Compared(
        name or f"before {until}",
        not name,
        other.moved((end - until).days),
        compare.compare(that, this, GAMMA) if this and that else None,
    )


def _unknown(database: Database, dimension: Dimension, project: str | None) -> str:
    name = ":".join(dimension)
    if into := folded_names.folded(database, dimension):
        return f"{name} is not judged by itself, since names that hold ids are folded: see {':'.join(into)}"
    return (
        f"{name} has no spans{_in(project)} in the last {dimension_history.MOST_DAYS} days before the last analysis."
        f" The page Dimensions lists those that do; {_command(project)} analyzes newer spans"
    )


def _parsed(name: str) -> Dimension:
    try:
        return parse(name)
    except UserError as error:
        raise Missing(error.message) from error


def _day(given: str) -> date:
    try:
        day = datetime.strptime(given, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise Missing(f"{given!r} is not a day: write it as 2026-02-28") from error
    return min(max(day, _EARLIEST), _LATEST)


def _in(project: str | None) -> str:
    return f" of project {project}" if project else ""


def _command(project: str | None) -> str:
    return f"leo-telemetry analyze --project {shlex.quote(project)}" if project else "leo-telemetry analyze"

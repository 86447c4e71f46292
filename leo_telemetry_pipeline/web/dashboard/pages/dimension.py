"""One dimension: its days, how it was judged and why, its distribution, and what sets its slow spans apart.

Belongs here: the model of the page, and reading it. Does not: days (dimension_history), coordinates (dimension_charts).
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from leo_telemetry_pipeline.actions import change_words, judgement_words
from leo_telemetry_pipeline.actions.dimension_names import parse
from leo_telemetry_pipeline.actions.items import explanations, fingerprint, milliseconds
from leo_telemetry_pipeline.analysis import attributes, compare, slices
from leo_telemetry_pipeline.analysis.compare import Comparison
from leo_telemetry_pipeline.dimension import Dimension, DimensionResult
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import dimension_results, folded_names, forecasts, item_episodes, runs
from leo_telemetry_pipeline.store.days import DAY
from leo_telemetry_pipeline.store.forecasts import Expected
from leo_telemetry_pipeline.store.history.histograms import GAMMA
from leo_telemetry_pipeline.store.item_episodes import Episode
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard.page import Asked, Missing
from leo_telemetry_pipeline.web.dashboard.pages import dimension_charts, dimension_history
from leo_telemetry_pipeline.web.dashboard.pages.dimension_charts import DailyChart, DistributionChart
from leo_telemetry_pipeline.web.dashboard.pages.dimension_history import Day, DaysOfDimension

# Values of an attribute that are shown, and days on each side of a comparison.
VALUES_SHOWN, COMPARED_DAYS = 12, 28


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
    """The other side of a comparison: another dimension, or an earlier period. ``comparison``: this against it."""

    name: str
    is_earlier: bool
    days: tuple[Day, ...]
    comparison: Comparison | None


@dataclass(frozen=True)
class DimensionPage:
    """Everything on the page. ``cause``: the dimension that makes it slow, None if it is none or this one."""

    name: str
    project: str | None
    run: Run
    result: DimensionResult | None
    outcome: str
    facts: tuple[tuple[str, str], ...]
    guards: tuple[tuple[bool, str, str], ...]
    explanations: tuple[str, ...]
    ahead: tuple[str, ...]
    expected: tuple[Expected, ...]
    cause: str | None
    episodes: tuple[Episode, ...]
    history: DaysOfDimension
    changes: tuple[str, ...]
    chart: DailyChart
    distribution: DistributionChart | None
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
    def command(self) -> str:
        """Command that prints how it was judged."""
        project = f" --project {shlex.quote(self.project)}" if self.project else ""
        return f"leo-telemetry why {shlex.quote(self.name)}{project}"

    @property
    def days_compared(self) -> int:
        """Days on each side of a comparison."""
        return COMPARED_DAYS

    @property
    def evidence(self) -> Sequence[str]:
        """Ids of the slowest traces, slowest first."""
        return (self.result.evidence_trace_ids if self.result else None) or ()


def read(database: Database, asked: Asked) -> DimensionPage:
    """Read the page of ``name``, in the last analysis of all projects or of ``project``."""
    name, project = _words(asked, "name"), _words(asked, "project") or None
    dimension = _parsed(name)
    run = runs.last_succeeded(database, project)
    if run is None or run.window_end is None:
        raise Missing(f"No analysis{_in(project)} has succeeded yet. Run one now: {_command(project)}")
    result = dimension_results.of_dimension(database, run.run_id, *dimension)
    end = run.window_end.astimezone(UTC).date()
    history = dimension_history.read(database, dimension, end, project)
    if result is None and history.side is None:
        raise Missing(_unknown(database, dimension, project))
    found = judgement_words.bottleneck_of(run, *dimension) or {}
    expected = forecasts.of_dimension(database, run.run_id, *dimension)
    item_ids = [found["improvement_id"]] if found.get("improvement_id") else []
    episodes = item_episodes.of(database, fingerprint(*dimension, project), item_ids)
    compared = _compared(database, asked, dimension, history, end, project)
    base, now = dimension_history.periods(history, result, run.window.start.date())
    return DimensionPage(
        ":".join(dimension),
        project,
        run,
        result,
        judgement_words.outcome(result) if result else "not measured: it has no spans in the window",
        tuple(judgement_words.facts(run, result) if result else ()),
        tuple(judgement_words.guards(result) if result else ()),
        tuple(explanations(found)),
        tuple(map(judgement_words.ahead, expected)),
        tuple(expected),
        cause if (cause := found.get("cause")) != ":".join(dimension) else None,
        tuple(episodes),
        history,
        tuple(change_words.change_in_words(one, milliseconds) for one in history.changes),
        dimension_charts.daily(history, result, expected, episodes, compared.days if compared else ()),
        dimension_charts.distribution(history, base, now, end),
        apart(found),
        _attributes(database, run, dimension, result),
        compared,
        _words(asked, "with"),
        _words(asked, "before"),
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


def _attributes(
    database: Database, run: Run, dimension: Dimension, result: DimensionResult | None
) -> tuple[Attribute, ...]:
    if result is None:
        return ()
    of_types = dimension_results.types(database, run.run_id)
    mine = [name for name in of_types if name.startswith(f"{dimension[0]}+") or name == f"handoff+{dimension[0]}"]
    return values_of(dimension, dimension_results.parts(database, run.run_id, dimension, mine)) if mine else ()


def _compared(
    database: Database, asked: Asked, dimension: Dimension, history: DaysOfDimension, end: date, project: str | None
) -> Compared | None:
    name, before = _words(asked, "with"), _words(asked, "before")
    if not name and not before:
        return None
    until = end if name else _day(before)
    other = dimension_history.read(database, _parsed(name) if name else dimension, until, project)
    this = history.part(end - COMPARED_DAYS * DAY, end)
    that = other.part(until - COMPARED_DAYS * DAY, until)
    return Compared(
        name or f"before {until}",
        not name,
        tuple(dimension_history.shifted(other.days, (end - until).days)),
        compare.compare(that, this, GAMMA) if this and that else None,
    )


def _unknown(database: Database, dimension: Dimension, project: str | None) -> str:
    name = ":".join(dimension)
    if into := folded_names.folded(database, dimension):
        return f"{name} is not judged by itself, since names that hold ids are folded: see {':'.join(into)}"
    days = dimension_history.MOST_DAYS
    return f"{name} has no spans{_in(project)} in the last {days} days that were analyzed: see the list of dimensions"


def _parsed(name: str) -> Dimension:
    try:
        return parse(name)
    except UserError as error:
        raise Missing(error.message) from error


def _day(given: str) -> date:
    try:
        day = datetime.strptime(given, "%Y-%m-%d").replace(tzinfo=UTC).date()
        # Leaves room for the days before and after it.
        return min(max(day, date(1972, 1, 1)), date(9000, 1, 1))
    except ValueError as error:
        raise Missing(f"{given!r} is not a day: write it as 2026-02-28") from error


def _words(asked: Asked, name: str) -> str:
    # PostgreSQL takes no NUL in a text, and no name has one.
    return asked.query.get(name, "").replace("\0", "").strip()


def _in(project: str | None) -> str:
    return f" of project {project}" if project else ""


def _command(project: str | None) -> str:
    return f"leo-telemetry analyze --project {project}" if project else "leo-telemetry analyze"

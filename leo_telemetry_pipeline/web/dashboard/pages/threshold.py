"""Threshold of one dimension: what counts as slow, and which past days other values would have flagged.

Belongs here: the model of the page and its step. Does not: the list (thresholds), the effect itself
(actions.threshold_effects).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from leo_telemetry_pipeline.actions import threshold_decisions, threshold_effects, threshold_words
from leo_telemetry_pipeline.actions.threshold_effects import Limit, Stretch
from leo_telemetry_pipeline.analysis.bottlenecks import DEFAULT_MULTIPLIER
from leo_telemetry_pipeline.dimension import Dimension, Suggestion
from leo_telemetry_pipeline.store import baselines, dimension_results, runs, suggestions, thresholds
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.store.thresholds import Change
from leo_telemetry_pipeline.web.dashboard import charts, listing
from leo_telemetry_pipeline.web.dashboard.charts import Band, Sparkline
from leo_telemetry_pipeline.web.dashboard.page import SIGNATURE, Asked, Missing, Page, Refused, Step, refusals, signed
from leo_telemetry_pipeline.web.dashboard.rendering import link

_VALUES = {"baseline_p50_ms": float, "multiplier": float, "min_samples": int}
# What a form says to resume or to stop judging.
_SWITCHES = {"on": True, "off": False}
_WIDTH, _HEIGHT = 860, 170


@dataclass(frozen=True)
class Effect:
    """What a threshold flags on past days. ``limit_ms``: the P50 of a week over it is slow; None without a baseline."""

    limit: Limit
    limit_ms: float | None
    stretches: tuple[Stretch, ...]
    days: int


@dataclass(frozen=True)
class ThresholdPage:
    """Everything on the page.

    ``source``: where the baseline in force comes from, empty without one. ``tried``: the effect of the values that
    somebody tries, None if they are those in force. ``changes``: the values to set, as a form holds them. ``weeks``:
    last day, spans and P50 in ms of each week of the chart. ``notice``: what became of the last change.
    """

    name: str
    is_active: bool
    source: str
    learned: tuple[float, float] | None
    suggestion: Suggestion | None
    evidence: str
    now: Effect
    tried: Effect | None
    changes: tuple[tuple[str, str], ...]
    problem: str
    notice: str
    last_change: Change | None
    chart: Sparkline
    bands: tuple[Band, ...]
    weeks: tuple[tuple[date, int, float | None], ...]


def read(database: Database, asked: Asked) -> ThresholdPage:
    """Read the page of a dimension. Raises Missing."""
    last = runs.last_succeeded_id(database)
    name = _named(database, asked.query.get("name", ""), last)
    [in_force] = thresholds.effective(database, [name])
    suggestion = suggestions.of_dimensions(database, last, [name]).get(name) if last else None
    limit = Limit(
        in_force.baseline_p50_ms,
        in_force.multiplier or DEFAULT_MULTIPLIER,
        in_force.min_samples or asked.settings.min_samples,
    )
    weeks = threshold_effects.weeks(database, name, datetime.now(UTC))
    tried, problem = limit, ""
    try:
        tried = with_values(limit, values_of(asked.query))
    except Refused as refusal:
        problem = str(refusal)
    now = effect_of(weeks, limit)
    then = None if tried == limit else effect_of(weeks, tried)
    shown = then or now
    margin = 8
    days = [week.last for week in weeks]
    stretches = [(one.first, one.last) for one in shown.stretches]
    return ThresholdPage(
        ":".join(name),
        in_force.is_active,
        in_force.baseline_source or "",
        baselines.of_dimensions(database, None, [name]).get(name),
        suggestion if suggestion and suggestion.multiplier else None,
        threshold_words.evidence(suggestion) if suggestion and suggestion.multiplier else "",
        now,
        then,
        tuple(changes(limit, tried)),
        problem,
        _notice(asked.query.get("set", ""), ":".join(name), is_judged=in_force.is_active),
        thresholds.last_change(database, name),
        charts.sparkline([week.p50_ms for week in weeks], shown.limit_ms, width=_WIDTH, height=_HEIGHT, margin=margin),
        tuple(charts.bands(stretches, days, width=_WIDTH, margin=margin)),
        tuple((week.last, week.spans, week.p50_ms) for week in weeks),
    )


def make(database: Database, asked: Asked) -> str:
    """Set the values of a form, or stop or resume judging. Raises Missing or Refused."""
    name = _named(database, asked.form.get("name", ""), runs.last_succeeded_id(database))
    values = values_of(asked.form)
    by, reason = signed(asked)
    if judge := asked.form.get("judge", ""):
        if judge not in _SWITCHES:
            raise Refused("There is no such step: reload the page of the threshold")
        with refusals():
            threshold_decisions.switch(database, *name, is_active=_SWITCHES[judge], by=by, reason=reason)
        return link("/threshold", name=":".join(name), set=judge)
    if not values:
        raise Refused("Nothing to set: give a baseline, a multiplier or a number of samples")
    with refusals():
        threshold_decisions.put(database, *name, values, by=by, reason=reason)
    return link("/threshold", name=":".join(name), set="yes")


def _notice(change: str, name: str, *, is_judged: bool) -> str:
    """Return what became of a change, by what its redirection says."""
    if change in _SWITCHES:
        return threshold_decisions.switched(name, is_on=_SWITCHES[change], is_judged=is_judged)
    return "Set. The next analysis judges by these values." if change == "yes" else ""


def values_of(given: Mapping[str, str]) -> dict[str, float]:
    """Return the values of a form that are filled in. Raises Refused."""
    values = {}
    for name, parse in _VALUES.items():
        text = given.get(name, "").strip()
        if not text:
            continue
        try:
            values[name] = parse(text)
        except ValueError:
            raise Refused(f"{text!r} is not a number: write one like 1500 or 1.5") from None
    with refusals():
        threshold_decisions.require_possible(values)
    return values


def with_values(limit: Limit, values: dict[str, float]) -> Limit:
    """Return a threshold with other values."""
    return Limit(
        values.get("baseline_p50_ms", limit.baseline_p50_ms),
        values.get("multiplier", limit.multiplier),
        int(values.get("min_samples", limit.min_samples)),
    )


def changes(limit: Limit, tried: Limit) -> list[tuple[str, str]]:
    """Return the values that differ from those in force; the others stay inherited."""
    values = ((name, getattr(limit, name), getattr(tried, name)) for name in _VALUES)
    return [(name, f"{then:.12g}") for name, now, then in values if then not in (None, now)]


def effect_of(weeks: list[threshold_effects.Week], limit: Limit) -> Effect:
    """Return what a threshold flags on past weeks."""
    stretches = tuple(threshold_effects.flagged(weeks, limit))
    days = sum((one.last - one.first).days + 1 for one in stretches)
    limit_ms = None if limit.baseline_p50_ms is None else limit.baseline_p50_ms * limit.multiplier
    return Effect(limit, limit_ms if limit_ms and math.isfinite(limit_ms) else None, stretches, days)


def _named(database: Database, text: str, run_id: str | None) -> Dimension:
    name = listing.dimension(text)
    if name is None:
        raise Missing("This page needs the name of a dimension: the list of thresholds shows all")
    is_known = (
        (run_id and dimension_results.p50s_of(database, run_id, [name]))
        or baselines.of_dimensions(database, None, [name])
        or thresholds.last_change(database, name)
    )
    if not is_known:
        raise Missing(f"No dimension {text} was measured or configured: the list of thresholds shows all")
    return name


_FORM = {
    "name": "Type and key of the dimension, such as gate:GATE_PRD_REQUIRED",
    "baseline_p50_ms": "The normal P50 in ms",
    "multiplier": "A P50 over this many times the baseline is slow",
    "min_samples": "Spans needed in a week",
}
PAGE = Page("/threshold", "threshold.html", read, query=_FORM | {"set": "After a change: yes, on or off"})
STEP = Step("/threshold", make, _FORM | {"judge": "on or off, instead of values: whether it is judged"} | SIGNATURE)

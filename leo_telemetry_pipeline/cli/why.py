"""``leo-telemetry why``: every value behind the last judgement of a dimension, flagged or not.

Belongs here: the text of a judgement, as a pure function of what is stored. Does not: judging (analysis).
"""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import click

from leo_telemetry_pipeline.actions.items import allowed, explanations, milliseconds
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.cli.dimensions import connected, parse, unknown
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import dimension_results, forecasts, runs
from leo_telemetry_pipeline.store.dimension_results import Judgement
from leo_telemetry_pipeline.store.forecasts import Expected
from leo_telemetry_pipeline.store.runs import Run

_OUTCOMES = {
    "ok": "not a bottleneck",
    "bottleneck": "a bottleneck",
    "too_few": "not judged: too few spans in the window",
    "no_baseline": "not judged: not enough data to know what is normal",
    "switched_off": "not judged: switched off in telemetry_thresholds",
    "pooled": "not judged: pools the names over the limit of its type",
}

# How a learned baseline reached its level.
_MOVED = {
    "settling": ", still settling",
    "improved": ", lowered when work got faster",
    "accepted": ", an accepted level",
}


@click.command()
@click.argument("dimension", metavar="DIMENSION")
@click.option("--project", metavar="NAME", help="From the last analysis of this project.")
@click.option("--json", "as_json", is_flag=True, help="Print all values as JSON.")
def why(dimension: str, project: str | None, as_json: bool) -> None:
    """Show every value behind the last judgement of a dimension, such as gate:GATE_PRD_REQUIRED."""
    name = parse(dimension)
    with connected() as connection:
        run = runs.last_succeeded(connection, project)
        if run is None:
            raise UserError("No analysis has succeeded yet: `leo-telemetry analyze` runs one now")
        judgement = dimension_results.judgement(connection, run.run_id, *name)
        if judgement is None:
            raise unknown(connection, run.window, name)
        ahead = forecasts.of_dimension(connection, run.run_id, *name)
    found = bottleneck_of(run, *name)
    if as_json:
        text.as_json(
            {
                "run_id": run.run_id,
                "dimension": dimension,
                **judgement._asdict(),
                "bottleneck": found,
                "forecast": [expected._asdict() for expected in ahead],
            }
        )
    else:
        click.echo(render(run, dimension, judgement, found, ahead))


def bottleneck_of(run: Run, dimension_type: str, key: str) -> dict[str, Any] | None:
    """Return a dimension's entry in the run's findings, None if it is not a bottleneck."""
    for entry in (run.output_ref or {}).get("bottlenecks") or ():
        if (entry["dimension_type"], entry["dimension_key"]) == (dimension_type, key):
            return entry
    return None


def render(
    run: Run,
    dimension: str,
    judgement: Judgement,
    found: dict[str, Any] | None,
    ahead: Sequence[Expected] = (),
) -> str:
    """Format a judgement, without a trailing newline."""
    learned = judgement.learned or {}
    lines = [
        f"{dimension} is {_OUTCOMES[judgement.outcome or 'no_baseline']}",
        (
            f"  window      {run.window_start:%Y-%m-%d} to {run.window_end:%Y-%m-%d %H:%M} UTC,"
            f" {judgement.sample_count} spans ({judgement.min_samples} needed), P50 {milliseconds(judgement.p50_ms)},"
            f" P90 {milliseconds(judgement.p90_ms)}"
        ),
        *_threshold(judgement, learned),
    ]
    if judgement.baseline_source != "configured":
        lines += [f"  {line}" for line in _guards(learned)]
    if found:
        lines += [f"  {sentence}" for sentence in (*explanations(found), *_belongs_to(dimension, found))]
    lines += [f"  {_ahead(expected)}" for expected in ahead]
    return "\n".join(lines)


def _belongs_to(dimension: str, bottleneck: dict[str, Any]) -> Iterator[str]:
    if (cause := bottleneck.get("cause") or dimension) != dimension:
        yield f"Because of {cause}: leo-telemetry why {shlex.quote(cause)}"
    if item := bottleneck.get("improvement_id"):
        yield f"Item {item}; when resolved: leo-telemetry items close {item} --as fixed, or noise, or expected"


def _threshold(judgement: Judgement, learned: dict[str, Any]) -> Iterator[str]:
    if judgement.baseline_p50_ms is None or judgement.multiplier is None:
        yield "  baseline    none yet"
        return
    most = judgement.baseline_p50_ms * judgement.multiplier
    since = ""
    if judgement.baseline_source == "learned" and learned.get("regime_start"):
        how = _MOVED.get(learned.get("moved") or "", "")
        since = f" from {learned.get('regime_days') or 0:.0f} days since {learned['regime_start']}{how}"
    yield f"  baseline    {milliseconds(judgement.baseline_p50_ms)}, {judgement.baseline_source}{since}"
    yield f"  normal      up to {allowed(judgement.multiplier)} of the baseline: {milliseconds(most)}"
    observed = judgement.observed_p50_ms if judgement.observed_p50_ms is not None else judgement.p50_ms
    since = f", since {judgement.onset_day}" if judgement.onset_day else ""
    yield f"  observed    {milliseconds(observed)}{since}: {allowed(observed / judgement.baseline_p50_ms)}"


def _ahead(expected: Expected) -> str:
    when = f"in {expected.horizon_days} days"
    if expected.probability is None or expected.low_ms is None or expected.high_ms is None:
        return f"{when}: not forecast, {expected.reason}"
    between = f"{milliseconds(expected.low_ms)} and {milliseconds(expected.high_ms)}"
    return f"{when}: a bottleneck with a probability of {expected.probability:.0%}, P50 between {between}"


def _guards(learned: dict[str, Any]) -> list[str]:
    rows = [
        ("yes" if guard["passed"] else "no", guard["name"].replace("_", " "), guard["says"])
        for guard in learned.get("guards") or ()
    ]
    return text.table(("PASSED", "GUARD", "EXPLANATION"), rows).splitlines() if rows else []

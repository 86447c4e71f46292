"""``leo-telemetry why``: every value behind the last judgement of a dimension, flagged or not.

Belongs here: the text of a judgement, as a pure function of what is stored. Does not: judging (analysis).
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import click

from leo_telemetry_pipeline.actions import mixed
from leo_telemetry_pipeline.actions.items import allowed, calls_are_slow, explanations, milliseconds
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.cli.dimensions import connected, parse, unknown
from leo_telemetry_pipeline.dimension import DimensionResult, Judgement
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.resolution import is_least
from leo_telemetry_pipeline.store import dimension_results, forecasts, runs
from leo_telemetry_pipeline.store.forecasts import Expected
from leo_telemetry_pipeline.store.runs import Run

_OUTCOMES = {
    "ok": "not a bottleneck",
    "bottleneck": "a bottleneck",
    "mix": "not slower: it consists of other work than before",
    "like_whole": "slower, but no more than the other values: the name as a whole is judged",
    "too_few": "not judged: too few spans in the window",
    "no_baseline": "not judged: not enough data to know what is normal",
    "switched_off": "not judged: switched off in telemetry_thresholds",
    "pooled": "not judged: pools the names over the limit of its type",
    "shared": "not judged: several services, or client and server, share this name, and each is judged by itself",
}

_COLUMNS = (
    "sample_count",
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "observed_p50_ms",
    "baseline_p50_ms",
    "baseline_source",
    "multiplier",
    "min_samples",
    "outcome",
    "onset_day",
    "p_value",
)

# How a learned baseline reached its level.
_MOVED = {
    "settling": ", still settling",
    "improved": ", lowered when work got faster",
    "accepted": ", an accepted level",
    "mixed": ", raised when the mix of work changed",
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
        result = dimension_results.of_dimension(connection, run.run_id, *name)
        if result is None:
            raise unknown(connection, run.window, name)
        ahead = forecasts.of_dimension(connection, run.run_id, *name)
    found = bottleneck_of(run, *name)
    if as_json:
        text.as_json(
            {
                "run_id": run.run_id,
                "dimension": dimension,
                **{column: getattr(result, column) for column in _COLUMNS},
                "learned": result.learned and result.learned.as_json(),
                "bottleneck": found,
                "forecast": [expected._asdict() for expected in ahead],
            }
        )
    else:
        click.echo(render(run, dimension, result, found, ahead))


def bottleneck_of(run: Run, dimension_type: str, key: str) -> dict[str, Any] | None:
    """Return a dimension's entry in the run's findings, None if it is not a bottleneck."""
    for entry in (run.output_ref or {}).get("bottlenecks") or ():
        if (entry["dimension_type"], entry["dimension_key"]) == (dimension_type, key):
            return entry
    return None


def render(
    run: Run,
    dimension: str,
    result: DimensionResult,
    found: dict[str, Any] | None,
    ahead: Sequence[Expected] = (),
) -> str:
    """Format a judgement, without a trailing newline."""
    of_slow = result.slow_calls and asdict(result.slow_calls)
    lines = [
        f"{dimension} is {_OUTCOMES[result.outcome or 'no_baseline']}"
        + (f": {calls_are_slow(of_slow)}" if of_slow else ""),
        (
            f"  window      {run.window_start:%Y-%m-%d} to {run.window_end:%Y-%m-%d %H:%M} UTC,"
            f" {result.sample_count} spans ({result.min_samples} needed), P50 {milliseconds(result.p50_ms)},"
            f" P90 {milliseconds(result.p90_ms)}"
        ),
        *_threshold(result),
        *_mix(result),
    ]
    if result.learned and result.baseline_source != "configured":
        lines += [f"  {line}" for line in _guards(result.learned)]
    if found:
        lines += [f"  {sentence}" for sentence in (*explanations(found), *_belongs_to(dimension, found))]
    lines += [f"  {_ahead(expected)}" for expected in ahead]
    return "\n".join(lines)


def _belongs_to(dimension: str, bottleneck: dict[str, Any]) -> Iterator[str]:
    if (cause := bottleneck.get("cause") or dimension) != dimension:
        yield f"Because of {cause}: leo-telemetry why {shlex.quote(cause)}"
    if item := bottleneck.get("improvement_id"):
        yield f"Item {item}; when fixed: leo-telemetry items fixed {item} (or accept, or dismiss)"


def _threshold(result: DimensionResult) -> Iterator[str]:
    if result.baseline_p50_ms is None or result.multiplier is None:
        yield "  baseline    none yet"
        return
    most = result.baseline_p50_ms * result.multiplier
    since = ""
    learned = result.learned and result.learned.baseline
    if learned and learned.regime_start and result.baseline_source == "learned":
        since = f" from {learned.regime_days:.0f} days since {learned.regime_start}{_MOVED.get(learned.moved, '')}"
    yield f"  baseline    {milliseconds(result.baseline_p50_ms)}, {result.baseline_source}{since}"
    if not result.slow_calls:
        yield f"  normal      up to {allowed(result.multiplier)} of the baseline: {milliseconds(most)}"
    observed = result.observed_p50_ms if result.observed_p50_ms is not None else result.p50_ms
    onset, least = result.onset_day, result.ratio or 0.0
    judged = result.learned if result.baseline_source == "learned" and not result.slow_calls else None
    if judged and judged.observed_p50_ms is not None and judged.ratio is not None:
        # The level that the guards are about, also if it is not a bottleneck; the P50 of the window is shown above.
        observed, onset, least = judged.observed_p50_ms, judged.onset_day, judged.ratio
    since = f", since {onset}" if onset else ""
    times = allowed(least)
    if is_least(least, observed, result.baseline_p50_ms):
        times = f"at least {times} (P50s are in whole milliseconds)"
    label = "slow calls " if result.slow_calls else "observed   "
    yield f"  {label} {milliseconds(observed)}{since}: {times}"


def _mix(result: DimensionResult) -> Iterator[str]:
    if result.learned is None or result.learned.mix is None:
        return
    yield f"  mix         {mixed.line(result.learned.mix)}"
    for share in result.learned.mix.shares:
        p50s = [value for value in (share.p50_before_ms, share.p50_since_ms) if value is not None]
        yield (
            f"              {share.value}: {share.before:.0%} to {share.since:.0%} of the spans,"
            f" P50 {' to '.join(map(milliseconds, p50s))}".replace("%", " %")
        )


def _ahead(expected: Expected) -> str:
    when = f"in {expected.horizon_days} days"
    if expected.probability is None or expected.low_ms is None or expected.high_ms is None:
        return f"{when}: not forecast, {expected.reason}"
    between = f"{milliseconds(expected.low_ms)} and {milliseconds(expected.high_ms)}"
    return f"{when}: a bottleneck with a probability of {expected.probability:.0%}, P50 between {between}"


def _guards(learned: Judgement) -> list[str]:
    tail = learned.tail.guards if learned.tail else ()
    rows = [
        ("yes" if guard.passed else "no", of + guard.name.replace("_", " "), guard.says)
        for of, guards in (("", learned.guards), ("slowest fifth: ", tail))
        for guard in guards
    ]
    return text.table(("PASSED", "GUARD", "EXPLANATION"), rows).splitlines() if rows else []

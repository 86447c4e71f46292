"""``leo-telemetry thresholds tune``: which of the thresholds that people wrote do not fit, and what would.

Belongs here: what the command takes and prints. Does not: what fits (analysis.tuning), what is written
(actions.threshold_tuning).
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from leo_telemetry_pipeline.actions.items import milliseconds
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.cli.dimensions import connected
from leo_telemetry_pipeline.errors import UserError

if TYPE_CHECKING:
    from leo_telemetry_pipeline.dimension import Suggestion

NOTHING = (
    "Nothing to tune: nobody wrote a baseline or a multiplier{of}, so what is normal is learned, and needs no tuning."
)
HEADER = ("DIMENSION", "TODAY", "SUGGESTED", "ALARMS A YEAR", "EVIDENCE")
ALWAYS = 0.5


@click.command()
@click.argument("dimension_type", metavar="[TYPE]", required=False)
@click.argument("key", metavar="[KEY]", required=False)
@click.option("--apply", "is_applied", is_flag=True, help="Write what is suggested; without it nothing is written.")
@click.option(
    "--target-alarms",
    type=click.FloatRange(0.1, 52),
    default=1.0,
    metavar="N",
    help="So many alarms a year and dimension while nothing changes (default 1).",
)
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as JSON.")
def tune(dimension_type: str | None, key: str | None, is_applied: bool, target_alarms: float, as_json: bool) -> None:
    """Suggest baseline and multiplier for thresholds that somebody wrote, from how those dimensions really vary.

    Of up to 180 days the last stable level is the baseline; the multiplier is the lowest that chance comes over no
    more than once a year (--target-alarms). Suggestions are written to the row of the key, and only with --apply.
    """
    if key == "":
        raise UserError("The key is empty: name a dimension, or leave the key out for its whole type")
    with connected() as connection:
        from leo_telemetry_pipeline.actions import threshold_tuning

        found = threshold_tuning.suggest(connection, datetime.now(UTC), dimension_type, key, target_alarms)
        applied = threshold_tuning.apply(connection, found) if is_applied else []
    if as_json:
        text.as_json([asdict(replace(one, is_applied=one in applied)) for one in found])
    elif not found:
        name = ":".join(filter(None, (dimension_type, key)))
        click.echo(NOTHING.format(of=f" that applies to {name}" if name else ""))
    else:
        click.echo(render(found))
        click.echo(_said(found, applied, is_applied))


def render(found: "Sequence[Suggestion]") -> str:
    """Return a table of today's thresholds beside those that fit."""
    return text.table(HEADER, [(f"{one.dimension_type}:{one.dimension_key}", *_cells(one)) for one in found])


def _cells(one: "Suggestion") -> tuple[str | None, ...]:
    today = _limit(one.current_baseline_p50_ms, one.current_multiplier)
    if one.source != "key":
        today += f" ({one.source})"
    if one.multiplier is None:
        return today, None, None, one.reason
    fits = _limit(one.baseline_p50_ms, one.multiplier)
    return today, fits, f"{_now(one)} -> {_often(one.alarms_a_year_then)}", evidence(one)


def evidence(one: "Suggestion") -> str:
    """Say in words what a suggestion rests on."""
    known = one.evidence
    level = f"{milliseconds(known['level_p50_ms'])} +- {known['noise_a_day']:.0%} a day"
    words = [f"{known['days']} days, {known['spans']} spans since {known['first_day']} around {level}"]
    if one.is_slower:
        words.append(f"that level began with a step of {known['change'] - 1:+.0%}")
    if known["days_since"]:
        words.append(f"it ended on {known['last_day']}")
    words.append(
        f"in {known['weeks_replayed']} days {known['alarms_replayed_now']} -> {known['alarms_replayed_then']} alarm(s)"
    )
    return "; ".join(words)


def _now(one: "Suggestion") -> str:
    if (one.share_over_now or 0.0) >= ALWAYS:
        return "always on"
    return _often(one.alarms_a_year_now)


def _often(alarms_a_year: float | None) -> str:
    if alarms_a_year is None:
        return "-"
    return "under 0.1" if alarms_a_year < 0.1 else f"{alarms_a_year:.1f}"


def _limit(baseline_p50_ms: float | None, multiplier: float) -> str:
    return f"{'learned' if baseline_p50_ms is None else milliseconds(baseline_p50_ms)} x {multiplier:.2f}"


def _said(found: "Sequence[Suggestion]", applied: "Sequence[Suggestion]", is_applied: bool) -> str:
    if not any(one.multiplier for one in found):
        return "Nothing is suggested yet."
    if not is_applied:
        return "Nothing was written: --apply writes what is suggested."
    if not applied:
        return "Nothing was written: all of it fits already."
    lines = []
    for one in applied:
        baseline = "" if one.baseline_p50_ms is None else f"baseline_p50_ms {one.baseline_p50_ms:g}, "
        new = "" if one.source == "key" else f" (a row of its own; that of the {one.source} stays as it is)"
        lines.append(f"{one.dimension_type}:{one.dimension_key}: {baseline}multiplier {one.multiplier:g}.{new}")
    return "\n".join(lines)

"""``leo-telemetry thresholds tune``: suggest better values for configured thresholds.

Belongs here: options and output. Does not: suggesting (analysis.tuning), applying (actions.threshold_tuning).
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from leo_telemetry_pipeline.actions import threshold_words
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.cli.dimensions import connected
from leo_telemetry_pipeline.errors import UserError

if TYPE_CHECKING:
    from leo_telemetry_pipeline.dimension import Suggestion

NOTHING = "Nothing to tune: no baseline or multiplier {scope}; learned baselines need no tuning."
HEADER = ("DIMENSION", "TODAY", "SUGGESTED", "ALARMS PER YEAR", "EVIDENCE")


@click.command()
@click.argument("dimension_type", metavar="[TYPE]", required=False)
@click.argument("key", metavar="[KEY]", required=False)
@click.option("--apply", "is_applied", is_flag=True, help="Write the suggestions; without it nothing is written.")
@click.option(
    "--target-alarms",
    type=click.FloatRange(0.1, 52),
    default=1.0,
    metavar="N",
    help="False alarms accepted per year and dimension (default 1).",
)
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as JSON.")
def tune(dimension_type: str | None, key: str | None, is_applied: bool, target_alarms: float, as_json: bool) -> None:
    """Suggest baselines and multipliers for configured thresholds, from how their dimensions actually vary.

    The baseline is the last stable level within 180 days; the multiplier is the lowest that chance alone exceeds at
    most once per year (--target-alarms). Suggestions are written to the key's own row, and only with --apply.
    """
    if key == "":
        raise UserError("The key is empty: name a dimension, or omit the key to mean its whole type")
    with connected() as connection:
        from leo_telemetry_pipeline.actions import threshold_tuning

        found = threshold_tuning.suggest(connection, datetime.now(UTC), dimension_type, key, target_alarms)
        applied = threshold_tuning.apply(connection, found) if is_applied else []
    if as_json:
        text.as_json([asdict(replace(one, is_applied=one in applied)) for one in found])
    elif not found:
        name = ":".join(filter(None, (dimension_type, key)))
        click.echo(NOTHING.format(scope=f"applies to {name}" if name else "is configured"))
    else:
        click.echo(render(found))
        click.echo(_outcome(found, applied, is_applied))


def render(suggestions: "Sequence[Suggestion]") -> str:
    """Format a table of today's and the suggested thresholds."""
    return text.table(
        HEADER,
        [(f"{row.dimension_type}:{row.dimension_key}", *_cells(row)) for row in suggestions],
    )


def _cells(suggestion: "Suggestion") -> tuple[str | None, ...]:
    today = threshold_words.limit(suggestion.current_baseline_p50_ms, suggestion.current_multiplier)
    if suggestion.source != "key":
        today += f" ({suggestion.source})"
    if suggestion.multiplier is None:
        return today, None, None, suggestion.reason
    fits = threshold_words.limit(suggestion.baseline_p50_ms, suggestion.multiplier)
    return (
        today,
        fits,
        f"{threshold_words.now(suggestion)} -> {threshold_words.often(suggestion.alarms_a_year_then)}",
        threshold_words.evidence(suggestion),
    )


def _outcome(suggestions: "Sequence[Suggestion]", applied: "Sequence[Suggestion]", is_applied: bool) -> str:
    if not any(row.multiplier for row in suggestions):
        return "There is no suggestion yet."
    if not is_applied:
        return "Nothing was written: --apply writes the suggestions."
    if not applied:
        return "Nothing was written: all thresholds already fit."
    lines = []
    for row in applied:
        baseline = "" if row.baseline_p50_ms is None else f"baseline_p50_ms {row.baseline_p50_ms:g}, "
        new = "" if row.source == "key" else f" (a new row; that of the {row.source} stays as it is)"
        lines.append(f"{row.dimension_type}:{row.dimension_key}: {baseline}multiplier {row.multiplier:g}.{new}")
    return "\n".join(lines)

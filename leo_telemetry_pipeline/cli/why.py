"""``leo-telemetry why``: every value behind the last judgement of a dimension, flagged or not.

Belongs here: options and layout. Does not: the wording of a judgement (actions.judgement_words), judging (analysis).
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from leo_telemetry_pipeline.actions import judgement_words
from leo_telemetry_pipeline.actions.dimension_names import parse
from leo_telemetry_pipeline.actions.items import explanations
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.cli.dimensions import connected, unknown
from leo_telemetry_pipeline.dimension import DimensionResult
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import dimension_results, forecasts, runs
from leo_telemetry_pipeline.store.forecasts import Expected
from leo_telemetry_pipeline.store.runs import Run

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
    found = judgement_words.bottleneck_of(run.output_ref or {}, *name)
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


def render(
    run: Run,
    dimension: str,
    result: DimensionResult,
    found: Mapping[str, Any] | None,
    ahead: Sequence[Expected] = (),
) -> str:
    """Format a judgement, without a trailing newline."""
    guards = [("yes" if passed else "no", *words) for passed, *words in judgement_words.guards(result)]
    sentences = (*explanations(found), *_belongs_to(dimension, found)) if found else ()
    lines = [
        *(f"{label:<11} {value}" for label, value in judgement_words.facts(run, result)),
        *(text.table(("PASSED", "GUARD", "EXPLANATION"), guards).splitlines() if guards else ()),
        *sentences,
        *map(judgement_words.ahead, ahead),
    ]
    return "\n".join([f"{dimension} is {judgement_words.outcome(result)}", *(f"  {line}" for line in lines)])


def _belongs_to(dimension: str, bottleneck: Mapping[str, Any]) -> Iterator[str]:
    if (cause := bottleneck.get("cause") or dimension) != dimension:
        yield f"Because of {cause}: leo-telemetry why {shlex.quote(cause)}"
    if item := bottleneck.get("improvement_id"):
        yield f"Item {item}; when fixed: leo-telemetry items fixed {item} (or accept, or dismiss)"

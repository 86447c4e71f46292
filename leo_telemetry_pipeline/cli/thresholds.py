"""``leo-telemetry thresholds``: show and change what counts as slow.

Belongs here: these commands' options and output. Does not: resolving thresholds (a database function).
"""

import click

from leo_telemetry_pipeline.actions import threshold_decisions as decisions
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.cli.dimensions import connected
from leo_telemetry_pipeline.cli.tune import tune
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import baselines
from leo_telemetry_pipeline.store import thresholds as store


@click.group()
def thresholds() -> None:
    """Show and change what counts as slow.

    A dimension is slow when its P50 exceeds baseline times multiplier. A value that is not set for a key is taken
    from its type, then from the type `global`, then from what the system has learned.
    """


thresholds.add_command(tune)


@thresholds.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def list_(as_json: bool) -> None:
    """List all configured thresholds."""
    with connected() as connection:
        configured = store.configured(connection)
    header = ("TYPE", "KEY", "BASELINE P50 MS", "MULTIPLIER", "MIN SAMPLES", "ACTIVE", "UPDATED AT (UTC)")
    if as_json:
        names = ("dimension_type", "dimension_key", *store.VALUES, "is_active", "updated_at")
        text.as_json([dict(zip(names, row, strict=True)) for row in configured])
    elif not configured:
        click.echo(
            "Nothing is configured: each dimension's baseline is learned from its own history.\n"
            "Set one with: leo-telemetry thresholds set gate GATE_PRD_REQUIRED --baseline-p50-ms 5000 --multiplier 3"
        )
    else:
        rows = [
            (*(decisions.shown(value) for value in row[:5]), "yes" if row[5] else "no", text.moment(row[6]))
            for row in configured
        ]
        click.echo(text.table(header, rows))


@thresholds.command("set")
@click.argument("dimension_type", metavar="TYPE")
@click.argument("key", metavar="[KEY]", required=False)
@click.option("--baseline-p50-ms", type=float, metavar="N", help="The normal P50, in ms.")
@click.option("--multiplier", type=float, metavar="X", help="A P50 over this many times the baseline is slow.")
@click.option("--min-samples", type=int, metavar="N", help="A dimension with fewer spans is not judged.")
def set_(
    dimension_type: str,
    key: str | None,
    baseline_p50_ms: float | None,
    multiplier: float | None,
    min_samples: int | None,
) -> None:
    """Set values for a dimension, or without KEY for its whole type (`global`: for all)."""
    values = {"baseline_p50_ms": baseline_p50_ms, "multiplier": multiplier, "min_samples": min_samples}
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        raise UserError("Nothing to set: give --baseline-p50-ms, --multiplier or --min-samples")
    # Before the database is opened, so that a wrong option is reported at once.
    decisions.require_possible(given, {name: f"--{name.replace('_', '-')}" for name in given})
    decisions.require_dimension(dimension_type, key)
    with connected() as connection:
        result, warning = decisions.put(connection, dimension_type, key, given)
    click.echo(result)
    if warning:
        click.echo(warning, err=True)


@thresholds.command()
@click.argument("dimension_type", metavar="TYPE")
@click.argument("key", metavar="[KEY]", required=False)
def disable(dimension_type: str, key: str | None) -> None:
    """Stop judging a dimension, or without KEY a whole type."""
    _switch(dimension_type, key, False)


@thresholds.command()
@click.argument("dimension_type", metavar="TYPE")
@click.argument("key", metavar="[KEY]", required=False)
def enable(dimension_type: str, key: str | None) -> None:
    """Resume judging a dimension, or without KEY a whole type."""
    _switch(dimension_type, key, True)


@thresholds.command()
@click.argument("dimension_type", metavar="TYPE")
@click.argument("key", metavar="KEY")
@click.option("--project", metavar="NAME", help="The baseline that analyses of this project learned.")
def accept(dimension_type: str, key: str, project: str | None) -> None:
    """Accept the current level of a dimension as its baseline.

    A learned baseline rises only after this, or after an item of the dimension is accepted, no matter how long the
    dimension stays slow.
    """
    decisions.require_dimension(dimension_type, key)
    with connected() as connection:
        if not baselines.accept(connection, project, dimension_type, key):
            raise UserError(
                f"No baseline was learned for {decisions.name_of(dimension_type, key)} yet: "
                "`leo-telemetry findings --verbose` lists names, `leo-telemetry why` explains one"
            )
    click.echo(f"{decisions.name_of(dimension_type, key)}: the next analysis takes its current level as the baseline.")


def _switch(dimension_type: str, key: str | None, is_active: bool) -> None:
    decisions.require_dimension(dimension_type, key)
    with connected() as connection:
        result = decisions.switch(connection, dimension_type, key, is_active=is_active)
    click.echo(result)

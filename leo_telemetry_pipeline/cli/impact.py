"""``leo-telemetry impact``: show what became of items, and how much time their resolution gives back.

Belongs here: options and output. Does not: the figures (actions.impact).
"""

from dataclasses import asdict
from typing import Any

import click

from leo_telemetry_pipeline.actions import impact as figures
from leo_telemetry_pipeline.actions.impact import Impact
from leo_telemetry_pipeline.actions.items import duration, milliseconds
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.cli.dimensions import connected
from leo_telemetry_pipeline.store import items as store
from leo_telemetry_pipeline.store.days import midnight

NOTHING = "No improvement items{of} yet: an analysis that finds a bottleneck opens one."
MOST_LISTED = 10


@click.command()
@click.option("--since", metavar="DATE", help="Only what happened from this day on, in window time (default: all).")
@click.option("--project", metavar="NAME", help="Only items of this project's own analyses.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to print the figures.")
def impact(since: str | None, project: str | None, form: str) -> None:
    """Show what became of items, and how much time their resolution gives back."""
    start = midnight(text.day(since, "--since")) if since else None
    with connected() as connection:
        events = store.events_of_scope(connection, project)
        measured = figures.measure(store.of_scope(connection, project), events, start)
    if form == "json":
        text.as_json(_as_json(measured))
    else:
        nothing = NOTHING.format(of=f" of project {text.in_a_line(project)}" if project else "")
        click.echo(render(measured) if events else nothing)


def render(measured: Impact) -> str:
    """Format the figures, and a table of what was resolved."""
    facts = "\n".join(f"  {label:<25} {value}" for label, value in _facts(measured))
    period = f"since {measured.since:%Y-%m-%d}" if measured.since else "so far"
    return "\n".join([f"Improvement items {period}", facts, *_resolutions(measured)])


def _facts(measured: Impact) -> list[tuple[str, object]]:
    days = measured.median_time_to_resolve
    lasted = f", after {text.lasted(days.total_seconds())} (median)" if days is not None else ""
    useless = measured.fixes_without_effect
    return [
        ("opened", measured.opened),
        ("resolved", f"{measured.resolved}{lasted}"),
        ("reopened", measured.reopened),
        *([("fixes that did not help", useless)] if useless else []),
        ("accepted as normal", measured.accepted),
        ("dismissed", measured.dismissed),
        ("stale", measured.stale),
        ("active now", measured.active_now),
        ("false alarms", _false_alarms(measured)),
        ("time given back per week", _given_back(measured)),
    ]


def _false_alarms(measured: Impact) -> str:
    share = measured.false_alarm_share
    of = f" ({share:.0%} of those resolved, accepted or a false alarm)" if share is not None else ""
    return f"{measured.false_alarms}{of}"


def _given_back(measured: Impact) -> str:
    if not measured.resolutions:
        return "nothing yet"
    unknown = f", without {measured.unmeasured} whose effect is unknown" if measured.unmeasured else ""
    return f"{duration(measured.given_back_ms_per_week)}{unknown}"


def _resolutions(measured: Impact) -> list[str]:
    if not measured.resolutions:
        return []
    rows = [
        (
            f"{one.resolved_at:%Y-%m-%d}",
            text.lasted(one.took.total_seconds()),
            *(None if p50 is None else milliseconds(p50) for p50 in (one.slow_ms, one.after_ms)),
            None if one.given_back_ms_per_week is None else duration(one.given_back_ms_per_week),
            one.name,
        )
        for one in measured.resolutions[:MOST_LISTED]
    ]
    more = len(measured.resolutions) - len(rows)
    header = ("RESOLVED", "AFTER", "P50 BEFORE", "P50 NOW", "BACK PER WEEK", "ITEM")
    return ["", text.table(header, rows), *([f"... and {more} more (--format json)"] if more else [])]


def _as_json(measured: Impact) -> dict[str, Any]:
    median = measured.median_time_to_resolve
    resolutions = [
        {name: value for name, value in asdict(one).items() if name != "took"} | {"took_s": one.took.total_seconds()}
        for one in measured.resolutions
    ]
    plain = {name: value for name, value in asdict(measured).items() if name != "median_time_to_resolve"}
    return plain | {
        "median_time_to_resolve_s": median.total_seconds() if median is not None else None,
        "resolutions": resolutions,
    }

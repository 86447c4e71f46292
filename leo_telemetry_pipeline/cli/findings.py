"""``leo-telemetry findings``: print the findings of the last analysis as a block of text.

Belongs here: the block for every state of the system, as a pure function of rows. Does not: the analysis. Imports no
Dagster, pandas or SQLAlchemy, so that it responds immediately.
"""

import shlex
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from leo_telemetry_pipeline.actions import mixed
from leo_telemetry_pipeline.actions.analysis_requests import NO_WORKER, SLOW_START
from leo_telemetry_pipeline.actions.items import allowed, calls_are_slow, explanations, milliseconds, ratio_of
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.dimension import OTHER_KEYS
from leo_telemetry_pipeline.mix import Mix
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import runs, spans
from leo_telemetry_pipeline.store.dimensions import MOST_KEYS, MOST_SLICES
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline.store.server import database

SHOWN = 5
LINE = "═" * 59
HEADER = f"{LINE}\n WORKFLOW TELEMETRY\n{LINE}"
SILENCE = timedelta(hours=48)


@dataclass(frozen=True)
class FindingsInputs:
    """Inputs of the block. ``last``: the last SUCCEEDED run; ``newest``: the last requested run."""

    now: datetime
    last: Run | None
    newest: Run | None
    waiting: tuple[Run, ...]
    last_span: datetime | None


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the last analysis as JSON.")
@click.option("--verbose", is_flag=True, help="Every bottleneck, with its evidence.")
def findings(as_json: bool, verbose: bool) -> None:
    """Show what the last analysis found."""
    with database.ready(Settings()) as target, closing(database.Database(target)) as connection:
        runs.reap(connection)
        state = read(connection)
    if as_json:
        text.as_json(to_json(state))
    else:
        click.echo(render(state, verbose=verbose))


def read(connection: database.Database) -> FindingsInputs:
    """Read the inputs of the block."""
    newest = [run for run in runs.latest(connection, 100) if run.scope_type == "ALL"]
    return FindingsInputs(
        datetime.now(UTC),
        runs.last_succeeded(connection),
        newest[0] if newest else None,
        tuple(run for run in runs.waiting(connection) if run.scope_type == "ALL"),
        spans.newest(connection),
    )


def render(state: FindingsInputs, *, verbose: bool = False) -> str:
    """Format the block, without a trailing newline."""
    lines = [HEADER, *_pending(state)]
    if state.last is None or state.last.output_ref is None:
        return "\n".join([*lines, "  No workflow telemetry analysis available yet"])
    finished = state.last.finished_at or state.last.triggered_at
    output = state.last.output_ref
    return "\n".join(
        [
            *lines,
            f"  Last analysis: {finished.astimezone(UTC):%Y-%m-%d} ({text.age(finished, state.now)})",
            *_result(output, verbose),
            "",
            f"  ({_scanned(output)}, {state.last.duration_ms or 0}ms)",
        ]
    )


def render_dry(output: dict[str, Any], end: datetime, *, verbose: bool) -> str:
    """Format the block of a dry run."""
    what = f"  Dry run up to {end:%Y-%m-%d %H:%M} UTC: nothing was written"
    return "\n".join([HEADER, what, *_result(output, verbose), "", f"  ({_scanned(output)})"])


def _scanned(output: dict[str, Any]) -> str:
    return f"{output.get('traces_scanned', 0)} traces, {output.get('dimensions_evaluated', 0)} dimensions"


def to_json(state: FindingsInputs) -> dict[str, Any]:
    """Return the content of the block as JSON data."""
    last = state.last
    return {
        "last_analysis": None
        if last is None
        else {
            "run_id": last.run_id,
            "finished_at": last.finished_at,
            "window_start": last.window_start,
            "window_end": last.window_end,
            "reason_code": last.reason_code,
            "duration_ms": last.duration_ms,
            **(last.output_ref or {}),
        },
        "waiting": [
            {"run_id": run.run_id, "status": run.status, "triggered_at": run.triggered_at} for run in state.waiting
        ],
    }


def _pending(state: FindingsInputs) -> list[str]:
    lines = []
    for run in state.waiting:
        if run.status == "RUNNING":
            lines.append(f"  Analysis running ({text.lasted(_since(state, run.started_at))})")
        else:
            waited = _since(state, run.triggered_at)
            lines.append(f"  Analysis queued ({text.lasted(waited)} ago)")
            if waited > SLOW_START.total_seconds():
                lines.append(f"  {NO_WORKER}")
    failed = state.newest
    if failed is not None and failed.status in ("FAILED", "TIMED_OUT"):
        why = (failed.error_detail or failed.reason_code or "no reason given").splitlines()[0][:100]
        lines.append(
            f"  Last attempt {failed.status} ({text.age(failed.finished_at or failed.triggered_at, state.now)}): {why}"
        )
    if state.last_span is not None and state.now - state.last_span > SILENCE:
        lines.append(f"  No spans for {text.lasted(_since(state, state.last_span))}: is collection still on?")
    return lines


def _since(state: FindingsInputs, then: datetime | None) -> float:
    return (state.now - (then or state.now)).total_seconds()


def _result(output: dict[str, Any], verbose: bool) -> list[str]:
    bottlenecks: Sequence[dict[str, Any]] = output.get("bottlenecks") or []
    switched_off = (output.get("dimensions_not_judged") or {}).get("switched_off")
    if not output.get("dimensions_evaluated") and not switched_off:
        return [*_too_little(output), *_notes(output)]
    if not bottlenecks:
        return ["  No bottlenecks detected", *_notes(output)]
    lines = [f"  {len(bottlenecks)} bottleneck(s) detected"]
    for bottleneck in _by_time_lost(bottlenecks) if verbose else bottlenecks[:SHOWN]:
        of_slow = bottleneck.get("slow_calls")
        lines.append(
            f"  {ratio_of(bottleneck)} {bottleneck['dimension_type']}:{bottleneck['dimension_key']}"
            + (f": {calls_are_slow(of_slow)}{_set_apart(bottleneck)}" if of_slow else "")
            + f" ({'their ' if of_slow else ''}p50={milliseconds(bottleneck['observed_p50_ms'])}"
            f" vs baseline={milliseconds(bottleneck['baseline_p50_ms'])})"
        )
        if verbose:
            lines += _details(bottleneck, bottlenecks)
    if verbose and any(bottleneck.get("evidence_trace_ids") for bottleneck in bottlenecks):
        lines.append("  One trace: leo-telemetry trace ID")
    if len(bottlenecks) > SHOWN and not verbose:
        lines.append(f"  ... and {len(bottlenecks) - SHOWN} more (leo-telemetry findings --verbose)")
    return lines + _notes(output)


def _set_apart(bottleneck: dict[str, Any]) -> str:
    values = [each.partition(": ")[0] for each in bottleneck.get("set_apart_by") or ()]
    return f", set apart by {values[0]}" if values else ""


def _by_time_lost(bottlenecks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(bottlenecks, key=lambda bottleneck: -(bottleneck.get("lost_ms_a_week") or 0.0))


def _details(bottleneck: dict[str, Any], others: Sequence[dict[str, Any]]) -> list[str]:
    name = f"{bottleneck['dimension_type']}:{bottleneck['dimension_key']}"
    lost = bottleneck.get("lost_ms_a_week") or 0.0
    members = [other for other in others if other is not bottleneck and other.get("cause") == name]
    lines = [f"{text.lasted(lost / 1000)} lost per week", *explanations({**bottleneck, "members": members})]
    normal = f"Up to {allowed(bottleneck['multiplier'])} of its {bottleneck['baseline_source']} baseline is normal; "
    lines.append(f"{'' if bottleneck.get('slow_calls') else normal}{bottleneck['sample_count']} spans")
    lines.append(f"Slowest traces: {', '.join(bottleneck.get('evidence_trace_ids') or ['none'])}")
    lines.append(f"Next: {_next(name, bottleneck)}")
    return [f"       {line}" for line in lines]


def _next(name: str, bottleneck: dict[str, Any]) -> str:
    item, cause = bottleneck.get("improvement_id"), bottleneck.get("cause") or name
    if cause != name:
        return f"nothing here: it is slow because of {cause}" + (f", which has item {item}" if item else "")
    look = f"leo-telemetry why {shlex.quote(name)}"
    if not item:
        return f"{look} (it has no item)"
    return f"{look}; then leo-telemetry items fixed {item} (or accept, or dismiss)"


def _notes(output: dict[str, Any]) -> list[str]:
    pooled = [
        f"  {dimension_type} has over {MOST_KEYS:,} names: {spans} spans of the rarest are pooled as"
        f" {OTHER_KEYS} (do its names contain ids?)"
        for dimension_type, spans in sorted((output.get("pooled") or {}).items())
    ]
    errors = [f"  Not measured: {error['dimension_type']}: {error['error']}" for error in output.get("errors") or []]
    folded = _names("Names that hold ids are judged together", output.get("folded"))
    shared = _names("Judged per service or kind, since several share the name", output.get("shared"))
    return _mixes(output.get("mixes") or []) + pooled + folded + shared + _left_out(output) + errors


def _mixes(mixes: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        f"  Not slower: {one['dimension_type']}:{one['dimension_key']} takes {ratio_of(one)} as long, but"
        f" {mixed.line(Mix.from_json(one['mix']))}"
        for one in mixes[:SHOWN]
    ]
    more = len(mixes) - SHOWN
    return lines + ([f"  ... and {more} more changed mixes (leo-telemetry findings --json)"] if more > 0 else [])


def _left_out(output: dict[str, Any]) -> list[str]:
    number = output.get("slices_left_out")
    if not number:
        return []
    return [
        f"  Not judged per value: {number} attributes of names with few spans, beyond {MOST_SLICES:,} values in all"
    ]


def _names(what: str, names: Sequence[str] | None) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - SHOWN} more (leo-telemetry findings --json)" if len(names) > SHOWN else ""
    return [f"  {what}: {', '.join(names[:SHOWN])}{more}"]


def _too_little(output: dict[str, Any]) -> list[str]:
    largest, need = output.get("largest_sample", 0), output.get("needed_sample", 0)
    if largest < need:
        return [f"  Not enough data yet: {largest} of {need} spans"]
    return [
        f"  Not enough data yet: {output.get('lacking') or 'no baseline has been learned'}",
        "  (a baseline is learned from some weeks of days with spans; or set a threshold)",
    ]

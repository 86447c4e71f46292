"""``leo-telemetry trace``: one trace as a tree with bars, or as a file for another viewer.

Belongs here: the command's options and text. Does not: finding and reading a trace (actions.traces), which lines are
shown (analysis.trace_tree), formats of files (actions.perfetto, sources.otlp.otlp_writer).
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from leo_telemetry_pipeline.actions.items import milliseconds
from leo_telemetry_pipeline.actions.traces import Trace, Typical, find, read, typical
from leo_telemetry_pipeline.analysis.critical_path import WAIT
from leo_telemetry_pipeline.analysis.trace_tree import Line, StepTimes, TraceTree, lines_of, spent
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.cli.dimensions import connected
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import traces

# Lines of the tree, and letters of a bar.
SHOWN, BAR = 100, 40
_ON_PATH, _BESIDE, _WAITING = "=", "-", "."
_FORMATS = ("text", "perfetto", "otlp")
_NOT_WRITTEN = 1


@click.command()
@click.argument("trace_id", metavar="ID")
@click.option(
    "--format", "as_format", type=click.Choice(_FORMATS), default="text", help="Text, or a file to open elsewhere."
)
@click.option("--output", metavar="FILE", help="Write to this file instead of standard output.")
@click.option("--under", metavar="SPAN", help="Show only this span and those below it (text).")
def trace(trace_id: str, as_format: str, output: str | None, under: str | None) -> None:
    """Show one trace: what happened when, what decided its duration, and how a typical one differs.

    ID may be the first digits of an id, if no other trace begins with them. perfetto is a file for the viewer at
    ui.perfetto.dev, which keeps it in the browser, or for chrome://tracing. otlp is one OTLP/JSON request per line, for
    any OpenTelemetry tool; `leo-telemetry import` reads it back to the same spans.
    """
    with connected() as connection:
        found = find(connection, trace_id)
        if as_format == "otlp":
            _write(output, _otlp(traces.all_spans(connection, found)))
            return
        shown = read(connection, found)
        if as_format == "perfetto":
            _write(output, _perfetto(shown, traces.all_spans(connection, found)))
            return
        root = shown.tree.span(shown.tree.root)
        [first, *_] = [*traces.some_spans(connection, found, {root.span_id: root.start_time_ms}), None]
        page = render(shown, first, typical(connection, shown), _row(shown.tree, under))
        _write(output, iter([page]))


def render(trace: Trace, root: Span | None, normal: Typical | None, under: int | None = None) -> str:
    """Format a trace, without a trailing newline; ``root`` is its longest root as stored."""
    tree = trace.tree
    lines = lines_of(tree, SHOWN, under=under)
    return "\n".join([*_head(trace, root), "", *_table(tree, lines), *_rest(trace, lines), *_compared(trace, normal)])


def _head(trace: Trace, root: Span | None) -> Iterator[str]:
    tree = trace.tree
    yield text.in_a_line(f"{trace.name} took {milliseconds(trace.ms)}{' so far' if trace.is_running else ''}")
    yield f"  trace       {trace.trace_id}"
    if root:
        of = [f"SD {root.sd_id}" if root.sd_id else "", f"project {root.project}" if root.project else ""]
        if named := ", ".join(filter(None, of)):
            yield text.in_a_line(f"  of          {named}")
    yield f"  began       {_moment(tree.forest.start[tree.root])} UTC"
    more = ", the longest ones of a larger trace" if trace.is_part else ""
    yield f"  spans       {len(tree.forest.start):,}{more}"
    times = spent(tree)
    parts = {"working": times.working, "waiting for a person": times.waiting, "in queues": times.queued}
    listed = [f"{milliseconds(ms)} {name}" for name, ms in parts.items() if ms >= 1 or name == "working"]
    yield f"  time        {', '.join(listed)}"


def _table(tree: TraceTree, lines: list[Line]) -> Iterator[str]:
    begin, end = min(line.start for line in lines), max(line.end for line in lines)
    rows = [
        (
            f"|{_bar(tree, line, begin, end)}|",
            _took(tree, line),
            milliseconds(line.path_ms) if line.is_on_path else None,
            "  " * line.depth + text.cut(_name(tree, line)),
        )
        for line in lines
    ]
    legend = f"{_ON_PATH} critical path, {_BESIDE} beside it, {_WAITING} waiting"
    yield from text.table((legend, "TOOK", "ADDS", "STEP"), rows).splitlines()


def _bar(tree: TraceTree, line: Line, begin: float, end: float) -> str:
    """Return a bar of BAR letters: at its offset, with the queue wait before it."""
    per_letter = BAR / max(end - begin, 1e-9)
    left = min(int((line.start - begin) * per_letter), BAR - 1)
    right = max(left + 1, round((line.end - begin) * per_letter))
    letter = _ON_PATH if line.is_on_path else _BESIDE
    if tree.forest.types[line.row] == WAIT:
        letter = _WAITING
    queue = 0 if line.count > 1 else min(left, round(tree.forest.queue[line.row] * per_letter))
    return (" " * (left - queue) + _WAITING * queue + letter * (right - left)).ljust(BAR)[:BAR]


def _took(tree: TraceTree, line: Line) -> str:
    if line.row in tree.unended:
        return "no end"
    return milliseconds(line.sum_ms)


def _name(tree: TraceTree, line: Line) -> str:
    if line.is_rest:
        return f"... {line.count:,} shorter"
    name = tree.forest.keys[line.row]
    if line.count == 1:
        return name
    return f"{line.count:,} x {name}, longest {milliseconds(tree.length(line.row))}"


def _rest(trace: Trace, lines: list[Line]) -> Iterator[str]:
    hidden = [line for line in lines if line.is_rest or line.count > 1]
    if hidden:
        parent = max(hidden, key=lambda line: line.sum_ms).parent
        if parent >= 0:
            yield f"One subtree: leo-telemetry trace {trace.trace_id} --under {trace.tree.span(parent).span_id}"
        yield f"All spans:   leo-telemetry trace {trace.trace_id} --format perfetto --output trace.json"


def _compared(trace: Trace, normal: Typical | None) -> Iterator[str]:
    if normal is None:
        return
    yield ""
    yield text.in_a_line(
        f"{trace.name} normally takes {milliseconds(normal.normal_ms)}, such as trace {normal.trace.trace_id}"
        f" ({milliseconds(normal.trace.ms)})" + (":" if normal.steps else ", whose steps take as long.")
    )
    if normal.steps:
        header = ("HERE", "TYPICAL", "ADDED", "STEP, ON THE CRITICAL PATH")
        yield text.table(header, [_step(step) for step in normal.steps])


def _step(step: StepTimes) -> tuple[str, str, str, str]:
    added = f"{'+' if step.here >= step.typical else '-'}{milliseconds(abs(step.here - step.typical))}"
    return milliseconds(step.here), milliseconds(step.typical), added, text.cut(step.name)


def _moment(ms: float) -> str:
    from datetime import UTC, datetime, timedelta

    try:
        return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms):%Y-%m-%d %H:%M:%S}"
    except OverflowError:
        return f"{ms:.0f} ms after 1970"


def _row(tree: TraceTree, span_id: str | None) -> int | None:
    if span_id is None:
        return None
    row = tree.row_of(span_id.strip().lower())
    if row is None:
        raise UserError(f"This trace has no span {text.in_a_line(text.cut(span_id))!r}: --under takes a whole span id")
    return row


def _otlp(spans: Iterator[Span]) -> Iterator[str]:
    from leo_telemetry_pipeline.sources.otlp.otlp_writer import requests_of

    return (json.dumps(request, separators=(",", ":")) for request in requests_of(spans))


def _perfetto(trace: Trace, spans: Iterator[Span]) -> Iterator[str]:
    from leo_telemetry_pipeline.actions.perfetto import events_of

    before = '{"displayTimeUnit":"ms","traceEvents":['
    for event in events_of(trace.tree, spans):
        yield before + json.dumps(event, separators=(",", ":"))
        before = ","
    yield "]}"


def _write(output: str | None, lines: Iterator[str]) -> None:
    with _opened(output) as write:
        for line in lines:
            write(line)


@contextmanager
def _opened(output: str | None) -> Iterator[Callable[[str], Any]]:
    if output is None:
        yield click.echo
        return
    try:
        with Path(output).open("w", encoding="utf-8") as file:
            yield lambda line: _line(file, line)
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror}", _NOT_WRITTEN) from None
    click.echo(f"Written to {output}.", err=True)


def _line(file: TextIO, line: str) -> None:
    file.write(line + "\n")

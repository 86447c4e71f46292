"""Page that ``leo-telemetry items show`` prints for an improvement item.

Belongs here: the page, as a pure function of a row, which SQL may have written. Does not: reading rows (cli.items).
"""

import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from leo_telemetry_pipeline.actions.item_detail import Known, known_of
from leo_telemetry_pipeline.actions.items import allowed, explanations, lasted, milliseconds, ratio_of, worded
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.store.items import RESOLUTIONS, Item


def render(item: Item) -> str:
    """Format the page of an item, without a trailing newline."""
    known = known_of(item)
    lines = [
        item.title or "(without a title)",
        *(f"  {label:<11} {value}" for label, value in _facts(item, known)),
        *(f"  {sentence}" for sentence in (*_sentences(known), *_next(item, known))),
    ]
    return "\n".join(text.in_a_line(line).rstrip() for line in lines)


def _facts(item: Item, known: Known) -> Iterator[tuple[str, str]]:
    yield "item", item.id
    yield "status", item.status + _closed(item)
    yield "opened", f"{text.moment(item.created_at)} UTC, last updated {text.moment(item.updated_at)} UTC"
    for place, line in enumerate(_note(item, known).splitlines()):
        yield "" if place else "note", line
    if name := _dimension(known):
        yield "dimension", name + (f" in project {known['project']}" if known.get("project") else "")
    if "slow_calls" in known:
        known = {name: value for name, value in known.items() if name != "multiplier"}
    if "ratio" in known:
        known = {**known, "ratio": ratio_of(known)}
    for label, between, parts in _NUMBERS:
        if value := between.join(write(known[part]) for part, write in parts.items() if part in known):
            yield label, value


def _closed(item: Item) -> str:
    how = f" as {item.resolution}" if item.resolution else ""
    return how + (f", {text.moment(item.closed_at)} UTC" if item.closed_at else "")


def _note(item: Item, known: Known) -> str:
    """Return the description without the analysis's paragraph, which only repeats the detail."""
    description = item.description
    # An incomplete detail was not written by an analysis, so it has no such paragraph.
    with suppress(KeyError):
        written = worded(known, known["project"] or None, "", *known["window"]).description
        description = description.replace(written, "")
    return description.strip()


def _sentences(known: Known) -> Iterator[str]:
    yield from explanations({**known, "members": ()})
    if members := known.get("members"):
        rows = [(_dimension(row), f"{100 * row['share']:.0f} %" if "share" in row else None) for row in members]
        yield from text.table(("ALSO SLOW BECAUSE OF IT", "ADDED TIME DUE TO IT"), rows).splitlines()
    if traces := known.get("evidence_trace_ids"):
        yield f"Slowest traces: {', '.join(traces)}"


def _next(item: Item, known: Known) -> Iterator[str]:
    name = _dimension(known)
    if name:
        cause = known.get("cause") or name
        if cause != name:
            yield f"Because of {cause}: {_why(cause, known)}"
        yield f"Next: {_why(name, known)}"
    if item.is_open:
        first, *others = RESOLUTIONS
        or_as = ", ".join(f"or {other}" for other in others)
        yield f"When resolved: leo-telemetry items close {item.id} --as {first} ({or_as})"


def _why(name: str, known: Known) -> str:
    of_project = ("--project", known["project"]) if known.get("project") else ()
    return shlex.join(("leo-telemetry", "why", name, *of_project))


def _dimension(known: Known) -> str | None:
    of_type, key = known.get("dimension_type"), known.get("dimension_key")
    return f"{of_type}:{key}" if of_type and key else None


def _period(window: tuple[datetime, datetime]) -> str:
    start, end = window
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


# Per line: its label, the separator of its parts, and the formatter of each part.
_NUMBERS: tuple[tuple[str, str, dict[str, Callable[[Any], str]]], ...] = (
    ("window", ", ", {"window": _period, "sample_count": "{} spans".format}),
    ("baseline", ", ", {"baseline_p50_ms": milliseconds, "baseline_source": str}),
    ("normal", "", {"multiplier": lambda multiplier: f"up to {allowed(multiplier)} of the baseline"}),
    ("observed", ": ", {"observed_p50_ms": milliseconds, "ratio": str}),
    ("lost", "", {"lost_ms_a_week": lambda lost: f"{lasted(lost / 1000)} per week"}),
)

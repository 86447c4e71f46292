"""Page that ``leo-telemetry items show`` prints for an improvement item.

Belongs here: the page, as a pure function of a row, which SQL may have written. Does not: reading rows (cli.items).
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from leo_telemetry_pipeline.actions.item_decisions import STEPS
from leo_telemetry_pipeline.actions.item_detail import Known, known_of
from leo_telemetry_pipeline.actions.item_facts import name_of
from leo_telemetry_pipeline.actions.items import allowed, explanations, milliseconds, ratio_of, worded
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.store.items import Event, Item


def render(item: Item, events: Sequence[Event] = ()) -> str:
    """Format the page of an item, without a trailing newline."""
    known = known_of(item)
    lines = [
        item.title or "(without a title)",
        *(f"  {label:<11} {value}" for label, value in _facts(item, known)),
        *(f"  {sentence}" for sentence in (*_sentences(known), *_history(events), *_next(item, known))),
    ]
    return "\n".join(text.in_a_line(line).rstrip() for line in lines)


def _facts(item: Item, known: Known) -> Iterator[tuple[str, str]]:
    yield "item", item.id
    yield "status", status(item)
    yield "opened", f"{text.moment(item.created_at)} UTC, last updated {text.moment(item.updated_at)} UTC"
    for place, line in enumerate(_note(item, known).splitlines()):
        yield "" if place else "note", line
    if name := name_of(known):
        yield "dimension", name + (f" in project {known['project']}" if known.get("project") else "")
    if "slow_calls" in known:
        known = {name: value for name, value in known.items() if name != "multiplier"}
    if "ratio" in known:
        known = {**known, "ratio": ratio_of(known)}
    for label, between, parts in _NUMBERS:
        if value := between.join(write(known[part]) for part, write in parts.items() if part in known):
            yield label, value


def status(item: Item) -> str:
    """Say in which state an item is, since when and in which episode."""
    until = f" until {item.dismissed_until:%Y-%m-%d}" if item.dismissed_until else ""
    episode = f", episode {item.episode}" if item.episode > 1 else ""
    return f"{item.status}{until} since {text.moment(item.status_since)} UTC{episode}"


def _history(events: Sequence[Event]) -> Iterator[str]:
    # The first event only opened the item, as the page says above.
    if len(events) > 1:
        rows = [(text.moment(one.window_end), one.to_status, one.actor, one.reason) for one in events]
        yield from text.table(("WHEN (UTC)", "STATUS", "BY", "WHY"), rows).splitlines()


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
        rows = [(name_of(row), f"{100 * row['share']:.0f} %" if "share" in row else None) for row in members]
        yield from text.table(("ALSO SLOW BECAUSE OF IT", "ADDED TIME DUE TO IT"), rows).splitlines()
    if traces := known.get("evidence_trace_ids"):
        yield f"Slowest traces: {', '.join(traces)} (one of them: leo-telemetry trace ID)"


def _next(item: Item, known: Known) -> Iterator[str]:
    name = name_of(known)
    if name:
        cause = known.get("cause") or name
        if cause != name:
            yield f"Because of {cause}: {_why(cause, known)}"
        yield f"Next: {_why(name, known)}"
    if item.status == "VERIFYING":
        yield f"Fixed, people say: {STEPS['fixed'].means}"
    elif item.is_active:
        yield f"When fixed: leo-telemetry items fixed {item.id} (or accept, or dismiss)"
    else:
        yield f"To open it again: leo-telemetry items reopen {item.id}"


def _why(name: str, known: Known) -> str:
    of_project = ("--project", known["project"]) if known.get("project") else ()
    return shlex.join(("leo-telemetry", "why", name, *of_project))


def _period(window: tuple[datetime, datetime]) -> str:
    start, end = window
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


# Per line: its label, the separator of its parts, and the formatter of each part.
_NUMBERS: tuple[tuple[str, str, dict[str, Callable[[Any], str]]], ...] = (
    ("window", ", ", {"window": _period, "sample_count": "{} spans".format}),
    ("baseline", ", ", {"baseline_p50_ms": milliseconds, "baseline_source": str}),
    ("normal", "", {"multiplier": lambda multiplier: f"up to {allowed(multiplier)} of the baseline"}),
    ("observed", ": ", {"observed_p50_ms": milliseconds, "ratio": str}),
    ("lost", "", {"lost_ms_a_week": lambda lost: f"{text.lasted(lost / 1000)} per week"}),
)

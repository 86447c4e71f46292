"""What ``leo-telemetry items show`` prints of an improvement item.

Belongs here: the page, as a pure function of the item's row, whoever wrote that. Does not: finding the row (cli.items),
how its parts are worded elsewhere too (actions.items).
"""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from leo_telemetry_pipeline.actions.items import allowed, explanations, milliseconds, ratio, worded
from leo_telemetry_pipeline.cli import text
from leo_telemetry_pipeline.store.items import RESOLUTIONS, Item

Known = Mapping[str, Any]


def render(item: Item) -> str:
    """Return the page of an item, without a newline at its end."""
    known = known_of(item)
    lines = [
        item.title or "(without a title)",
        *(f"  {label:<11} {said}" for label, said in _facts(item, known)),
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
    for label, between, parts in _NUMBERS:
        if said := between.join(write(known[part]) for part, write in parts.items() if part in known):
            yield label, said


def _closed(item: Item) -> str:
    how = f" as {item.resolution}" if item.resolution else ""
    return how + (f", {text.moment(item.closed_at)} UTC" if item.closed_at else "")


def _note(item: Item, known: Known) -> str:
    """Return the description without what an analysis wrote there, which repeats the detail in a paragraph."""
    description = item.description
    # Of a detail that lacks something no analysis made a paragraph.
    with suppress(KeyError):
        written = worded(known, known["project"] or None, "", *known["window"]).description
        description = description.replace(written, "")
    return description.strip()


def _sentences(known: Known) -> Iterator[str]:
    yield from explanations({**known, "members": ()})
    if members := known.get("members"):
        rows = [(_dimension(one), f"{100 * one['share']:.0f} %" if "share" in one else None) for one in members]
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
        yield f"Once dealt with: leo-telemetry items close {item.id} --as {first} ({or_as})"


def _why(name: str, known: Known) -> str:
    of_project = ("--project", known["project"]) if known.get("project") else ()
    return shlex.join(("leo-telemetry", "why", name, *of_project))


def _dimension(known: Known) -> str | None:
    of_type, key = known.get("dimension_type"), known.get("dimension_key")
    return f"{of_type}:{key}" if of_type and key else None


def _period(window: tuple[datetime, datetime]) -> str:
    start, end = window
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


# The label of a line, what stands between its parts, and how each is written.
_NUMBERS: tuple[tuple[str, str, dict[str, Callable[[Any], str]]], ...] = (
    ("window", ", ", {"window": _period, "sample_count": "{} spans".format}),
    ("baseline", ", ", {"baseline_p50_ms": milliseconds, "baseline_source": str}),
    ("normal", "", {"multiplier": lambda multiplier: f"up to {allowed(multiplier)} of that"}),
    ("observed", ": ", {"observed_p50_ms": milliseconds, "ratio": ratio}),
    ("lost", "", {"lost_ms_a_week": lambda lost: f"{text.lasted(lost / 1000)} a week"}),
)


def known_of(item: Item) -> Known:
    """Return what an item's detail has of the kind that analyses write: by SQL anybody may have put in anything."""
    return _read(item.source_detail, _OF_A_DIMENSION | _OF_AN_ITEM)


def _read(given: Any, readers: Mapping[str, Callable[[Any], Any]]) -> Known:
    read = {name: reader(given.get(name)) for name, reader in readers.items()} if isinstance(given, dict) else {}
    return {name: value for name, value in read.items() if value is not None}


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and abs(value) <= sys.float_info.max else None


def _words(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _list_of_words(value: Any) -> list[str] | None:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else None


def _window(value: Any) -> tuple[datetime, datetime] | None:
    # Whatever is missing, is no time, or is one that UTC has no year for.
    with suppress(KeyError, TypeError, ValueError, OverflowError):
        start, end = (datetime.fromisoformat(value[side]).astimezone(UTC) for side in ("start", "end"))
        return start, end
    return None


def _members(value: Any) -> list[Known] | None:
    members = [_read(one, _OF_A_DIMENSION) for one in value] if isinstance(value, list) else []
    return [one for one in members if _dimension(one)]


_OF_A_DIMENSION: dict[str, Callable[[Any], Any]] = {
    "dimension_type": _words,
    "dimension_key": _words,
    "share": _number,
}
_OF_AN_ITEM: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("project", "baseline_source", "onset_day", "why", "cause"), _words),
    **dict.fromkeys(("observed_p50_ms", "baseline_p50_ms", "multiplier", "ratio"), _number),
    **dict.fromkeys(("sample_count", "p_value", "lost_ms_a_week"), _number),
    **dict.fromkeys(("measured", "set_apart_by", "evidence_trace_ids"), _list_of_words),
    "window": _window,
    "members": _members,
}

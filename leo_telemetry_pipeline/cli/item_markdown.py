"""Improvement item as a page of Markdown, for people who have never seen this system.

Belongs here: the page, as a pure function of rows, which SQL may have written. Names are shown as code, which is inert.
Does not: reading rows (cli.items), the page for terminals (item_page).
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leo_telemetry_pipeline.actions import item_facts
from leo_telemetry_pipeline.actions.inert import markdown
from leo_telemetry_pipeline.actions.item_detail import Known, known_of
from leo_telemetry_pipeline.actions.items import explanations
from leo_telemetry_pipeline.cli import item_page, text
from leo_telemetry_pipeline.store.items import Event, Item

SLOW_TRACES, TYPICAL_TRACES = 5, 2
# Next steps per status, and what each command is for.
_STEPS = {
    "OPEN": ("ack", "fixed", "accept"),
    "ACKNOWLEDGED": ("start", "fixed", "accept"),
    "IN_PROGRESS": ("fixed", "accept"),
    "VERIFYING": (),
    **dict.fromkeys(("RESOLVED", "ACCEPTED", "DISMISSED", "STALE"), ("reopen",)),
}
_MEANS = {
    "why": "shows every number behind the judgement",
    "ack": "tells others that someone has seen it",
    "start": "tells others that someone works on it",
    "fixed": "once it is repaired; analyses then measure whether that helped",
    "accept": "if it is meant to take this long from now on",
    "reopen": "if it should be looked at again",
}


@dataclass(frozen=True)
class Evidence:
    """What history and stored spans show of an item: daily P50s as bars, and ids of slow and of typical traces."""

    trend: str = ""
    slow: Sequence[str] = ()
    typical: Sequence[str] = ()


def render(item: Item, events: Sequence[Event], evidence: Evidence) -> str:
    """Return the page of an item, without a trailing newline."""
    known = known_of(item)
    name, sentence = item_facts.name_of(known), item_facts.sentence(known, markdown)
    facts = [("status", item_page.status(item)), *item_facts.facts(item, known, events, markdown)]
    sections = [
        [f"# {markdown(item.title) or '(without a title)'}"],
        [sentence] if sentence else [],
        _table(("", ""), facts),
        _section("Why", _why(known)),
        _section("Trend", [f"{markdown(evidence.trend)} P50 per day, oldest first"] if evidence.trend.strip() else []),
        _section("Traces", _traces(evidence)),
        _section("What to do next", _next(item, known, name)),
        _section("History", _table(("when (UTC)", "status", "by", "why"), _history(events))),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section)


def _why(known: Known) -> list[str]:
    lines = [f"- {markdown(sentence)}" for sentence in explanations({**known, "members": ()})]
    if members := known.get("members"):
        rows = [
            (markdown(item_facts.name_of(row) or ""), f"{100 * row['share']:.0f} %" if "share" in row else "")
            for row in members
        ]
        lines += ["", *_table(("also slow because of it", "of its added time"), rows)]
    return lines


def _traces(evidence: Evidence) -> list[str]:
    kinds = (("slow", evidence.slow[:SLOW_TRACES]), ("typical", evidence.typical[:TYPICAL_TRACES]))
    return [f"- {kind}: {', '.join(map(markdown, ids))}" for kind, ids in kinds if ids]


def _next(item: Item, known: Known, name: str | None) -> list[str]:
    commands = [(word, f"leo-telemetry items {word} {item.id}") for word in _STEPS[item.status]]
    if name:
        project = ("--project", known["project"]) if known.get("project") else ()
        commands.insert(0, ("why", shlex.join(("leo-telemetry", "why", known.get("cause") or name, *project))))
    return [f"{number}. {markdown(line)}: {_MEANS[word]}" for number, (word, line) in enumerate(commands, 1)]


def _history(events: Sequence[Event]) -> list[tuple[str, str, str, str]]:
    return [
        (text.moment(one.window_end) or "", one.to_status, markdown(one.actor), markdown(one.reason)) for one in events
    ]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines] if lines else []


def _table(header: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> list[str]:
    body = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(header)} |", "|" + "---|" * len(header), *body] if body else []

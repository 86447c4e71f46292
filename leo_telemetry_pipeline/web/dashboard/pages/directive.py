"""One directive: why, what to change, how to check it, who decided what, and its exports.

Belongs here: the model of the page, its step and its downloads. Does not: which steps are possible
(actions.directive_steps), formats (actions.directive_exports).
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from leo_telemetry_pipeline.actions import directive_exports, directive_steps
from leo_telemetry_pipeline.actions.directive_steps import DECISIONS
from leo_telemetry_pipeline.store import directives, item_pages
from leo_telemetry_pipeline.store.directives import Directive, DirectiveEvent
from leo_telemetry_pipeline.store.items import Item
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard import version
from leo_telemetry_pipeline.web.dashboard.page import (
    SIGNATURE,
    Asked,
    Download,
    File,
    Missing,
    Page,
    Refused,
    Step,
    refusals,
    signed,
)

_LABELS = {"approve": "Approve", "start": "Start work", "done": "Done", "cancel": "Cancel"}
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """Piece of a text: plain, or between backticks in its Markdown, such as a name or a command."""

    text: str
    is_code: bool


Text = tuple[Piece, ...]


@dataclass(frozen=True)
class Section:
    """Section of a directive: its paragraphs, or its entries, each a main text and what follows from it."""

    title: str
    paragraphs: tuple[Text, ...] = ()
    entries: tuple[tuple[Text, Text], ...] = ()
    is_ordered: bool = False


@dataclass(frozen=True)
class Choice:
    """A step that is possible now: its word, the label of its button, and what it means."""

    word: str
    label: str
    means: str


@dataclass(frozen=True)
class Ended:
    """How an item of a directive ended, with the measurement."""

    item_id: str
    status: str
    reason: str


@dataclass(frozen=True)
class DirectivePage:
    """Everything on the page. ``outcome``: how its items ended; empty before that."""

    directive: Directive
    title: Text
    sections: tuple[Section, ...]
    outcome: tuple[Ended, ...]
    items: tuple[Item, ...]
    events: tuple[DirectiveEvent, ...]
    choices: tuple[Choice, ...]
    formats: tuple[tuple[str, str], ...]
    version: str


def read(database: Database, asked: Asked) -> DirectivePage:
    """Read the page of a directive. Raises Missing."""
    directive = _named(database, asked)
    return DirectivePage(
        directive,
        pieces(directive.title),
        tuple(sections_of(directive)),
        tuple(outcome_of(directive)),
        tuple(item_pages.with_ids(database, directive.item_ids)),
        tuple(reversed(directives.events(database, directive.id))),
        tuple(choices_of(directive)),
        tuple((form, means) for form, (means, _, _) in _FORMATS.items()),
        version.read(database),
    )


def make(database: Database, asked: Asked) -> str:
    """Make the step that a form asks for. Raises Missing or Refused."""
    directive = _named(database, asked)
    word, (by, reason) = asked.form.get("step", ""), signed(asked)
    if word not in DECISIONS:
        raise Refused("There is no such step: reload the page of the directive")
    with refusals():
        directive_steps.decide(database, directive, DECISIONS[word], by, reason, datetime.now(UTC))
    return f"/directives/{directive.sd_key}"


def export(database: Database, asked: Asked) -> File:
    """Return a directive in a format for other programs. Raises Missing."""
    directive, form = _named(database, asked), asked.query.get("format", "")
    if form not in _FORMATS:
        raise Missing(f"There is no such format: a directive has {', '.join(_FORMATS)}")
    _, write, ending = _FORMATS[form]
    media_type = "application/json" if ending.endswith("json") else "text/markdown"
    return File(f"{directive.sd_key}.{ending}", media_type, write(directive))


def choices_of(directive: Directive) -> list[Choice]:
    """Return the steps that people can take now."""
    return [Choice(word, _LABELS[word], DECISIONS[word].means) for word in directive_steps.possible(directive)]


def sections_of(directive: Directive) -> list[Section]:
    """Return the sections, in the order in which somebody needs them."""
    return [
        Section("What is slow", _paragraphs(directive.description)),
        Section("Why it matters", _paragraphs(directive.rationale)),
        Section("Intent", _paragraphs(directive.strategic_intent)),
        Section("Scope", _paragraphs(directive.scope)),
        Section("What to change", entries=_entries(directive.key_changes, "change", "impact")),
        Section("Done when", entries=_entries(directive.success_criteria, "criterion", "measure")),
        Section("Metrics", entries=_entries(directive.success_metrics, "metric", "target")),
        Section(
            "How to check",
            entries=_entries(directive.smoke_test_steps, "instruction", "expected_outcome"),
            is_ordered=True,
        ),
        Section("Risks", entries=_entries(directive.risks, "risk", "mitigation")),
        Section("Principles", entries=tuple((pieces(str(one)), ()) for one in directive.key_principles)),
    ]


def outcome_of(directive: Directive) -> list[Ended]:
    """Return how the items ended; a row written by SQL may hold anything."""
    outcome = directive.metadata.get("outcome")
    rows = outcome.get("items") if isinstance(outcome, dict) else None
    return [
        Ended(*(str(row.get(name, "")) for name in ("item_id", "status", "reason")))
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict)
    ]


def pieces(markdown: str) -> Text:
    """Split a text of a directive into plain pieces and those between backticks; nothing else is interpreted."""
    found, end = [], 0
    for match in _CODE.finditer(markdown):
        found += [Piece(markdown[end : match.start()], False), Piece(_without_padding(match[2]), True)]
        end = match.end()
    return tuple(piece for piece in (*found, Piece(markdown[end:], False)) if piece.text)


def _without_padding(code: str) -> str:
    is_padded = len(code) > 2 and code[0] == code[-1] == " " and code.strip(" ")
    return code[1:-1] if is_padded else code


def _paragraphs(text: str) -> tuple[Text, ...]:
    return tuple(pieces(paragraph) for paragraph in text.split("\n\n") if paragraph.strip())


def _entries(rows: Any, first: str, second: str) -> tuple[tuple[Text, Text], ...]:
    return tuple((pieces(str(row.get(first, ""))), pieces(str(row.get(second, "")))) for row in rows)


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"


# Per format: what it is for, how it is written, and the ending of its file.
_FORMATS: dict[str, tuple[str, Callable[[Directive], str], str]] = {
    "md": ("a page for people", directive_exports.as_markdown, "md"),
    "json": ("the row", lambda directive: _as_json(directive_exports.as_row(directive)), "json"),
    "leo-proposal": (
        "what LEO's importer takes, as JSON",
        lambda directive: _as_json(directive_exports.as_proposal(directive)),
        "proposal.json",
    ),
    "leo-plan": ("what LEO's importer takes, as a plan", directive_exports.as_plan, "plan.md"),
}


def _named(database: Database, asked: Asked) -> Directive:
    wanted = asked.path["key"]
    directive = directives.get(database, wanted)
    if directive is None:
        raise Missing(f"There is no directive {wanted}: the list of directives shows all")
    return directive


PAGE = Page("/directives/{key}", "directive.html", read)
STEP = Step("/directives/{key}", make, {"step": f"One of {', '.join(DECISIONS)}"} | SIGNATURE)
DOWNLOAD = Download("/directives/{key}/export", export)

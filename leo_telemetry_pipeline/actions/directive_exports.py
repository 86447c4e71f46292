"""Export formats of a directive: a page for people, and both inputs of the LEO engine's importer.

Belongs here: the formats, as pure functions of a row. Does not: wording (directives), options and output (cli).
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from leo_telemetry_pipeline.actions.inert import in_a_line
from leo_telemetry_pipeline.store.directives import Directive

_MADE_BY = "leo-telemetry-pipeline"


def as_proposal(directive: Directive) -> dict[str, Any]:
    """Return the JSON document that LEO's importer takes; it refuses any other key."""
    taken = ("title", "sd_type", "priority", "description", "scope", "rationale", "success_criteria", "key_changes")
    more = ("success_metrics", "strategic_objectives", "smoke_test_steps")
    # A proposal has no keys of its own for these.
    beside = ("strategic_intent", "category", "target_application", "key_principles", "risks", "dependencies")
    columns = {name: getattr(directive, name) for name in (*taken, *more)}
    metadata = directive.metadata | {name: getattr(directive, name) for name in beside}
    return {
        "PROPOSAL": True,
        "proposed_sd_key": directive.sd_key,
        **columns,
        "metadata": metadata | {"directive_id": directive.id},
        "provenance": f"{_MADE_BY}: drafted from improvement items {', '.join(directive.item_ids)}",
    }


def as_plan(directive: Directive) -> str:
    """Return the Markdown plan that LEO's importer takes. Each list entry is one line, and no line is a table row."""
    steps = [f"[ ] {step['instruction']}" for step in directive.smoke_test_steps]
    sections = {
        "Type": directive.sd_type,
        "Priority": directive.priority,
        "Target Application": directive.target_application,
        "Summary": directive.description,
        "Scope": directive.scope,
        "Key Changes": _list(_pairs(directive.key_changes, "change", "impact")),
        "Success Criteria": _list(_pairs(directive.success_criteria, "criterion", "measure")),
        "Success Metrics": _list(_pairs(directive.success_metrics, "metric", "target")),
        "Smoke Test Steps": _list(_pairs(directive.smoke_test_steps, "instruction", "expected_outcome")),
        "Key Principles": _list(directive.key_principles),
        "Risks": _list(_risks(directive)),
        # A section of its own: the importer takes every entry of Objectives for an objective.
        "Steps": _list(steps),
        "Objectives": _list(_pairs(directive.strategic_objectives, "objective", "metric")),
    }
    return _page(directive.title, sections)


def as_markdown(directive: Directive) -> str:
    """Return a page for people."""
    facts = {
        "key": directive.sd_key,
        "status": directive.status,
        "priority": directive.priority,
        "application": directive.target_application,
        "items": ", ".join(directive.item_ids),
    }
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items())])
    sections = {
        "Why": directive.rationale,
        "Intent": directive.strategic_intent,
        "Scope": directive.scope,
        "What to change": _list(_pairs(directive.key_changes, "change", "impact")),
        "Done when": _list(_pairs(directive.success_criteria, "criterion", "measure")),
        "Metrics": _list(_pairs(directive.success_metrics, "metric", "target")),
        "How to check": _steps(_pairs(directive.smoke_test_steps, "instruction", "expected_outcome")),
        "Risks": _list(_risks(directive)),
    }
    return _page(directive.title, sections, f"{table}\n\n{directive.description}\n\n")


def as_row(directive: Directive) -> dict[str, Any]:
    """Return the row with its items, for JSON."""
    return asdict(directive)


def _page(title: str, sections: Mapping[str, str], intro: str = "") -> str:
    body = "\n\n".join(f"## {name}\n\n{text}" for name, text in sections.items())
    # SQL may have written a text with control characters.
    return "\n".join(map(in_a_line, f"# {in_a_line(title)}\n\n{intro}{body}".split("\n"))) + "\n"


def _pairs(rows: Iterable[Mapping[str, Any]], first: str, second: str) -> list[str]:
    return [f"{row[first]}: {row[second]}" for row in rows]


def _risks(directive: Directive) -> list[str]:
    return [f"{row['risk']}: {row['impact']}. {row['mitigation']}" for row in directive.risks]


def _list(entries: Iterable[str]) -> str:
    return "\n".join(f"- {entry}" for entry in entries)


def _steps(entries: Iterable[str]) -> str:
    return "\n".join(f"{number}. {entry}" for number, entry in enumerate(entries, 1))

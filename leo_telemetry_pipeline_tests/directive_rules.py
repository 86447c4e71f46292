"""Rules of LEO's importer and of ``strategic_directives_v2``, as checks of what we export.

Belongs here: the rules, written from the design, and a reader of plans. Does not: the exports themselves.
"""

import re
from typing import Any

from markdown_it import MarkdownIt

STATUSES = {
    *("draft", "pending_approval", "deferred", "active", "planning", "in_progress", "review", "completed"),
    "cancelled",
}  # fmt: skip
PRIORITIES = {"critical", "high", "medium", "low"}
SD_TYPES = {"feature", "bugfix", "infrastructure", "database", "security", "refactor", "documentation", "orchestrator"}
KEY = re.compile(r"SD-LEO-FIX-PERF(-[A-Z0-9]+)+-[0-9]{3,}")
APPLICATION = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
PROPOSAL_KEYS = {
    *("PROPOSAL", "proposed_sd_key", "title", "sd_type", "priority", "description", "scope", "rationale"),
    *("success_criteria", "key_changes", "success_metrics", "strategic_objectives", "smoke_test_steps", "metadata"),
    "provenance",
}  # fmt: skip
# Per column: the keys of each entry, and the least and the largest number of entries that the importer keeps.
ENTRIES = {
    "strategic_objectives": ({"objective", "metric"}, 2, 5),
    "success_criteria": ({"criterion", "measure"}, 2, 10),
    "success_metrics": ({"metric", "target"}, 3, 10),
    "key_changes": ({"change", "impact"}, 1, 10),
    "smoke_test_steps": ({"step_number", "instruction", "expected_outcome"}, 1, 10),
    "risks": ({"risk", "impact", "mitigation"}, 1, 5),
}
SECTIONS = [
    *("Type", "Priority", "Target Application", "Summary", "Scope", "Key Changes", "Success Criteria"),
    *("Success Metrics", "Smoke Test Steps", "Key Principles", "Risks", "Steps", "Objectives"),
]  # fmt: skip
LISTS = SECTIONS[5:]
LONGEST_SUMMARY = 2000
_INLINE = {"text", "code_inline", "softbreak"}


def broken_in_columns(columns: dict[str, Any]) -> list[str]:
    """Return the rules that the contents of a directive break."""
    texts = ("title", "description", "scope", "rationale", "strategic_intent", "category")
    broken = [f"{name} is empty" for name in texts if not str(columns[name]).strip()]
    broken += ["the description is short"] if len(columns["description"]) < 100 else []
    broken += ["the description is cut"] if len(columns["description"]) > LONGEST_SUMMARY else []
    broken += ["scope and description are equal"] if columns["scope"] == columns["description"] else []
    broken += ["the title has several lines"] if "\n" in columns["title"] else []
    broken += ["the title is long"] if len(columns["title"]) > 500 else []
    broken += ["the type is unknown"] if columns["sd_type"] not in SD_TYPES else []
    broken += ["the priority is unknown"] if columns["priority"] not in PRIORITIES else []
    broken += ["the application is unreadable"] if not APPLICATION.fullmatch(columns["target_application"]) else []
    broken += [name for name in ENTRIES if name in columns and not _are_entries(name, columns[name])]
    return broken


def _are_entries(name: str, entries: Any) -> bool:
    keys, least, most = ENTRIES[name]
    numbered = [entry.get("step_number") for entry in entries if "step_number" in keys]
    return (
        least <= len(entries) <= most
        and all(set(entry) == keys and all(map(_is_value, entry.values())) for entry in entries)
        and numbered == list(range(1, 1 + len(numbered)))
    )


def _is_value(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and bool(value.strip()) and "\n" not in value)


def broken_in_proposal(proposal: dict[str, Any]) -> list[str]:
    """Return the rules of the importer that a proposal breaks."""
    broken = [f"{name} is unknown or missing" for name in PROPOSAL_KEYS ^ set(proposal)]
    broken += ["PROPOSAL is not true"] if proposal["PROPOSAL"] is not True else []
    broken += ["the key is not native"] if not KEY.fullmatch(proposal["proposed_sd_key"]) else []
    required = ("proposed_sd_key", "title", "sd_type", "priority", "provenance")
    broken += [f"{name} is not a text" for name in required if not (isinstance(proposal[name], str) and proposal[name])]
    return broken + broken_in_columns(proposal["metadata"] | proposal)


def read_plan(plan: str) -> tuple[str, dict[str, str]]:
    """Return the title and the sections of a plan, read by lines as the importer does."""
    first, *rest = plan.split("\n")
    assert first.startswith("# ")
    sections: dict[str, list[str]] = {}
    name = ""
    for line in rest:
        if line.startswith("#"):
            name = line.removeprefix("## ")
            assert name not in sections
            sections[name] = []
        elif name:
            sections[name].append(line)
    return first[2:], {name: "\n".join(lines).strip() for name, lines in sections.items()}


def broken_in_plan(plan: str, columns: dict[str, Any]) -> list[str]:
    """Return the rules of the importer that the plan of a directive breaks."""
    title, sections = read_plan(plan)
    broken = [] if list(sections) == SECTIONS else [f"the sections are {list(sections)}"]
    expected = {"Type": "sd_type", "Priority": "priority", "Target Application": "target_application"}
    expected |= {"Summary": "description", "Scope": "scope"}
    broken += [f"{name} differs" for name, column in expected.items() if sections.get(name) != columns[column]]
    broken += ["the title differs"] if title != columns["title"] else []
    for name in LISTS:
        lines = sections.get(name, "").split("\n")
        broken += [] if all(re.fullmatch(r"- \S.*", line) for line in lines) else [f"{name} is not a list"]
        column = name.lower().replace(" ", "_").replace("objectives", "strategic_objectives")
        broken += [] if name == "Steps" or len(lines) == len(columns[column]) else [f"{name} has other entries"]
    boxes = [line for line in plan.split("\n") if line.startswith("- [ ] ")]
    broken += [] if boxes and boxes == sections["Steps"].split("\n") else ["the check boxes are elsewhere"]
    broken += [line for line in plan.split("\n") if line.startswith("|")]
    return broken


def live_in_markdown(page: str) -> list[str]:
    """Return what a Markdown reader would do with a page besides showing headings, lists, tables, text and code."""
    blocks = re.compile(r"(heading|paragraph|bullet_list|ordered_list|list_item|table|thead|tbody|tr|th|td)_\w+|inline")
    parsed = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(page)
    found = [token.type for token in parsed if not blocks.fullmatch(token.type)]
    return found + [part.type for token in parsed for part in token.children or [] if part.type not in _INLINE]

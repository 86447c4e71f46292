"""Wording of a directive, drafted from the items of a cause.

Belongs here: every text of a directive, as Markdown in which names from outside are inert. Pure: no database, no clock.
Does not: which items get one (directive_policy), export formats (directive_exports), storing it (store.directives).
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from leo_telemetry_pipeline.actions import inert
from leo_telemetry_pipeline.actions.item_detail import Known, known_of
from leo_telemetry_pipeline.actions.item_life import fast_limit_ms
from leo_telemetry_pipeline.actions.items import MOST_NAMED, allowed, calls_are_slow, lasted, milliseconds, ratio_of
from leo_telemetry_pipeline.store.directives import DirectiveContent
from leo_telemetry_pipeline.store.items import Item

KEY = "SD-LEO-FIX-PERF"
APPLICATION = "EHG_Engineer"
# The importer of the LEO engine cuts longer summaries.
LONGEST_DESCRIPTION = 2000
# LEO's types have no "performance".
_SD_TYPE, _CATEGORY = "bugfix", "performance"
_LONGEST_NAME, _LONGEST_TEXT = 80, 200
_MOST_WORDS, _LONGEST_WORD = 5, 24
# Severity ratios from which a directive has a priority.
_PRIORITIES = ((5.0, "critical"), (3.0, "high"), (0.0, "medium"))
_NEEDED = ("dimension_type", "dimension_key", "observed_p50_ms", "baseline_p50_ms", "multiplier", "ratio")
_APPLICATION = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


def facts_of(item: Item) -> Known | None:
    """Return the facts that a directive needs, or None if the item lacks one, such as an item written by hand."""
    known = known_of(item)
    numbers = [known.get(name) or 0 for name in _NEEDED[2:]]
    is_named = all(known.get(name) for name in _NEEDED[:2])
    return known if is_named and all(number > 0 for number in numbers) else None


def cause_of(known: Known) -> str:
    """Return the name of the dimension that makes an item's dimension slow, which may be itself."""
    return known.get("cause") or _own_name(known)


def key_prefix(item: Item) -> str:
    """Return the key of an item's directive without its number: ``SD-LEO-FIX-PERF-GATE-PRD-REQUIRED``."""
    known = known_of(item)
    words = re.findall("[A-Z0-9]+", f"{known.get('dimension_type', '')} {known.get('dimension_key', '')}".upper())
    named = [word[:_LONGEST_WORD] for place, word in enumerate(words) if word not in words[:place]]
    return "-".join((KEY, *(named[:_MOST_WORDS] or ["STEP"])))


def draft(items: Sequence[Item], application: str = "") -> DirectiveContent:
    """Draft the directive of the items of one cause, all with facts, most important first.

    ``application`` is what has to be changed: by default the items' project, or LEO's own engine.
    """
    known = facts_of(items[0])
    assert known is not None
    text = _Wording(items[0].id, known)
    return DirectiveContent(
        title=text.title(),
        description=text.description(),
        scope=text.scope(),
        rationale=text.rationale(),
        strategic_intent=f"Bring {text.subject} back to at most {text.limit}, so that the work that waits for it is as"
        " fast as it was.",
        sd_type=_SD_TYPE,
        priority=next(name for least, name in _PRIORITIES if known["ratio"] >= least),
        category=_CATEGORY,
        target_application=application or _application(known.get("project")),
        strategic_objectives=text.objectives(),
        success_criteria=text.criteria(),
        success_metrics=text.metrics(),
        key_changes=list(text.changes()),
        smoke_test_steps=text.smoke_test(),
        key_principles=[
            "Measurement decides: the directive is completed by analyses, not by a person.",
            "Make one change at a time, so that an effect has one cause.",
            "Do not raise the threshold, and do not accept the slow level as normal, to close the item.",
        ],
        risks=list(text.risks()),
        dependencies=[],
        metadata=_metadata(items, known, text.limit_ms),
    )


class _Wording:
    """Texts of a directive about one item."""

    def __init__(self, item_id: str, known: Known) -> None:
        self._known, self._slow = known, known.get("slow_calls")
        of_project = ("--project", known["project"]) if known.get("project") else ()
        name = _own_name(known)
        self.name = _code(name, _LONGEST_NAME)
        self.subject = self.name + (f" in project {_code(known['project'])}" if of_project else "")
        self._show = _command("items", "show", item_id)
        self._why = _command("why", name, *of_project)
        self._analyze = _command("analyze", *of_project)
        if self._slow:
            self.measure, self._now_ms = "P90", self._slow["p90_ms"]
            self.limit_ms = self._slow.get("p90_before_ms") or self._slow["cut_ms"]
        else:
            self.measure, self._now_ms = "P50", known["observed_p50_ms"]
            self.limit_ms = fast_limit_ms(known["baseline_p50_ms"], known["multiplier"])
        self.limit, self._now = milliseconds(self.limit_ms), milliseconds(self._now_ms)
        lost_ms = known.get("lost_ms_a_week") or 0
        self._lost = f"{lasted(lost_ms / 1000)} per week" if lost_ms > 0 else ""
        self._since = f" since {_code(known['onset_day'])}" if known.get("onset_day") else ""
        self._members = [_code(_own_name(member), _LONGEST_NAME) for member in known.get("members", ())]

    def title(self) -> str:
        how = calls_are_slow(self._slow) if self._slow else f"it takes {ratio_of(self._known)} as long as normal"
        return f"Make {self.name} fast again: {how}"

    def description(self) -> str:
        evidence = f"The evidence: {self._show}."
        if traces := self._traces():
            evidence += f" Slowest traces: {traces}."
        paragraphs = [self._compared() + f" {evidence}", *self._explained()]
        if self._lost:
            paragraphs.append(f"This costs {self._lost}.")
        if self._members:
            paragraphs.append(f"Because of it, {_listed(self._members)} took longer too.")
        return _fitting(paragraphs)

    def scope(self) -> str:
        cause = _code(cause_of(self._known), _LONGEST_NAME)
        affected = f" Measured with it, since they are slow because of it: {_listed(self._members)}."
        return (
            f"In scope: what makes {cause} slow{self._since}.{affected if self._members else ''} Out of scope: moving"
            " the time to another step, and changing thresholds or baselines."
        )

    def rationale(self) -> str:
        cost = f" and costs {self._lost}" if self._lost else ""
        where = next(self._explained(), "Where the added time goes is not known yet.")
        return f"{self.subject} has been slow{self._since or ' for several analyses'}{cost}. {where}"

    def objectives(self) -> list[dict[str, str]]:
        gain = f"Give back up to {self._lost}" if self._lost else "Give back the lost time"
        return [
            {
                "objective": f"Bring the {self.measure} of {self.subject} from {self._now} to at most {self.limit}",
                "metric": f"{self.measure} of {self.name} in two analyses at least one day apart",
            },
            {
                "objective": f"{gain} to the work that waits for {self.name}",
                "metric": f"Time given back per week, which {self._show} reports once the item is resolved",
            },
        ]

    def criteria(self) -> list[dict[str, str]]:
        both = "in both analyses"
        others = f"{_listed(self._members)} are no longer slow either" if self._members else "No other step got slower"
        return [
            {
                "criterion": f"The {self.measure} of {self.subject} is at most {self.limit}",
                "measure": f"{self._show} says RESOLVED: the item is under this limit in two analyses at least one day"
                " apart, each with enough new spans since the fix",
            },
            {
                "criterion": others,
                "measure": f"{_command('findings')} lists "
                + (f"none of them {both}" if self._members else f"no new bottleneck {both}"),
            },
        ]

    def metrics(self) -> list[dict[str, str]]:
        normal = milliseconds(self._known["baseline_p50_ms"])
        lost = f"none (now {self._lost})" if self._lost else "none"
        return [
            {
                "metric": f"{self.measure} of {self.name}",
                "target": f"at most {self.limit} (now {self._now}, baseline P50 {normal})",
            },
            {"metric": f"Time lost per week because of {self.name}", "target": lost},
            {"metric": "Analyses in a row under this limit, at least one day apart", "target": "2"},
        ]

    def changes(self) -> Iterator[dict[str, str]]:
        impact = f"The {self.measure} falls from {self._now} to at most {self.limit}"
        cause = _code(cause_of(self._known), _LONGEST_NAME)
        if why := self._known.get("why"):
            yield {"change": f"Remove the added time of {cause}, which is {_code(why)}", "impact": impact}
        else:
            traces = f", starting with the slowest traces: {self._traces()}" if self._traces() else ""
            yield {"change": f"Find and remove what makes {cause} slow{traces}", "impact": impact}
        for difference in self._known.get("set_apart_by", [])[:2]:
            yield {
                "change": f"Compare the slow spans with the others: more common in them is {_code(difference)}",
                "impact": "Shows whether this difference is the cause",
            }

    def smoke_test(self) -> list[dict[str, Any]]:
        steps = (
            (f"Run the changed work until {self.name} has new spans", f"{self._why} counts them"),
            (f"Run {self._analyze}", f"It succeeds, and {self.name} is not among its bottlenecks"),
            (
                f"One day later, run {self._analyze} again, then {self._show}",
                f"The item is RESOLVED, with the {self.measure} before and after",
            ),
        )
        return [
            {"step_number": number, "instruction": instruction, "expected_outcome": expected}
            for number, (instruction, expected) in enumerate(steps, start=1)
        ]

    def risks(self) -> Iterator[dict[str, str]]:
        yield {
            "risk": "The time moves to another step",
            "impact": "The whole work takes as long as before",
            "mitigation": f"Compare the steps before and after with {_command('findings')} and {_command('trends')}",
        }
        if not self._known.get("why"):
            yield {
                "risk": "The cause is not known yet",
                "impact": "The first change may have no effect; the item then opens again",
                "mitigation": f"Read {self._why} and the slowest traces before changing anything",
            }
        yield {
            "risk": "The step runs too rarely to be measured soon",
            "impact": "The item stays VERIFYING until there are enough new spans",
            "mitigation": "Run the step more often for a few days, or wait",
        }

    def _compared(self) -> str:
        known, normal = self._known, milliseconds(self._known["baseline_p50_ms"])
        observed, source = milliseconds(known["observed_p50_ms"]), known.get("baseline_source")
        if self._slow:
            before = self._slow.get("p90_before_ms")
            was = f", and was {milliseconds(before)}" if before else ""
            return (
                f"In {self.subject}, {calls_are_slow(self._slow)}{self._since}: their P50 is {observed}, against"
                f" {normal} for all calls. The P90 of all calls is {self._now}{was}."
            )
        baseline = f"{_code(source)} baseline" if source else "baseline"
        return (
            f"The P50 of {self.subject} is {observed}{self._since}, {ratio_of(known)} its {baseline} of {normal}."
            f" Slow is over {allowed(known['multiplier'])} the baseline; fast again is at most {self.limit}."
        )

    def _explained(self) -> Iterator[str]:
        if why := self._known.get("why"):
            yield f"Where the added time goes: {_code(why)}."
        if measured := self._known.get("measured"):
            yield f"What its spans show: {_listed(map(_code, measured))}."
        if value := self._known.get("slow_value"):
            yield f"The spans that became slower have {_code(value)}, whatever their names."
        if set_apart_by := self._known.get("set_apart_by"):
            yield f"More common in slow spans: {_listed(map(_code, set_apart_by))}."

    def _traces(self) -> str:
        return _listed(map(_code, self._known.get("evidence_trace_ids", [])))


def _metadata(items: Sequence[Item], known: Known, target_ms: float) -> dict[str, Any]:
    taken = ("project", "cause", "onset_day", "lost_ms_a_week", "evidence_trace_ids")
    window = [end.isoformat() for end in known.get("window", ())]
    return {
        "source": "TELEMETRY_BOTTLENECK",
        "item_ids": [item.id for item in items],
        "fingerprints": [item.fingerprint for item in items],
        "run_id": str(items[0].source_detail.get("run_id") or ""),
        **{name: known[name] for name in (*_NEEDED, *taken) if name in known},
        **dict(zip(("window_start", "window_end"), window, strict=False)),
        "target_ms": target_ms,
        "target_measure": "P90" if known.get("slow_calls") else "P50",
    }


def _application(project: str | None) -> str:
    return project if project and _APPLICATION.fullmatch(project) else APPLICATION


def _own_name(known: Known) -> str:
    return f"{known['dimension_type']}:{known['dimension_key']}"


def _command(*words: str) -> str:
    return inert.markdown(shlex.join(("leo-telemetry", *words)))


def _code(text: str, longest: int = _LONGEST_TEXT) -> str:
    return inert.markdown(text if len(text) <= longest else text[: longest - 1] + "…")


def _listed(texts: Iterable[str]) -> str:
    named = list(texts)
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return ", ".join(named[:MOST_NAMED]) + more


def _fitting(paragraphs: Sequence[str]) -> str:
    """Join the first paragraph and each later one for which there is room."""
    kept = paragraphs[0]
    for paragraph in paragraphs[1:]:
        if len(kept) + 2 + len(paragraph) <= LONGEST_DESCRIPTION:
            kept += f"\n\n{paragraph}"
    return kept

"""One improvement item: what is slow, since when, why, what became of it, and the steps that people make.

Belongs here: the model of the page and its step. Does not: which steps are possible (actions.item_decisions).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from leo_telemetry_pipeline.actions import item_decisions, item_facts
from leo_telemetry_pipeline.actions.item_detail import Known, known_of
from leo_telemetry_pipeline.actions.items import explanations, lasted, milliseconds
from leo_telemetry_pipeline.store import directives, items
from leo_telemetry_pipeline.store.days import DAY, midnight
from leo_telemetry_pipeline.store.directives import WorkOn
from leo_telemetry_pipeline.store.history import recent_p50s
from leo_telemetry_pipeline.store.items import ACTIVE, Event, Item
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard import charts, version
from leo_telemetry_pipeline.web.dashboard.charts import Band, Sparkline
from leo_telemetry_pipeline.web.dashboard.page import (
    SIGNATURE,
    Asked,
    Page,
    Refused,
    Step,
    refusals,
    signed,
    subject,
)

DAYS = 84
_LABELS = {
    "ack": "Acknowledge",
    "start": "Start work",
    "fixed": "Fixed",
    "accept": "Accept as normal",
    "dismiss": "Dismiss",
    "reopen": "Reopen",
}
_WIDTH, _HEIGHT = 860, 170


@dataclass(frozen=True)
class Choice:
    """A step that is possible now: its word, the label of its button, and what it means."""

    word: str
    label: str
    means: str


@dataclass(frozen=True)
class Episode:
    """Days on which an item was slow, both included; ``last`` is None while it is."""

    number: int
    first: date
    last: date | None


@dataclass(frozen=True)
class Effected:
    """Effect of an episode in words: P50s before, while slow and after, and the time given back per week."""

    episode: int
    status: str
    before: str
    slow: str
    after: str
    change: str
    given_back: str


@dataclass(frozen=True)
class Member:
    """Dimension that is slow because of this one. ``share``: how much of its added time is due to it."""

    name: str
    share: str


@dataclass(frozen=True)
class ItemPage:
    """Everything on the page. ``days``: the P50 in ms of each day of the chart."""

    item: Item
    name: str | None
    cause: str
    sentence: str
    facts: tuple[tuple[str, str], ...]
    why: tuple[str, ...]
    members: tuple[Member, ...]
    evidence: tuple[str, ...]
    chart: Sparkline
    bands: tuple[Band, ...]
    days: tuple[tuple[date, float | None], ...]
    episodes: tuple[Episode, ...]
    effects: tuple[Effected, ...]
    events: tuple[Event, ...]
    work: WorkOn | None
    choices: tuple[Choice, ...]
    version: str


def read(database: Database, asked: Asked) -> ItemPage:
    """Read the page of an item. Raises Missing."""
    item = subject(database, asked, items.get, "item")
    known, events = known_of(item), items.events(database, item.id)
    end = _last_day(known)
    dates = [end - number * DAY for number in reversed(range(DAYS))]
    p50s: Sequence[float | None] = [None] * DAYS
    if item.dimension:
        project = known.get("project") or None
        p50s = recent_p50s.of(database, [item.dimension], end, DAYS, project)[item.dimension]
    episodes = tuple(episodes_of(events, known))
    name = item_facts.name_of(known)
    return ItemPage(
        item=item,
        name=name,
        cause=known["cause"] if known.get("cause") not in (None, name) else "",
        sentence=item_facts.sentence(known),
        facts=tuple(item_facts.facts(item, known, events)),
        why=tuple(explanations({**known, "members": ()})),
        members=tuple(members_of(known)),
        evidence=tuple(known.get("evidence_trace_ids", ())),
        chart=charts.sparkline(p50s, known.get("baseline_p50_ms"), width=_WIDTH, height=_HEIGHT, margin=8),
        bands=tuple(charts.bands([(one.first, one.last or end) for one in episodes], dates, width=_WIDTH, margin=8)),
        days=tuple(zip(dates, p50s, strict=True)),
        episodes=episodes,
        effects=tuple(effects_of(events)),
        events=tuple(reversed(events)),
        work=directives.of_items(database, [item.id]).get(item.id),
        choices=tuple(choices_of(item)),
        version=version.read(database),
    )


def make(database: Database, asked: Asked) -> str:
    """Make the step that a form asks for. Raises Missing or Refused."""
    item = subject(database, asked, items.get, "item")
    word, (by, reason) = asked.form.get("step", ""), signed(asked)
    if word not in item_decisions.STEPS:
        raise Refused("There is no such step: reload the page of the item")
    until = _until(asked.form.get("until", "")) if word == "dismiss" else None
    with refusals():
        item_decisions.make(database, item, word, by, reason, datetime.now(UTC), until)
    return f"/items/{item.id}"


def choices_of(item: Item) -> list[Choice]:
    """Return the steps that people can make now."""
    return [Choice(word, _LABELS[word], item_decisions.STEPS[word].means) for word in item_decisions.possible(item)]


def members_of(known: Known) -> list[Member]:
    """Return the dimensions that are slow because of an item's."""
    return [
        Member(item_facts.name_of(row) or "", f"{100 * row['share']:.0f} %" if "share" in row else "")
        for row in known.get("members", ())
    ]


def episodes_of(events: Sequence[Event], known: Known) -> list[Episode]:
    """Return the episodes of an item; the current one begins on the day of the onset, if that is known."""
    episodes: dict[int, Episode] = {}
    for event in events:
        day = event.window_end.astimezone(UTC).date()
        begun = episodes.get(event.episode, Episode(event.episode, day, None))
        episodes[event.episode] = Episode(begun.number, begun.first, None if event.to_status in ACTIVE else day)
    found = list(episodes.values())
    if found and (onset := _day(known.get("onset_day"))) and onset <= found[-1].first:
        found[-1] = Episode(found[-1].number, onset, found[-1].last)
    return found


def effects_of(events: Sequence[Event]) -> list[Effected]:
    """Return the measured effects, in words; a row written by SQL may lack numbers."""
    found = []
    for event in events:
        effect = event.effect or {}
        numbers = {name: value for name, value in effect.items() if isinstance(value, int | float)}
        if not {"slow_ms", "after_ms"} <= numbers.keys():
            continue
        shown = {name: milliseconds(numbers[name]) if name in numbers else "" for name in ("before_ms", "worst_ms")}
        worst = f", at worst {shown['worst_ms']}" if shown["worst_ms"] else ""
        found.append(
            Effected(
                event.episode,
                event.to_status,
                shown["before_ms"],
                milliseconds(numbers["slow_ms"]) + worst,
                milliseconds(numbers["after_ms"]),
                _with_interval(numbers, ("ratio", "ratio_low", "ratio_high"), lambda ratio: f"{ratio:.2f}x"),
                _with_interval(numbers, ("given_back_ms_per_week", "given_back_low", "given_back_high"), _time),
            )
        )
    return found


def _with_interval(numbers: Mapping[str, float], names: tuple[str, str, str], shown: Callable[[float], str]) -> str:
    value, low, high = (shown(numbers[name]) if name in numbers else "" for name in names)
    return f"{value} ({low} to {high})" if value and low and high else value


def _time(milliseconds: float) -> str:
    return f"-{lasted(-milliseconds / 1000)}" if milliseconds <= -1000 else lasted(milliseconds / 1000)


def _last_day(known: Known) -> date:
    """Return the last day of the chart: the last closed one that the item's analysis saw."""
    end = known["window"][1] if "window" in known else datetime.now(UTC)
    return max(end.astimezone(UTC).date(), date.min + timedelta(DAYS + 1)) - DAY


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def _until(text: str) -> datetime | None:
    if not text:
        return None
    day = _day(text)
    if day is None or day.year > 9000:
        raise Refused("That is not a day: write it like 2026-02-09")
    return midnight(day)


PAGE = Page("/items/{id}", "item.html", read)
STEP = Step(
    "/items/{id}",
    make,
    {"step": f"One of {', '.join(item_decisions.STEPS)}", "until": "For dismiss: a day, from which it may return"}
    | SIGNATURE,
)

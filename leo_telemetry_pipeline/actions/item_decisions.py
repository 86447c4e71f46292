"""Steps in the lives of items that people decide, for the command line and the dashboard.

Belongs here: which steps are possible, making one, and saying what it means. Does not: the steps of analyses
(item_steps), forms and options.
"""

from dataclasses import dataclass
from datetime import datetime

from leo_telemetry_pipeline.actions import item_resolutions
from leo_telemetry_pipeline.actions.inert import in_a_line
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import items as store
from leo_telemetry_pipeline.store.items import SYSTEM, Item, Transition
from leo_telemetry_pipeline.store.server.database import Database

# Both stand in a line of every history.
LONGEST_NAME, LONGEST_REASON = 100, 1000
NO_REASON = "no reason given"


@dataclass(frozen=True)
class ItemStep:
    """A step that a person can make: the status that it leads to, and its effect in words."""

    status: str
    means: str


STEPS = {
    "ack": ItemStep("ACKNOWLEDGED", "someone has seen it"),
    "start": ItemStep("IN_PROGRESS", "someone works on it"),
    "fixed": ItemStep("VERIFYING", "analyses verify it, and resolve it once they measure that it is fast again"),
    "accept": ItemStep("ACCEPTED", "its current level becomes the baseline"),
    "dismiss": ItemStep("DISMISSED", "flagging it again takes stronger evidence, and only a person reopens it"),
    "reopen": ItemStep("OPEN", "its next episode begins"),
}


def possible(item: Item) -> list[str]:
    """Return the steps that a person can make now."""
    if not item.is_active:
        return ["reopen"]
    return [word for word, step in STEPS.items() if word != "reopen" and step.status != item.status]


def require_possible(item: Item, word: str) -> None:
    """Raise UserError unless a person can make a step now."""
    if word in possible(item):
        return
    if item.is_active and word == "reopen":
        raise UserError(f"Item {item.id} is {item.status}, so it needs no reopening")
    if item.status == STEPS[word].status:
        raise UserError(f"Item {item.id} is already {item.status}")
    raise UserError(f"Item {item.id} is closed, as {item.status}: `leo-telemetry items reopen` opens it again")


def require_person(name: str) -> None:
    """Raise UserError if a name stands for analyses, or is too long."""
    if name == SYSTEM:
        raise UserError(f"The name {SYSTEM} stands for analyses: give the name of a person")
    if len(name) > LONGEST_NAME:
        raise UserError(f"The name has {len(name):,} characters: write at most {LONGEST_NAME}")


def require_short(reason: str) -> None:
    """Raise UserError if a reason is too long."""
    if len(reason) > LONGEST_REASON:
        raise UserError(f"The reason has {len(reason):,} characters: write at most {LONGEST_REASON:,}")


def make(
    database: Database, item: Item, word: str, by: str, reason: str, at: datetime, until: datetime | None = None
) -> str:
    """Make a step, and return what became of the item, as a sentence. Raises UserError."""
    require_possible(item, word)
    require_short(reason)
    if until and until <= at:
        raise UserError(f"{until:%Y-%m-%d} has begun already: give a later day")
    step = STEPS[word]
    transition = Transition(item.id, item.status, step.status, item.status_since, at, by, reason, dismissed_until=until)
    with database.transaction() as cursor:
        if not store.move(cursor, transition):
            raise UserError(f"Item {item.id} was changed by someone else meanwhile: look at it again")
    about = item_resolutions.dimensions_of(item.source_detail)
    name = in_a_line(":".join(about[0]) if about else item.title)
    more = f" and {len(about) - 1} more" if len(about) > 1 else ""
    means = f"it may return from {until:%Y-%m-%d} on" if until else step.means
    return f"{step.status}. {name}{more}: {means}."

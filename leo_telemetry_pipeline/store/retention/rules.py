"""What may go, and when: the rules of retention.

Belongs here: pure functions over what is known of a day, and what a round of maintenance has to say.
Does not: any statement (maintenance, partitions), files (archive), counting a day for good (history.histograms).

A day is sealed a week before it may go, so that a day that is counted again still finds the handoffs and waits around
it. It goes when it is older than the limit and nothing of it was imported or put back since.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from leo_telemetry_pipeline.store.days import DAY, midnight
from leo_telemetry_pipeline.store.dimensions import REACH_MS

REACH = timedelta(milliseconds=REACH_MS)


@dataclass(frozen=True)
class Part:
    """A sealed part of a day: its spans have ``since`` <= created_at < ``before``."""

    day: date
    number: int
    since: datetime | None
    before: datetime
    archive_id: str


@dataclass(frozen=True)
class Archived:
    """A file that is written, or would be."""

    day: date
    part: int
    file: str
    spans: int


@dataclass(frozen=True)
class Limit:
    """What is old: today, and how many days of spans are kept before it."""

    today: date
    keep_days: int

    @property
    def first_kept(self) -> date:
        """The oldest day that is kept whenever it was imported."""
        return self.today - self.keep_days * DAY

    @property
    def first_unsealed(self) -> date:
        """The oldest day that is still counted again when spans come for it."""
        return self.first_kept + REACH


@dataclass(frozen=True)
class Sealed:
    """A part of a day whose history is final."""

    part: Part
    spans: int
    archived: bool
    dropped: bool
    restored_at: datetime | None


@dataclass(frozen=True)
class Day:
    """A day in the table: its spans, when the newest of them was stored, its parts in order, its partition's bytes."""

    day: date
    spans: int
    newest: datetime | None
    parts: tuple[Sealed, ...] = ()
    partition_bytes: int | None = None


def is_due(day: Day, limit: Limit) -> bool:
    """Decide whether a day is to go: it, its last import and its last restore are older than the limit."""
    moments = [day.newest, *[part.restored_at for part in day.parts]]
    return day.day < limit.first_kept and all(at < midnight(limit.first_kept) for at in moments if at is not None)


def is_to_seal(day: Day, limit: Limit) -> bool:
    """Decide whether a day is to be sealed now; what came after that is sealed when the day is to go."""
    if not day.spans or day.day >= limit.first_unsealed:
        return False
    return not day.parts or (is_due(day, limit) and not is_all_sealed(day))


def is_all_sealed(day: Day) -> bool:
    """Tell whether every span of a day is in a sealed part."""
    return day.newest is None or bool(day.parts and day.newest < day.parts[-1].part.before)


def to_archive(day: Day) -> list[Part]:
    """Return the parts of a day that have no file yet, and still have spans to write."""
    return [part.part for part in day.parts if not part.archived and not part.dropped]


def may_go(day: Day, limit: Limit, *, archives: bool) -> bool:
    """Decide whether a day may be dropped at this moment, with nothing that is not counted and archived."""
    return is_due(day, limit) and is_all_sealed(day) and not (archives and day.spans and to_archive(day))


def near(day: date, unsealed: Sequence[date]) -> bool:
    """Tell whether a day that could not be sealed may still need the handoffs and waits of this one."""
    return any(abs(day - other) <= REACH for other in unsealed)


@dataclass(frozen=True)
class Dropped:
    """A day that went, or would."""

    day: date
    spans: int
    bytes: int


@dataclass
class Report:
    """What a round of maintenance did; of a dry run, what it would do.

    ``waiting`` are days that were due and are still there, since something around them could not be sealed or they
    changed; ``left_to_others`` is how many steps another maintenance was doing.
    """

    dry_run: bool
    keep_days: int
    kept_from: date
    partitions_made: int = 0
    moved: dict[str, int] = field(default_factory=dict)
    sealed: list[tuple[date, int]] = field(default_factory=list)
    archived: list[Archived] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    p50_rows: int = 0
    quarantined: int = 0
    drains: int = 0
    waiting: list[date] = field(default_factory=list)
    left_to_others: int = 0
    problems: list[str] = field(default_factory=list)

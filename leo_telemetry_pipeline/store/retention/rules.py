"""Retention rules: when a day is sealed, archived and dropped.

Belongs here: pure functions over the state of a day, and the report of a maintenance run.
Does not: SQL (maintenance, partitions), files (archive), sealing a day (history.histograms).

A day is sealed a week before it may be dropped, so that a recounted day still finds the handoffs and waits around it.
A day is dropped once the day, its last import and its last restore are all older than the limit.
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
    """A file that was written, or in a dry run would be."""

    day: date
    part: int
    file: str
    spans: int


@dataclass(frozen=True)
class Limit:
    """The retention limit: today, and the number of days before it that are kept."""

    today: date
    keep_days: int

    @property
    def first_kept(self) -> date:
        """The oldest day that is kept regardless of when it was imported."""
        return self.today - self.keep_days * DAY

    @property
    def first_unsealed(self) -> date:
        """The oldest day that is still recounted when spans arrive for it."""
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
    """A day in the table: its spans, storage time of the newest, sealed parts in order, size of its partition."""

    day: date
    spans: int
    newest: datetime | None
    parts: tuple[Sealed, ...] = ()
    partition_bytes: int | None = None


def is_due(day: Day, limit: Limit) -> bool:
    """Return whether a day is due to be dropped: it, its last import and its last restore are older than the limit."""
    times = [day.newest, *[part.restored_at for part in day.parts]]
    return day.day < limit.first_kept and all(time < midnight(limit.first_kept) for time in times if time is not None)


def is_to_seal(day: Day, limit: Limit) -> bool:
    """Return whether a day is to be sealed now; spans that arrive later are sealed when the day is due."""
    if not day.spans or day.day >= limit.first_unsealed:
        return False
    return not day.parts or (is_due(day, limit) and not is_all_sealed(day))


def is_all_sealed(day: Day) -> bool:
    """Return whether every span of a day is in a sealed part."""
    return day.newest is None or bool(day.parts and day.newest < day.parts[-1].part.before)


def to_archive(day: Day) -> list[Part]:
    """Return the parts of a day that are not archived and still have spans."""
    return [part.part for part in day.parts if not part.archived and not part.dropped]


def may_drop(day: Day, limit: Limit, *, archives: bool) -> bool:
    """Return whether a day may be dropped now, with everything counted and archived."""
    return is_due(day, limit) and is_all_sealed(day) and not (archives and day.spans and to_archive(day))


def near(day: date, unsealed: Sequence[date]) -> bool:
    """Return whether an unsealed day may still need the handoffs and waits of this one."""
    return any(abs(day - other) <= REACH for other in unsealed)


@dataclass(frozen=True)
class Dropped:
    """A day that was dropped, or in a dry run would be."""

    day: date
    spans: int
    bytes: int


@dataclass
class Report:
    """What a maintenance run did, or in a dry run would do.

    ``waiting``: due days that were kept, because a day around them could not be sealed or because they changed.
    ``left_to_others``: number of steps that another maintenance run was doing.
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

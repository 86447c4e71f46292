"""Whether a file may be stored: a wrong one is stopped before anything of it is, and so is one of impossible times.

Belongs here: the decision, from the first spans and bad lines of a file, and what is said of it.
Does not: reading (reader), which times are plausible (plausible), storing (cli.import_files).
"""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.sources import plausible
from leo_telemetry_pipeline.sources.files import column_maps, unsupported
from leo_telemetry_pipeline.sources.files.reader import BadLine, Seen
from leo_telemetry_pipeline.sources.rows import REQUIRED
from leo_telemetry_pipeline.span import Span

MOST_BAD = 100
JUDGED = 1_000
# Bad lines among the spans that are judged wait in memory.
_MOST_WAITING = 10_000
_EXIT = 1


class Refused(UserError):
    """A file of which nothing is stored; the message names it, what it looks like, and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(message, _EXIT)


@dataclass(frozen=True)
class Rules:
    """What a file is judged by: the time, the days that spans are kept, and whether any times are accepted.

    With ``end_wins``, a duration that contradicts plausible moments becomes the time between them.
    """

    now_ms: int
    keep_days: int
    accept: bool = False
    end_wins: bool = True


@dataclass
class FileCheck:
    """The check of one file, from its name, its column map and what reading it has ``seen``.

    ``wrong`` counts what is wrong with the times of admitted spans; the caller notes it and clears it.
    """

    name: str
    rules: Rules
    seen: Seen = field(default_factory=Seen)
    column_map: dict[str, str] | None = None
    preset: str | None = None
    wrong: Counter[str] = field(default_factory=Counter)

    def admit(self, items: Iterable[Span | BadLine]) -> Iterator[Span | BadLine]:
        """Yield what was read from a file, from the moment on when it is clear that it may be stored. Raises Refused.

        It may not where a hundred bad lines come before any span, where there are bad lines and not one span, or where
        the times of more than half of its first thousand spans cannot be true.
        """
        remaining = iter(items)
        first, spans = self._first(remaining)
        if not spans:
            self._refuse_empty(first)
        elif not self.rules.accept:
            self._refuse_times([item for item in first if isinstance(item, Span)])
        for item in chain(first, remaining):
            if isinstance(item, Span):
                self._judge(item)
            yield item

    def _first(self, remaining: Iterator[Span | BadLine]) -> tuple[list[Span | BadLine], int]:
        first: list[Span | BadLine] = []
        spans = 0
        for item in remaining:
            first.append(item)
            spans += isinstance(item, Span)
            if spans == JUDGED or len(first) == (_MOST_WAITING if spans else MOST_BAD):
                break
        return first, spans

    def _judge(self, span: Span) -> None:
        wrong = self._wrong_with(span)
        if wrong is None:
            return
        self.wrong[wrong] += 1
        if wrong == plausible.CONTRADICTION and self.rules.end_wins and span.end_time_ms is not None:
            span.duration_ms = span.end_time_ms - span.start_time_ms

    def _wrong_with(self, span: Span) -> str | None:
        return plausible.wrong_with(
            span.start_time_ms,
            span.end_time_ms,
            span.duration_ms,
            now_ms=self.rules.now_ms,
            keep_days=self.rules.keep_days,
        )

    def _refuse_empty(self, bad: Sequence[Span | BadLine]) -> None:
        lines = [item for item in bad if isinstance(item, BadLine)]
        if not lines and not self.seen.others:
            return  # nothing in it, as on a quiet day
        if not lines:
            raise Refused(f"{self.name}: no spans in it: these are logs or metrics of OpenTelemetry: export its traces")
        where = f"not one span in its first {len(lines)} lines" if len(lines) == MOST_BAD else "not one span in it"
        known = unsupported.likely(self.seen.head)
        times = [line.times for line in lines if line.times]
        if 2 * len(times) > len(lines):
            guess = self._units(times).removesuffix("; ") or _EXPECTED
        elif known is not None and not any(line.text for line in lines):
            guess = f"it looks like {known.name}: {known.remedy}"
        else:
            guess = _EXPECTED
        raise Refused(f"{self.name}: {where} (line {lines[0].line}: {lines[0].reason}); {guess}")

    def _refuse_times(self, spans: Sequence[Span]) -> None:
        found = Counter(filter(None, map(self._wrong_with, spans)))
        if 2 * found.total() <= len(spans):
            return
        wrong, count = found.most_common(1)[0]
        of = f"of its first {len(spans)} spans" if len(spans) == JUDGED else f"of its {len(spans)} span(s)"
        if wrong == plausible.CONTRADICTION:
            advice = self._duration_unit(spans)
        else:
            advice = self._units([(span.start_time_ms, span.end_time_ms) for span in spans])
        first, last = (moment(pick(span.start_time_ms for span in spans)) for pick in (min, max))
        days = f"they are of {first}" if first == last else f"they span from {first} to {last}"
        raise Refused(
            f"{self.name}: nothing stored, as the times cannot be true ({count} {of}: {wrong}; {days}): "
            f"{advice}--accept-times stores them all the same"
        )

    def _units(self, times: Sequence[tuple[int, int | None]]) -> str:
        """Return what unit moments look like, and what to type about it."""
        clock = self.seen.clocks.most_common(1)
        if clock:
            # Only rows have columns with names; in a request the field has one unit.
            name, _, own = clock[0][0].rpartition(":")
            per_ms = 1_000_000 // column_maps.UNITS[own]
            unit = plausible.likely_unit(start * per_ms for start, _ in times)
            if unit in (None, own):
                return ""
            return f"{name} looks like {plausible.WORDS[unit]} where {plausible.WORDS[own]} belong; "
        unit = plausible.likely_unit(start for start, _ in times)
        if unit is None or unit == "ms":
            return ""
        ends = [end for _, end in times if end is not None]
        targets = ["start_time_ms"]
        if ends and plausible.likely_unit(ends) == unit:
            targets.append("end_time_ms")
        units = dict.fromkeys(targets, unit)
        return self._typed(units) or f"these look like {plausible.WORDS[unit]}: use `{self._option(units)}`; "

    def _duration_unit(self, spans: Sequence[Span]) -> str:
        unit = plausible.likely_duration_unit(
            (span.end_time_ms - span.start_time_ms, span.duration_ms)
            for span in spans
            if span.end_time_ms is not None and span.duration_ms is not None
        )
        if unit is None or self.seen.clocks:
            return ""
        units = {"duration_ms": unit}
        return self._typed(units) or (f"the durations look like {plausible.WORDS[unit]}: use `{self._option(units)}`; ")

    def _typed(self, units: dict[str, str]) -> str:
        """Return what to do about columns whose type has a unit, which no map can change."""
        columns = sorted({self._column(target) for target in units} & self.seen.exact_times)
        if not columns:
            return ""
        named = ", ".join(columns)
        return f"the type of {named} has another unit than its values: write it as int64 or by the right type; "

    def _column(self, target: str) -> str:
        whole = {**column_maps.preset(self.preset), **(self.column_map or {})} if self.preset else self.column_map
        return column_maps.column_of(target, whole)

    def _option(self, units: dict[str, str]) -> str:
        mended = {target: f"{self._column(target)}:{unit}" for target, unit in units.items()}
        return f"--map {shlex.quote(column_maps.as_text({**(self.column_map or {}), **mended}))}"


_EXPECTED = f"a file of spans has {', '.join(REQUIRED)} per line, OTLP/JSON, Zipkin v2 or Jaeger JSON"


def moment(milliseconds: int) -> str:
    """Return the UTC day of a moment."""
    from datetime import UTC, datetime, timedelta

    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds):%Y-%m-%d}"

"""Admission check of a file: refuses wrong files and impossible times before anything is stored.

Belongs here: the decision, from the first spans and bad lines of a file, and its message. Does not: reading (reader),
which times are plausible (plausible), storing (cli.import_files).
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
# Spans and bad lines held in memory until the decision.
_MOST_WAITING = 10_000
_EXIT = 1


class Refused(UserError):
    """A refused file, of which nothing is stored; the message names the file, its likely format and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(message, _EXIT)


@dataclass(frozen=True)
class AdmissionRules:
    """Criteria of the check: current time, retention in days, and whether all times are accepted.

    With ``end_wins``, a duration that contradicts plausible moments is replaced by the time between them.
    """

    now_ms: int
    keep_days: int
    accept: bool = False
    end_wins: bool = True


@dataclass
class FileCheck:
    """The check of one file, given its name, its column map and what the reader has ``seen``.

    ``wrong`` counts the implausible times of admitted spans by reason; the caller records and clears it.
    """

    name: str
    rules: AdmissionRules
    seen: Seen = field(default_factory=Seen)
    column_map: dict[str, str] | None = None
    preset: str | None = None
    wrong: Counter[str] = field(default_factory=Counter)

    def admit(self, items: Iterable[Span | BadLine]) -> Iterator[Span | BadLine]:
        """Yield the items of a file once it is admitted. Raises Refused.

        A file is refused if a hundred bad lines precede the first span, if it has bad lines but no spans, or if more
        than half of its first thousand spans have impossible times.
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
            span.duration_ms, span.duration_rest_us = span.end_time_ms - span.start_time_ms, None

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
            return  # empty, as on a quiet day
        if not lines:
            raise Refused(f"{self.name}: no spans, only OpenTelemetry logs or metrics: export traces instead")
        where = f"no spans in its first {len(lines)} lines" if len(lines) == MOST_BAD else "no spans in it"
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
        faults = Counter(filter(None, map(self._wrong_with, spans)))
        if 2 * faults.total() <= len(spans):
            return
        wrong, count = faults.most_common(1)[0]
        of = f"of its first {len(spans)} spans" if len(spans) == JUDGED else f"of its {len(spans)} span(s)"
        if wrong == plausible.CONTRADICTION:
            advice = self._duration_unit(spans)
        else:
            advice = self._units([(span.start_time_ms, span.end_time_ms) for span in spans])
        first, last = (moment(pick(span.start_time_ms for span in spans)) for pick in (min, max))
        days = f"all on {first}" if first == last else f"from {first} to {last}"
        raise Refused(
            f"{self.name}: nothing stored, since the times cannot be true ({count} {of}: {wrong}; {days}): "
            f"{advice}--accept-times stores them anyway"
        )

    def _units(self, times: Sequence[tuple[int, int | None]]) -> str:
        """Return the likely unit of some moments, and the option to use."""
        clock = self.seen.clocks.most_common(1)
        if clock:
            # In a trace request, unlike in rows, a field's unit is fixed.
            name, _, own = clock[0][0].rpartition(":")
            per_ms = 1_000_000 // column_maps.UNITS[own]
            unit = plausible.likely_unit(start * per_ms for start, _ in times)
            if unit in (None, own):
                return ""
            return f"{name} looks like {plausible.WORDS[unit]} instead of {plausible.WORDS[own]}; "
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
        """Return the remedy for columns whose type includes a unit, which a column map cannot change."""
        columns = sorted({self._column(target) for target in units} & self.seen.exact_times)
        if not columns:
            return ""
        named = ", ".join(columns)
        return f"the type of {named} has a different unit from its values: write it as int64 or with the right type; "

    def _column(self, target: str) -> str:
        whole = {**column_maps.preset(self.preset), **(self.column_map or {})} if self.preset else self.column_map
        return column_maps.column_of(target, whole)

    def _option(self, units: dict[str, str]) -> str:
        corrected = {target: f"{self._column(target)}:{unit}" for target, unit in units.items()}
        return f"--map {shlex.quote(column_maps.as_text({**(self.column_map or {}), **corrected}))}"


_EXPECTED = f"a file of spans has {', '.join(REQUIRED)} per line, OTLP/JSON, Zipkin v2 or Jaeger JSON"


def moment(milliseconds: int) -> str:
    """Return the UTC day of a moment."""
    from datetime import UTC, datetime, timedelta

    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds):%Y-%m-%d}"

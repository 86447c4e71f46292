"""Changed mixes of work: what is said when only shares change, and when one slice gets slower meanwhile.

Belongs here: simulated spans and the measurements, with random seeds. Does not: judging, the decision (analysis).

Each history has 30 spans per day and 2 to 6 slices, whose durations differ by a factor of up to 20. After twelve weeks,
all shares are drawn anew, in half of the histories with another volume, and a week later ten dimensions and their
slices are judged at once. A quick run has fewer histories.
"""

import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from benchmarks import generate, measure, mixed_parts, series
from benchmarks.bench_changes import at_most
from benchmarks.measure import Budget, Options, judge, run
from benchmarks.mixed_parts import Traces
from benchmarks.table import Measured
from leo_telemetry_pipeline import execution
from leo_telemetry_pipeline.analysis import baselines, bottlenecks, judgement, levels, mixes, slices, tails
from leo_telemetry_pipeline.analysis.changes import date_of
from leo_telemetry_pipeline.analysis.levels import DailyP50s
from leo_telemetry_pipeline.daily_rows import Rows
from leo_telemetry_pipeline.dimension import Baseline, Dimension, Judgement
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store import spans as store
from leo_telemetry_pipeline.store.days import DAY, midnight, milliseconds
from leo_telemetry_pipeline.store.history.histograms import GAMMA, LEVELS
from leo_telemetry_pipeline.store.server.database import Database

PAST, WEEK, SPANS = 84, 7, 30
DAYS, BUCKETS = 1_000, 10_000
SIGMA = 0.5
SLICES = (2, 6)
RATIO = 20.0
TOGETHER = 10
HOSTS, HOST_SPANS, HOST_SLOW = 4, 10, 5.0
# The least share, before and since, of a slice that gets slower.
SHARE = 0.15


@dataclass(frozen=True)
class Drawn:
    """Spans of some dimensions: number of the dimension, its slice, day and log of the duration in ms, one per span.

    ``around``: the spans around them, if they are in traces.
    """

    whole: np.ndarray
    slice_: np.ndarray
    day: np.ndarray
    log_ms: np.ndarray
    slow: dict[int, int]
    around: Traces | None = None

    def columns(self) -> tuple[np.ndarray, ...]:
        """Return the columns of spans."""
        return self.whole, self.slice_, self.day, self.log_ms

    def dimensions(self) -> list[Dimension]:
        """Return the dimensions, each followed by its slices."""
        names = []
        for whole in range(TOGETHER):
            there = np.unique(self.slice_[self.whole == whole])
            names += [("gate", f"G{whole}"), *(("gate+sd_type", f"G{whole}:v{slice_}") for slice_ in there)]
            names += [(span_type, f"G{whole}") for span_type in ("phase", "handoff") if self.around]
        return names

    def of(self, name: Dimension) -> tuple[np.ndarray, np.ndarray]:
        """Return day and log ms of the spans of a dimension."""
        whole, _, slice_ = name[1][1:].partition(":v")
        if self.around and name[0] in ("phase", "handoff"):
            _, day, ms = self.around.of(name[0], int(whole))
            return day, np.log(ms)
        at = np.flatnonzero((self.whole == int(whole)) & ((self.slice_ == int(slice_)) if slice_ else True))
        return self.day[at], self.log_ms[at]


def drawn(rng: np.random.Generator, *, correlation: float = 0.0, slow: float | None = None) -> Drawn:
    """Draw spans; ``slow``: the factor of one slice with enough spans, which no other slice shares."""
    columns: list[list[np.ndarray]] = [[], [], [], []]
    chosen = {}
    for whole in range(TOGETHER):
        shares, enough = _shares(rng, is_any=slow is None)
        count = shares.shape[1]
        median = np.log(1000) + rng.uniform(0, np.log(RATIO), count)
        volume = SPANS * (np.exp(rng.uniform(-1, 1)) if slow is None and rng.random() < 0.5 else 1.0)
        for day in range(PAST + WEEK):
            is_new = day >= PAST
            spans = rng.multinomial(rng.poisson(volume if is_new else SPANS), shares[int(is_new)])
            slice_ = np.repeat(np.arange(count), spans)
            shared = np.sqrt(correlation) * rng.standard_normal()
            logs = median[slice_] + SIGMA * (shared + np.sqrt(1 - correlation) * rng.standard_normal(len(slice_)))
            if slow is not None and is_new:
                chosen.setdefault(whole, int(rng.choice(enough)))
                logs += np.where(slice_ == chosen[whole], np.log(slow), 0.0)
            for column, values in zip(
                columns, (np.full(len(slice_), whole), slice_, np.full(len(slice_), day), logs), strict=True
            ):
                column.append(values)
    return Drawn(*map(np.concatenate, columns), slow=chosen)


def hosts(rng: np.random.Generator, correlation: float) -> Drawn:
    """Draw operations on four hosts, 40 spans per day; one host of each takes five times as long after the change."""
    shape = TOGETHER, PAST + WEEK, HOSTS, HOST_SPANS
    whole, day, slice_, _ = np.indices(shape)
    shared = np.sqrt(correlation) * rng.standard_normal((*shape[:3], 1))
    logs = np.log(1000) + SIGMA * (shared + np.sqrt(1 - correlation) * rng.standard_normal(shape))
    slow = rng.integers(0, HOSTS, TOGETHER)
    logs += np.where((slice_ == slow[whole]) & (day >= PAST), np.log(HOST_SLOW), 0.0)
    return Drawn(whole.ravel(), slice_.ravel(), day.ravel(), logs.ravel(), dict(enumerate(slow.tolist())))


def _shares(rng: np.random.Generator, *, is_any: bool) -> tuple[np.ndarray, np.ndarray]:
    """Draw the shares of 2 to 6 slices, before and since; second, the slices with enough spans, at least one or any."""
    while True:
        shares = rng.dirichlet(np.ones(int(rng.integers(SLICES[0], SLICES[1] + 1))), 2)
        enough = np.flatnonzero(shares.min(axis=0) >= SHARE)
        if is_any or len(enough):
            return shares, enough


def rows_of(spans: Drawn, dimensions: Sequence[Dimension]) -> Rows:
    """Return the history of some dimensions, as the store reads it."""
    dimension, day, bucket = [], [], []
    for place, name in enumerate(dimensions):
        days, log_ms = spans.of(name)
        dimension.append(np.full(len(days), place))
        day.append(days)
        bucket.append(np.ceil(log_ms / np.log(GAMMA)).astype(np.int64))
    at = (np.concatenate(dimension) * DAYS + np.concatenate(day)) * BUCKETS + np.concatenate(bucket)
    cells, counts = np.unique(at, return_counts=True)
    rows, buckets = np.divmod(cells, BUCKETS)
    first = np.flatnonzero(np.diff(rows, prepend=-1))
    count = np.add.reduceat(counts, first)
    ends = np.append(first[1:], len(counts))
    low, high = (GAMMA ** (buckets[place] - 0.5) for place in (first, ends - 1))
    return Rows(*np.divmod(rows[first], DAYS), count, count * low, low, high, count, ends, buckets, counts)


def judged(spans: Drawn, days: int = WEEK) -> list[Judgement]:
    """Judge the window up to ``days`` after the change as an analysis does, after looks every four weeks."""
    names = spans.dimensions()
    rows = rows_of(spans, names)
    day, *more = levels.of_rows(rows, *LEVELS)
    kept: list[Baseline] = []
    latest: list[Judgement] = []
    for end in (*range(4 * WEEK, PAST + 1, 4 * WEEK), PAST + days):
        at = np.flatnonzero(day < end)
        every = DailyP50s(names, rows.dimension[at], series.MONDAY + day[at], *(column[at] for column in more))
        read = levels.days_of(every.without_tails({"gate+sd_type"}))
        found = levels.change_points(read)
        learned = baselines.learn(read, found, kept)
        kept = list(learned.values())
        window_end = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=series.MONDAY + end)
        latest = judgement.judge(read, found, learned, window_end - timedelta(days=WEEK), window_end)
    of = slices.slices_of(names)
    candidates = mixes.candidates(latest, of)
    rows = [rows_of(spans, [slice_ for _, slice_ in candidates])] if candidates else []
    start = date_of(series.MONDAY + PAST + days - WEEK)
    settled = mixes.settled(latest, of, candidates, rows, date_of(series.MONDAY), start, GAMMA)
    slow = [one.dimension for one in settled if one.tail and one.tail.outcome == "bottleneck"]
    history = [rows_of(spans, slow)] if slow else []
    settled = tails.with_slow_calls(settled, slow, history, (date_of(series.MONDAY), start), GAMMA)
    if spans.around:
        settled = mixed_parts.with_mixed_parts(settled, spans.around, PAST + days)
    return slices.like_wholes(settled, of, {"gate+sd_type"})


def _is_slow(one: Judgement) -> bool:
    return one.outcome == "bottleneck" or bottlenecks.minority(one) is not None


def mixes_only(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure what is said when only shares change."""
    count = TOGETHER if options.quick else 200
    items = said = rose = 0
    for _ in range(count // TOGETHER):
        spans = drawn(rng)
        found = {one.dimension: one for one in judged(spans)}
        for whole in range(TOGETHER):
            items += any(_is_slow(one) for name, one in found.items() if name[1].partition(":")[0] == f"G{whole}")
            is_slow = _is_over(found["gate", f"G{whole}"])
            rose += is_slow
            said += is_slow and found["gate", f"G{whole}"].outcome == "mix"
    what = f"{count} histories with 2 to 6 slices, {SPANS} spans per day, of which only the shares change; {seed}"
    yield judge(f"items: {what}", 100 * items / count, "%", at_most(0.01, count, options), options)
    share = 100 * said / max(rose, 1) if rose else 100.0
    least = Budget(95 - (20 if options.quick else 0), "%", at_least=True, timed=False)
    yield judge(f"called mix, of {rose} over their threshold: {what}", share, "%", least, options)


def mixed_parts_only(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure what is said of phases and handoffs around gates of which only shares change."""
    count = TOGETHER if options.quick else 200
    items = said = rose = 0
    for _ in range(count // TOGETHER):
        spans = within_traces(rng, drawn(rng))
        found = {one.dimension: one for one in judged(spans)}
        for whole in range(TOGETHER):
            items += any(_is_slow(one) for name, one in found.items() if name[1].partition(":")[0] == f"G{whole}")
            outcomes = [found[kind, f"G{whole}"].outcome for kind in ("phase", "handoff")]
            said += outcomes.count("mix")
            rose += outcomes.count("mix") + outcomes.count("bottleneck")
    what = f"{count} histories with a phase and a handoff around the slices, of which only the shares change; {seed}"
    yield judge(f"items: {what}", 100 * items / count, "%", at_most(0.01, count, options), options)
    share = 100 * said / rose if rose else 100.0
    least = Budget(95 - (20 if options.quick else 0), "%", at_least=True, timed=False)
    yield judge(f"called mix, of {rose} that would be bottlenecks: {what}", share, "%", least, options)


def slow_parts(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure how often the one slice that gets slower below a phase and a handoff is found, and not called a mix."""
    count = TOGETHER if options.quick else 200
    found = 0
    for _ in range(count // TOGETHER):
        spans = within_traces(rng, drawn(rng, slow=2.0))
        outcomes = {one.dimension: one.outcome for one in judged(spans)}
        found += sum(
            outcomes["gate+sd_type", f"G{whole}:v{slice_}"] == "bottleneck" for whole, slice_ in spans.slow.items()
        )
    what = f"slices x 2 that are found below a phase and a handoff while shares change: {count}; {seed}"
    least = Budget(95 - (20 if options.quick else 0), "%", at_least=True, timed=False)
    yield judge(what, 100 * found / count, "%", least, options)


def within_traces(rng: np.random.Generator, spans: Drawn) -> Drawn:
    """Return the spans with phases and handoffs around them."""
    return replace(spans, around=mixed_parts.around(rng, *spans.columns()))


def _is_over(one: Judgement) -> bool:
    return any(guard.name == "large_enough" and guard.passed for guard in one.guards)


def slow_slices(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure how often the one slice that gets slower while shares change is found."""
    count = TOGETHER if options.quick else 200
    for correlation, share in ((0.0, 95), (0.2, 70))[: 1 if options.quick else None]:
        found = 0
        for _ in range(count // TOGETHER):
            spans = drawn(rng, correlation=correlation, slow=2.0)
            outcomes = {one.dimension: one.outcome for one in judged(spans)}
            found += sum(
                outcomes["gate+sd_type", f"G{whole}:v{slice_}"] == "bottleneck" for whole, slice_ in spans.slow.items()
            )
        what = f"slices x 2 that are found while shares change: {count}, correlation {correlation:g}; {seed}"
        least = Budget(share - (20 if options.quick else 0), "%", at_least=True, timed=False)
        yield judge(what, 100 * found / count, "%", least, options)


def slow_hosts(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure how often the one slow host of four is found and named, within three and seven days."""
    count = TOGETHER if options.quick else 200
    for days, correlation, share in ((3, 0.0, 95), (WEEK, 0.0, 99), (3, 0.2, 95), (WEEK, 0.2, 99))[
        : 1 if options.quick else None
    ]:
        named = 0
        for _ in range(count // TOGETHER):
            spans = hosts(rng, correlation)
            found = judged(spans, days)
            alone = slices.slow_alone(found, slices.slices_of(spans.dimensions()))
            named += sum(
                alone.get(("gate", f"G{whole}")) == ("sd_type", f"v{slice_}") for whole, slice_ in spans.slow.items()
            )
        what = f"one of four hosts x 5 named within {days} days: {count}, correlation {correlation:g}; {seed}"
        least = Budget(share - (20 if options.quick else 0), "%", at_least=True, timed=False)
        yield judge(what, 100 * named / count, "%", least, options)


def stored(groups: Sequence[Drawn]) -> Iterator[Span]:
    """Yield the spans of several draws as operations of callers, up to the last midnight."""
    first = midnight(datetime.now(UTC).date()) - (PAST + WEEK) * DAY
    for number, spans in enumerate(groups):
        for whole, slice_, day, log_ms in zip(*(column.tolist() for column in spans.columns()), strict=True):
            start, took = milliseconds(first + day * DAY), round(float(np.exp(log_ms)))
            yield Span(
                trace_id=str(uuid.uuid4()),
                span_id=str(uuid.uuid4()),
                span_type="operation",
                span_name=f"{number}-{whole}",
                start_time_ms=start,
                end_time_ms=start + took,
                duration_ms=took,
                attributes={"caller": f"v{slice_}"},
            )


def by_pipeline(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure how many histories of one database a real analysis judges rightly; a test does so for a quick run."""
    if options.quick:
        return
    groups = [drawn(rng), drawn(rng), drawn(rng, slow=2.0), hosts(rng, 0.0)]
    with generate.server() as (home, target), closing(Database(target)) as connection:
        os.environ[measure.HOME] = str(home)
        today = midnight(datetime.now(UTC).date())
        store.ensure_partitions(connection, today - (PAST + WEEK) * DAY, today + DAY)
        store.insert(connection, list(stored(groups)))
        with execution.instance(target, Settings()) as dagster:
            execution.analyse(dagster, {"leo_telemetry/window_end": today.isoformat()})
        last = runs.last_succeeded(connection)
        assert last is not None
        assert last.output_ref is not None
        causes = {each["cause"] for each in last.output_ref["bottlenecks"]}
    right = 0
    for number, spans in enumerate(groups):
        for whole in range(TOGETHER):
            name = f"{number}-{whole}"
            named = {cause for cause in causes if cause.partition(":")[2].partition(":")[0] == name}
            slow = spans.slow.get(whole)
            right += named == (set() if slow is None else {f"operation+caller:{name}:v{slow}"})
    what = f"histories whose only cause is named, or that have none, in one real analysis; {seed}"
    total = len(groups) * TOGETHER
    yield judge(what, right, f"of {total}", Budget(0.9 * total, f"of {total}", at_least=True, timed=False), options)


def measurements(options: Options) -> Iterator[Measured]:
    """Measure with a seed that is different each time and shown in the table."""
    seed = time.time_ns() % 2**32
    rng = np.random.default_rng(seed)
    yield from mixes_only(rng, options, f"seed {seed}")
    yield from slow_slices(rng, options, f"seed {seed}")
    yield from mixed_parts_only(rng, options, f"seed {seed}")
    yield from slow_parts(rng, options, f"seed {seed}")
    yield from slow_hosts(rng, options, f"seed {seed}")
    yield from by_pipeline(rng, options, f"seed {seed}")


if __name__ == "__main__":
    raise SystemExit(run(measurements))

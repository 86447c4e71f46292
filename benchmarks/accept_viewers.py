"""A hundred open pages while spans arrive: the pages stay live, and the receiver does not feel them.

Belongs here: line 3 of issue 17. Does not: viewers (live_viewers), senders (span_senders).
"""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from benchmarks import live_viewers, served, span_senders
from benchmarks.figures import Figure
from benchmarks.live_viewers import Viewer
from benchmarks.served import Receiver
from benchmarks.span_senders import Requests, Sent
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard import version

LINE = "17.3"
MOST_MB = 300
RATE, PER_REQUEST = 1_000, 10
# Between two news: longer than a page takes to see one.
_BETWEEN_S = 2.2


@dataclass(frozen=True)
class Size:
    """How large a trial is: viewers, pairs of rounds, seconds of each round, and what is allowed.

    A small trial shows that everything works on a busy machine; only a full one judges times.
    """

    viewers: int
    pairs: int
    seconds: float
    most_s: float
    most_ratio: float


SIZES = {True: Size(100, 6, 10.0, 2.0, 1.2), False: Size(10, 1, 2.0, 30.0, 30.0)}


@dataclass
class Noted:
    """What the rounds with viewers showed. ``commits``: when each version was committed."""

    commits: dict[str, float] = field(default_factory=dict)
    unseen_s: list[float] = field(default_factory=list)
    news_s: list[float] = field(default_factory=list)
    missed: int = 0
    broken: int = 0

    def add(self, viewers: list[Viewer], commits: dict[str, float], since: float, until: float) -> None:
        """Add a round, in which spans were sent from ``since`` to ``until``."""
        self.commits |= commits
        for viewer in viewers:
            self.broken += viewer.broken
            self.unseen_s.append(viewer.longest_unseen_s(since, until))
            for known, committed_at in commits.items():
                seen_at = viewer.seen_at(known)
                self.missed += seen_at is None
                if seen_at is not None:
                    self.news_s.append(max(0.0, seen_at - committed_at))


def parts(full: bool) -> list[str]:
    """Return the names of the parts."""
    return ["steady", "fastest"] if full else ["all"]


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:
    """Measure one part: spans at a steady rate, or as fast as the receiver takes them."""
    size = SIZES[full]
    served.more_files(size.viewers + 200)
    if part in ("steady", "all"):
        yield from _steady(seed, size)
    if part in ("fastest", "all"):
        yield from _fastest(seed, size)


def _steady(seed: int, size: Size) -> Iterator[Figure]:
    made = Requests(seed, PER_REQUEST)
    with served.receiver() as receiver:
        noted, every = Noted(), list[Sent]()

        async def send() -> Sent:
            every.append(await span_senders.at_rate(receiver.port, made, RATE / PER_REQUEST, size.seconds))
            return every[-1]

        rounds = asyncio.run(_rounds(receiver, size, send, random.Random(seed), noted))
        peak = receiver.megabytes("VmHWM")
        stored = receiver.stored()
    sent = sum(one.spans for one in every)
    what = f"{size.viewers} viewers and {RATE:,} spans/s for {size.pairs * size.seconds:g} s"
    yield Figure(
        LINE,
        f"{what}: every span stored, no stream broken",
        "all, none",
        f"{stored:,} of {sent:,}, {noted.broken} broken",
        stored == sent and not any(one.refused for one in every) and not noted.broken,
    )
    slowest, median = max(noted.news_s, default=0.0), statistics.median(noted.news_s or [0.0])
    yield Figure(
        LINE,
        f"{what}: from the commit of an analysis's request to each of the pages, {len(noted.commits)} times",
        f"at most {size.most_s:g} s, each page",
        f"{median:.1f} s median, {slowest:.1f} s at most, {noted.missed} missed",
        bool(noted.news_s) and slowest <= size.most_s and not noted.missed,
    )
    unseen = max(noted.unseen_s)
    yield Figure(
        LINE,
        f"{what}: longest that a span could be stored without being seen",
        f"at most {size.most_s:g} s",
        f"{unseen:.1f} s",
        0 < unseen <= size.most_s,
    )
    yield Figure(LINE, f"{what}: memory of the server", f"under {MOST_MB} MB", f"{peak:.0f} MB", peak < MOST_MB)
    times = [(with_viewers.p99_ms, without.p99_ms) for with_viewers, without in rounds]
    yield _beside(f"{what}: p99 of a request", "ms", times, size, [seen / alone for seen, alone in times])


def _fastest(seed: int, size: Size) -> Iterator[Figure]:
    made = Requests(seed, 50 * PER_REQUEST)
    with served.receiver() as receiver:

        async def send() -> Sent:
            return await span_senders.at_most(receiver.port, made, size.seconds / 2)

        rounds = asyncio.run(_rounds(receiver, size, send, random.Random(seed), Noted()))
        peak = receiver.megabytes("VmHWM")
    rates = [(with_viewers.rate, without.rate) for with_viewers, without in rounds]
    what = f"{size.viewers} viewers and spans as fast as they are taken"
    yield _beside(f"{what}: throughput", "spans/s", rates, size, [alone / seen for seen, alone in rates])
    yield Figure(LINE, f"{what}: memory of the server", f"under {MOST_MB} MB", f"{peak:.0f} MB", peak < MOST_MB)


def _beside(what: str, unit: str, times: list[tuple[float, float]], size: Size, ratios: list[float]) -> Figure:
    ratio = statistics.median(ratios)
    seen, alone = (statistics.median(of) for of in zip(*times, strict=True))
    return Figure(
        LINE,
        f"{what}, beside none, {size.pairs} pairs of rounds",
        f"at most {size.most_ratio:g} x, median",
        f"{ratio:.2f} x: {seen:,.0f} and {alone:,.0f} {unit}",
        ratio <= size.most_ratio,
    )


async def _rounds(
    receiver: Receiver, size: Size, send: Callable[[], Awaitable[Sent]], chance: random.Random, noted: Noted
) -> list[tuple[Sent, Sent]]:
    """Send with viewers and without, in pairs of random order, after a warm-up; return both of each pair."""
    await send()
    found = []
    for _ in range(size.pairs):
        of_pair = {}
        for has_viewers in chance.sample([True, False], 2):
            of_pair[has_viewers] = await (_watched(receiver, size, send, noted) if has_viewers else send())
        found.append((of_pair[True], of_pair[False]))
    return found


async def _watched(receiver: Receiver, size: Size, send: Callable[[], Awaitable[Sent]], noted: Noted) -> Sent:
    viewers: list[Viewer] = []
    async with live_viewers.looking(receiver.port, size.viewers, viewers):
        over = asyncio.Event()
        news = asyncio.create_task(_news(receiver, over))
        since = time.time()
        sent = await send()
        until = time.time()
        over.set()
        commits = await news
        # The last news has its time to arrive.
        await asyncio.sleep(size.most_s if size.most_s < 5 else 3)
    noted.add(viewers, commits, since, until)
    return sent


async def _news(receiver: Receiver, over: asyncio.Event) -> dict[str, float]:
    """Request and cancel analyses until it is over; return when each version of the pages was committed."""
    commits = {}
    with closing(Database(receiver.target())) as database:
        while not over.is_set():
            for change in (_request, _cancel):
                known, committed_at = await asyncio.to_thread(change, database)
                commits[known] = committed_at
                await asyncio.sleep(_BETWEEN_S)
    return commits


def _request(database: Database) -> tuple[str, float]:
    runs.enqueue(database)
    return version.read(database), time.time()


def _cancel(database: Database) -> tuple[str, float]:
    for queued in runs.waiting(database):
        runs.cancel(database, queued.run_id)
    return version.read(database), time.time()

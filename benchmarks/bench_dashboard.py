"""Every page of the dashboard, with 10,000 dimensions, 1,000 items and 1,000 runs, beside its bare queries.

Belongs here: the measurements. Does not: the content (dashboard_data), the pages.

A page is read and rendered in at most 3 x the time of its queries, which are recorded once and then sent by themselves.
It is answered, from the request to its last compressed byte, in 50 ms at the 95th percentile. A first visit transfers
at most 60 kB. A trace of 100,000 spans opens within a second.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import parse_qsl

from benchmarks import dashboard_data, generate
from benchmarks.dashboard_client import Client
from benchmarks.dashboard_data import Content, Size
from benchmarks.measure import Budget, Options, judge, run
from benchmarks.page_queries import Recorder
from benchmarks.table import Measured
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline.web.dashboard.access import Rights
from leo_telemetry_pipeline.web.dashboard.api import as_json, path_of
from leo_telemetry_pipeline.web.dashboard.minutes import Minutes
from leo_telemetry_pipeline.web.dashboard.page import Asked, Page
from leo_telemetry_pipeline.web.dashboard.registered import NAVIGATION, PAGES
from leo_telemetry_pipeline.web.dashboard.rendering import link, render

RATIO, TIME, SIZE = Budget(3), Budget(50, "ms"), Budget(60, "kB", timed=False)
TRACE_TIME = Budget(1_000, "ms")
QUICK = Size(500, 50, 3_000, 2_000)
FULL = Size(10_000, 1_000, 150_000, 100_000)
LARGEST = Size(10_000, 1_000, 10_000_000, 100_000)


@dataclass(frozen=True)
class Case:
    """What somebody opens: the path of its page, with the parameters that the address gives it."""

    what: str
    address: str
    page: Page
    path: dict[str, str]

    @property
    def query(self) -> dict[str, str]:
        """Query of the address."""
        return dict(parse_qsl(self.address.partition("?")[2]))

    @property
    def api(self) -> str:
        """Address of the same in the API."""
        return path_of(self.address)


def cases(content: Content) -> list[Case]:
    """Return what is opened: each page, and the searches that read most."""
    pages = {page.path: page for page in PAGES}

    def case(what: str, path: str, parameters: dict[str, str] | None = None, **query: str) -> Case:
        given, address = parameters or {}, path
        for name, value in given.items():
            address = address.replace(f"{{{name}}}", value)
        return Case(what, link(address, **query), pages[path], given)

    return [
        case("overview", "/"),
        case("dimensions", "/dimensions"),
        case("search in dimensions", "/dimensions", q="web-1", sort="ratio"),
        case("a dimension", "/dimension", name=content.slow),
        case("two dimensions", "/dimension", {}, **{"name": content.slow, "with": content.other}),
        case("items", "/items"),
        case("search in items", "/items", text="G99", state="active"),
        case("an item", "/items/{id}", {"id": content.item}),
        case("directives", "/directives"),
        case("a directive", "/directives/{key}", {"key": content.directive}),
        case("runs", "/runs"),
        case("failed runs", "/runs", state="failed"),
        case("a run", "/runs/{id}", {"id": content.last_run}),
        case("thresholds", "/thresholds"),
        case("search in thresholds", "/thresholds", text="web-1"),
        case("a threshold", "/threshold", name=content.slow),
        case("a trace", "/trace/{trace_id}", {"trace_id": content.small_trace}),
    ]


def measurements(options: Options) -> Iterator[Measured]:
    """Measure all pages."""
    size = QUICK if options.quick else LARGEST if options.largest else FULL
    with generate.server() as (home, target):
        content = dashboard_data.fill(target, size)
        with Client(Settings({"LEO_TELEMETRY_HOME": str(home)}), target) as client:
            yield from of_database(client, target, content, size, options)


def of_database(client: Client, target: Target, content: Content, size: Size, options: Options) -> Iterator[Measured]:
    """Measure all pages on what is in a database."""
    known, of_api = cases(content), []
    for case in known:
        took = _took(client, target, case, 6 if options.quick else 60)
        bare = statistics.median(took["bare"])
        yield _ratio(f"page, {case.what}: {size}", took["made"], bare, options)
        yield judge(f"p95 of page, {case.what}: {size}", _p95(took["page"]), "ms", TIME, options)
        of_api.append((case.what, took["json"], bare, took["api"]))
    what, took_ms, bare, _ = max(of_api, key=lambda one: statistics.median(one[1]) / one[2])
    yield _ratio(f"slowest page of the API beside its queries, {what}: {size}", took_ms, bare, options)
    what, _, _, took_ms = max(of_api, key=lambda one: _p95(one[3]))
    yield judge(f"p95 of the slowest page of the API, {what}: {size}", _p95(took_ms), "ms", TIME, options)
    yield from _trace(client, content, size, options)
    trace = f"/trace/{content.large_trace}"
    visits = {case.what: client.first_visit(case.address) for case in known} | {
        "a large trace": client.first_visit(trace)
    }
    yield _largest("first visit", visits, options)
    answers = {case.what: client.get(case.api).size for case in known} | {
        "a large trace": client.get(path_of(trace)).size
    }
    yield _largest("answer of the API", answers, options)


def _took(client: Client, target: Target, case: Case, rounds: int) -> dict[str, list[float]]:
    """Return the times of a page and of the same in the API, made or answered, and of the bare queries."""
    page = case.page
    with closing(Recorder(target)) as recorder, closing(Database(target)) as database:
        asked = Asked(Settings({}), Minutes(), path=case.path, query=case.query)
        for _ in range(2):
            # A first look counts the spans of an hour, later ones those of the last minutes.
            recorder.queries.clear()
            page.model(recorder, asked)
        shown = {"path": "/", "navigation": NAVIGATION, "rights": Rights(True, True, "token")}
        calls = {
            "made": lambda: render(page.template, page=page.model(database, asked), **shown),
            "json": lambda: as_json(page, page.model(database, asked)),
            "page": lambda: client.get(case.address),
            "api": lambda: client.get(case.api),
            "bare": recorder.send,
        }
        return _rounds(calls, rounds)


def _ratio(what: str, took: list[float], bare: float, options: Options) -> Measured:
    return judge(what, statistics.median(took), "ms", RATIO, options, reference=("its queries", bare))


def _largest(of: str, sizes: dict[str, int], options: Options) -> Measured:
    what = max(sizes, key=lambda one: sizes[one])
    return judge(f"largest {of}, {what}: with headers, compressed", sizes[what] / 1000, "kB", SIZE, options)


def _trace(client: Client, content: Content, size: Size, options: Options) -> Iterator[Measured]:
    """Measure a large trace; as it is a second of work, fewer times."""
    address = f"/trace/{content.large_trace}"
    took = _rounds({"trace": lambda: client.get(address)}, 5)["trace"]
    yield judge(f"a large trace: {size.trace:,} spans", statistics.median(took), "ms", TRACE_TIME, options)


def _rounds(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each call, called alternately after two rounds of warming up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 2):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if number >= 2:
                times[name].append(1000 * (time.perf_counter() - began))
    return times


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


if __name__ == "__main__":
    raise SystemExit(run(measurements))

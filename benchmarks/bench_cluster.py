"""Analyses on a Citus cluster against the same analyses on one server of the same machine.

Belongs here: the measurements. Does not: the databases and what their servers cost (clusters).

A first analysis counts all days of history, the next one only what is new. The demo's history may take 3 times as long
on the cluster as on one server. With --largest, 10,000,000 spans in 90 days and 1,000 dimensions may take 1.2 times as
long. Without it, spans and dimensions are a tenth (quick: a fortieth), and fixed costs weigh more: twice as long.

Without LEO_TELEMETRY_TEST_CITUS_URL, nothing is measured.
"""

import resource
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import clusters, generate
from benchmarks.bench_analysis import MEMORY
from benchmarks.clusters import Named, Nodes
from benchmarks.measure import HOME, Budget, Options, environment, home, judge, process, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.sample import generated
from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.days import DAY, midnight
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.servers import Cluster

DAYS = 90
COMMAND = [sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli", "analyze"]
# Everything that an analysis counts or decides before it counts.
_FORGOTTEN = """
TRUNCATE duration_histograms, duration_histogram_days, duration_histogram_blocks, duration_histogram_blocks_made,
         workflow_trace_counts, telemetry_folded_names, telemetry_name_slices, telemetry_shared_names
"""


@dataclass(frozen=True)
class Costs:
    """Seconds, seconds of CPU, and peak memory in MB of some analyses."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    command_mb: list[float] = field(default_factory=list)
    server_mb: list[float] = field(default_factory=list)


def analyse(database: Named, folder: Path, nodes: Nodes, costs: Costs) -> None:
    """Run ``leo-telemetry analyze`` and add what it cost."""
    environ = environment(**{HOME: str(folder), f"{PREFIX}DATABASE_URL": database.url, f"{PREFIX}DEADLINE": "3h"})
    before, ours = nodes.cpu(), _children()
    with nodes.watched() as peak:
        seconds, mb = process(COMMAND, environ)
    costs.seconds.append(seconds)
    costs.cpu.append(nodes.cpu().since(before).total + _children() - ours)
    costs.command_mb.append(mb)
    costs.server_mb.append(peak.mb)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def forget(target: Target) -> None:
    """Delete the history, so that the next analysis is a first one."""
    with closing(Database(target)) as connection, connection.transaction() as cursor:
        cursor.execute(_FORGOTTEN)
        cursor.execute("UPDATE telemetry_upkeep SET history_seen_before = NULL")


def compared(
    cluster: Cluster, name: str, fill: Callable[[Target], object], budget: Budget, options: Options, rounds: int
) -> Iterator[Measured]:
    """Alternate analyses of the same spans on one server and on the cluster."""
    nodes = Nodes.of(cluster)
    with clusters.both(cluster) as databases, home() as folder:
        folder.mkdir()
        for number, database in enumerate(databases):
            # The first analysis of a home also creates Dagster's tables.
            analyse(database, folder / str(number), nodes, Costs())
            fill(database.target)
            generate.settle(database.target)
        costs = {(which, number): Costs() for which in ("first", "next") for number in range(2)}
        for _ in range(rounds):
            for number, database in enumerate(databases):
                forget(database.target)
                for which in ("first", "next"):
                    analyse(database, folder / str(number), nodes, costs[which, number])
    for which in ("first", "next"):
        one, many = costs[which, 0], costs[which, 1]
        cpu = f"CPU {statistics.median(many.cpu):.1f} s, on one server {statistics.median(one.cpu):.1f} s"
        yield judge(
            f"{which} analysis on a cluster: {name}; {cpu}",
            statistics.median(many.seconds),
            "s",
            budget,
            options,
            reference=("one server", statistics.median(one.seconds)),
        )
    many = costs["first", 1]
    what = f"memory of `leo-telemetry analyze` on a cluster: {name}; the coordinator's process"
    yield judge(f"{what} {max(many.server_mb):.0f} MB", max(many.command_mb), "MB", MEMORY, options)


def demo(target: Target) -> None:
    """Store the demo's history."""
    today = midnight(datetime.now(UTC).date())
    with closing(Database(target)) as connection:
        spans.ensure_partitions(connection, today - generated.DAYS * DAY, today)
        spans.insert(connection, generated.generate(today))


def measurements(options: Options) -> Iterator[Measured]:
    """Measure the demo's history, and many spans."""
    cluster = clusters.named()
    if cluster is None:
        yield Measured("a cluster: SKIPPED, none is named", "", "", None, "", passed=True)
        return
    yield from compared(cluster, "the demo's history", demo, Budget(3), options, 1 if options.quick else 3)
    part = 1 if options.largest else 40 if options.quick else 10
    count, dimensions = 10_000_000 // part, 1_000 // part
    yield from compared(
        cluster,
        f"{count:,} spans in {DAYS} days, {dimensions:,} dimensions",
        lambda target: generate.fill(target, count, dimensions, DAYS),
        Budget(1.2 if options.largest else 2),
        options,
        1 if options.quick else 3,
    )


if __name__ == "__main__":
    raise SystemExit(run(measurements))

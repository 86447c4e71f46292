"""A database on a Citus cluster beside one on a single server, with what their server processes cost.

Belongs here: making and dropping both databases, CPU and memory of server processes. Does not: measurements.

Both are on the servers of the same cluster: the single one is an ordinary database of the coordinator's server, so
versions and settings are the same. All nodes run on this machine, since /proc tells what they cost.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from leo_telemetry_pipeline.store.server import distributed, migrations
from leo_telemetry_pipeline.store.server.database import Database, Target, outside
from leo_telemetry_pipeline_tests.servers import CITUS_URL, CITUS_VARIABLE, Cluster, cluster_at, run_alone

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_LOOK_S = 0.05


@dataclass(frozen=True)
class Named:
    """A database with its address."""

    url: str
    target: Target


def named() -> Cluster | None:
    """Return the cluster that the environment names; without one, say so on stderr."""
    if CITUS_URL:
        return cluster_at(CITUS_URL)
    print(
        f"\nSKIPPED: {CITUS_VARIABLE} names no Citus cluster (docs/deployment.md says how to put one up)",
        file=sys.stderr,
    )
    return None


@contextmanager
def both(cluster: Cluster) -> Iterator[tuple[Named, Named]]:
    """Yield two migrated databases: one on a single server, one on the cluster."""
    name = f"{cluster.prefix}single"
    try:
        run_alone(cluster.address, f"CREATE DATABASE {name}")
        with clustered(cluster) as of_cluster:
            yield _migrated(cluster.url(name)), of_cluster
    finally:
        run_alone(cluster.address, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def clustered(cluster: Cluster) -> Iterator[Named]:
    """Yield a migrated database on the cluster."""
    name = f"{cluster.prefix}clustered"
    try:
        cluster.administer(f"CREATE DATABASE {name} TEMPLATE {cluster.empty()}")
        database = _migrated(cluster.url(name))
        with closing(Database(database.target)) as connection:
            distributed.distribute(connection)
        yield database
    finally:
        cluster.clear()


def _migrated(url: str) -> Named:
    target = outside(url, "dagster")
    migrations.migrate(target)
    return Named(url, target)


@dataclass(frozen=True)
class Cpu:
    """Seconds of CPU of all server processes."""

    coordinator: float
    workers: float

    def since(self, before: "Cpu") -> "Cpu":
        """Return the difference."""
        return Cpu(self.coordinator - before.coordinator, self.workers - before.workers)

    @property
    def total(self) -> float:
        """The seconds of all nodes."""
        return self.coordinator + self.workers


@dataclass(frozen=True)
class Nodes:
    """The servers of a cluster: the process ids of their postmasters, the coordinator's first."""

    postmasters: tuple[int, ...]

    @classmethod
    def of(cls, cluster: Cluster) -> "Nodes":
        """Return the servers of a cluster. Raises RuntimeError if one is on another machine."""
        files = [run_alone(node, "SELECT pg_read_file('postmaster.pid')")[0][0] for node in cluster.nodes]
        found = tuple(int(file.split()[0]) for file in files)
        if any(not (_PROC / str(process)).exists() for process in found):
            raise RuntimeError("a node of the cluster is on another machine")
        return cls(found)

    def cpu(self) -> Cpu:
        """Return the CPU time since the servers were started."""
        # A postmaster's own fields include its processes that have ended.
        used = {process: sum(_times(process)[1:]) for process in self.postmasters}
        for process in _processes():
            parent, own, _ = _times(process)
            if parent in used:
                used[parent] += own
        coordinator, *workers = (used[process] for process in self.postmasters)
        return Cpu(coordinator, sum(workers))

    @contextmanager
    def watched(self) -> Iterator["Peak"]:
        """Yield the peak memory of the coordinator's largest process, complete when the block ends."""
        peak, ended = Peak(), threading.Event()

        def watch() -> None:
            while not ended.wait(_LOOK_S):
                of_coordinator = [_own_mb(each) for each in _processes() if _times(each)[0] == self.postmasters[0]]
                peak.mb = max(peak.mb, *of_coordinator)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield peak
        finally:
            ended.set()
            watcher.join()


@dataclass
class Peak:
    """Memory of a server process in MB, without shared buffers."""

    mb: float = field(default=0.0)


def _processes() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _times(process: int) -> tuple[int, float, float]:
    """Return the parent of a process, its seconds of CPU, and those of its children that have ended."""
    try:
        fields = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0.0, 0.0
    ticks = [int(field) for field in fields[11:15]]
    return int(fields[1]), sum(ticks[:2]) / _TICKS, sum(ticks[2:]) / _TICKS


def _own_mb(process: int) -> float:
    try:
        lines = (_PROC / str(process) / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))

"""Capacity planning for teams of 10, 1,000 and 100,000 people, from the measured cost of a span on a Citus cluster.

Belongs here: the assumptions, the tables. Does not: measuring (capacity_costs), budgets (bench_*).

Prints the assumptions, the needs of each team and the law of growth as Markdown, in some minutes. It needs a cluster
whose nodes run on this machine: ``LEO_TELEMETRY_TEST_CITUS_URL=... python benchmarks/capacity.py``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import capacity_costs, clusters
from benchmarks.capacity_costs import SPANS_PER_REQUEST, Counting, Storing
from leo_telemetry_pipeline.store.history.histograms import MOST_IN_MEMORY

SPANS_PER_PERSON_PER_DAY = 2_000
PEAK_FACTOR = 10
KEPT_DAYS = 90
# Planned utilisation of a core at the peak.
BUSY = 0.5
MACHINE_CORES = 16
MACHINE_TB = 4.0
COUNTING_HOURS = 2.0


@dataclass(frozen=True)
class Team:
    """A team, and the part of its day that is measured, with as many spans per dimension as the whole."""

    people: int
    dimensions: int
    part: int

    @property
    def spans_per_day(self) -> int:
        """Spans of a day."""
        return self.people * SPANS_PER_PERSON_PER_DAY


TEAMS = (Team(10, 250, 1), Team(1_000, 2_500, 10), Team(100_000, 20_000, 800))
# Days that are counted for the law of growth: spans, dimensions, days.
BASE, SPANS, DIMENSIONS, DAYS = (25_000, 25, 1), (250_000, 25, 1), (25_000, 250, 1), (100_000, 25, 4)

ASSUMPTIONS = f"""\
- A person and the agents that work for them produce {SPANS_PER_PERSON_PER_DAY:,} spans per day, each with about \
6 attributes.
- The busiest second has {PEAK_FACTOR} times the spans of an average second; cores are then {BUSY:.0%} busy.
- All spans arrive by OTLP/protobuf, {SPANS_PER_REQUEST} per request. A receiver uses one core; more than 10 people \
need at least two.
- Spans are kept for {KEPT_DAYS} days, history for years. The three teams have \
{", ".join(f"{team.dimensions:,}" for team in TEAMS)} dimensions.
- A machine has {MACHINE_CORES} cores and {MACHINE_TB:.0f} TB for spans, and may take {COUNTING_HOURS:.0f} hours of \
one core to count one day. If it is too small, the coordinator and each worker of a Citus cluster are such machines."""


@dataclass(frozen=True)
class Need:
    """What a team needs; ``workers`` is 0 if one machine is enough, ``first`` names what is used most, and how much."""

    team: Team
    peak: float
    receivers: int
    coordinator_cores: float
    worker_cores: float
    disk_tb: float
    history_gb: float
    coordinator_hours: float
    worker_hours: float
    workers: int
    first: tuple[str, float]


def need(team: Team, storing: Storing, counting: Counting) -> Need:
    """Compute the need of a team, given what storing a span and counting a part of its day costs."""
    peak = team.spans_per_day / 86_400 * PEAK_FACTOR
    # Redundant receivers for all but the smallest team.
    receivers = max(1 if team.people <= 10 else 2, math.ceil(_cores(peak, storing.receiver_us)))
    coordinator_cores, worker_cores = (_cores(peak, us) for us in (storing.coordinator_us, storing.workers_us))
    whole = team.spans_per_day / counting.spans / 3600
    coordinator_hours, worker_hours = counting.coordinator_s * whole, counting.workers_s * whole
    disk_tb = team.spans_per_day * KEPT_DAYS * storing.bytes_per_span / 1e12
    history_gb = team.dimensions * 365 * counting.bytes_per_dimension_day / 1e9
    of_workers = {
        "disk of the workers": disk_tb / MACHINE_TB,
        "cores of the workers": worker_cores / MACHINE_CORES,
        "counting on the workers": worker_hours / COUNTING_HOURS,
    }
    of_coordinator = {
        "cores of the coordinator": coordinator_cores / MACHINE_CORES,
        "counting on the coordinator": coordinator_hours / COUNTING_HOURS,
    }
    together = max(
        disk_tb / MACHINE_TB,
        (worker_cores + coordinator_cores) / MACHINE_CORES,
        (worker_hours + coordinator_hours) / COUNTING_HOURS,
    )
    workers = 0 if together <= 1 else math.ceil(max(of_workers.values()))
    used = of_coordinator | {name: share / max(1, workers) for name, share in of_workers.items()}
    first = max(used, key=lambda name: used[name])
    return Need(
        team,
        peak,
        receivers,
        coordinator_cores,
        worker_cores,
        disk_tb,
        history_gb,
        coordinator_hours,
        worker_hours,
        workers,
        (first, used[first]),
    )


def _cores(per_second: float, us: float) -> float:
    return per_second * us / 1e6 / BUSY


def limit(storing: Storing) -> int:
    """Return the number of people whose spans occupy all cores of the coordinator, which cannot be doubled."""
    per_person = _cores(SPANS_PER_PERSON_PER_DAY / 86_400 * PEAK_FACTOR, storing.coordinator_us)
    return int(MACHINE_CORES / per_person)


def rendered(needs: Sequence[Need]) -> str:
    """Return the needs as a Markdown table, one column per team."""
    rows = [
        ("people", [f"{one.team.people:,}" for one in needs]),
        ("spans per day", [f"{one.team.spans_per_day:,}" for one in needs]),
        ("spans/s at the peak", [f"{one.peak:,.0f}" for one in needs]),
        ("receivers", [f"{one.receivers}" for one in needs]),
        ("coordinator, cores at the peak", [_amount(one.coordinator_cores) for one in needs]),
        ("all workers, cores at the peak", [_amount(one.worker_cores) for one in needs]),
        ("all workers, spans on disk", [_size(one.disk_tb * 1e12) for one in needs]),
        ("coordinator, history per year", [_size(one.history_gb * 1e9) for one in needs]),
        ("coordinator, counting one day", [_time(one.coordinator_hours * 3600) for one in needs]),
        ("all workers, counting one day", [_time(one.worker_hours * 3600) for one in needs]),
        ("database", [f"Citus with {one.workers} workers" if one.workers else "one machine" for one in needs]),
        ("full first", [f"{one.first[0]}: {_share(one.first[1])}" for one in needs]),
    ]
    (head, heads), *others = rows
    lines = [f"| {head} | {' | '.join(heads)} |", "|---|" + "---:|" * len(needs)]
    return "\n".join(lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in others])


def growth(base: Counting, spans: Counting, dimensions: Counting, days: Counting) -> str:
    """Return a Markdown table of what counting costs with more spans, dimensions and days."""
    lines = [
        "| counted | CPU of the coordinator | CPU of the workers | history |",
        "|---|---:|---:|---:|",
    ]
    for one in (base, spans, dimensions, days):
        what = f"{one.spans:,} spans, {one.dimensions} dimensions, {one.days} {'day' if one.days == 1 else 'days'}"
        cells = [
            f"{one.coordinator_s:.2f} s{_times(one.coordinator_s, base.coordinator_s)}",
            f"{one.workers_s:.2f} s{_times(one.workers_s, base.workers_s)}",
            f"{_size(one.history_bytes)}{_times(one.history_bytes, base.history_bytes)}",
        ]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _times(value: float, base: float) -> str:
    return "" if value == base else f" ({value / base:.1f} x)"


def _amount(cores: float) -> str:
    return f"{max(0.01, cores):.2f}" if cores < 10 else f"{cores:.0f}"


def _share(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "under 1%"


def _size(size: float) -> str:
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1e3
        if size < 1000 or unit == "TB":
            break
    return f"{size:.2g} {unit}" if size < 100 else f"{size:.0f} {unit}"


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def main() -> int:
    """Measure, compute and print; without a cluster, say so and return 1."""
    cluster = clusters.named()
    if cluster is None:
        return 1
    storing = capacity_costs.storing(cluster)
    of_teams = [
        capacity_costs.counting(
            cluster,
            team.spans_per_day // team.part,
            team.dimensions // team.part,
            1,
            in_memory=team.spans_per_day <= MOST_IN_MEMORY,
        )
        for team in TEAMS
    ]
    print(ASSUMPTIONS)
    print(
        f"- Storing a span takes {storing.bytes_per_span:.0f} bytes in table and indexes, and in CPU"
        f" {storing.receiver_us:.0f} us of the receiver, {storing.coordinator_us:.0f} us of the coordinator and"
        f" {storing.workers_us:.0f} us of a worker."
    )
    for team, counted in zip(TEAMS, of_teams, strict=True):
        print(
            f"- Of {team.people:,} people, 1/{team.part} of a day was counted: {counted.spans:,} spans in"
            f" {counted.dimensions} dimensions took {counted.coordinator_s:.2f} s of CPU on the coordinator and"
            f" {counted.workers_s:.2f} s on the workers, and {counted.bytes_per_dimension_day:,.0f} bytes of history"
            " per dimension."
        )
    print()
    needs = [need(team, storing, counted) for team, counted in zip(TEAMS, of_teams, strict=True)]
    print(rendered(needs), "", sep="\n")
    print(f"Storing fills all cores of the coordinator with the spans of {limit(storing):,} people.\n")
    print(growth(*(capacity_costs.counting(cluster, *size) for size in (BASE, SPANS, DIMENSIONS, DAYS))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

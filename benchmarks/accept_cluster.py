"""A worker node of a Citus cluster that is away for a minute: line 3 of issue 15.

Belongs here: the figure. Does not: the trial (leo_telemetry_pipeline_tests), putting a cluster up (docs/deployment.md).
"""

from collections.abc import Iterator
from contextlib import closing

from benchmarks import measure
from benchmarks.figures import Figure
from leo_telemetry_pipeline_tests.cluster_trials import database_on, lose_a_node
from leo_telemetry_pipeline_tests.servers import CITUS, CITUS_URL, CITUS_VARIABLE, Cluster, Servers, run_alone

LINE = "15.3"
WHAT = "a worker node killed under `serve` and `worker` while spans arrive"
REQUIRED = (
    "no acknowledged span lost, none twice; the analysis meanwhile fails with the node's address, a retry succeeds"
)
_VERSIONS = "SELECT split_part(citus_version(), ' ', 2), split_part(current_setting('server_version'), ' ', 1)"


def parts(full: bool) -> list[str]:  # noqa: ARG001  # the interface of a trial
    """Return the name of the part, which is the cluster's version, so that each version has its own figures."""
    return [" on PostgreSQL ".join(run_alone(CITUS_URL, _VERSIONS)[0]) if CITUS_URL else "no cluster"]


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:  # noqa: ARG001  # nothing is drawn at random
    """Take a node away for a minute; in a small run for as long as an analysis needs to fail."""
    if not CITUS_URL:
        yield Figure(LINE, WHAT, REQUIRED, f"not measured: {CITUS_VARIABLE} names no cluster", held=False)
        return
    with measure.home() as home, closing(Servers(home.parent)) as servers:
        cluster = servers.get(CITUS)
        assert isinstance(cluster, Cluster)
        with database_on(cluster) as url:
            outcome = lose_a_node(home, cluster, url, 60 if full else 0)
    *failed, last = [reason or status for status, reason, _ in outcome.attempts]
    seen = f"away for {outcome.away_s:.0f} s; {outcome.acknowledged:,} spans acknowledged"
    seen += f", {outcome.acknowledged_meanwhile:,} of them meanwhile; {outcome.different:,} stored"
    seen += f", {outcome.stored - outcome.different} twice; the analysis: {', '.join(failed)}, then {last}"
    measured = f"{seen}; {'; '.join(outcome.problems) or 'all hold'}"
    yield Figure(LINE, f"Citus {part}: {WHAT}", REQUIRED, measured, not outcome.problems)

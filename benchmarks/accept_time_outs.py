"""Learned time-outs on six families of noise: how often they are false, how late they are, and when there are none.

Belongs here: line 7 of issue 16 at full size. Does not: the measurements (bench_time_outs).
"""

from collections.abc import Iterator

from benchmarks import bench_time_outs
from benchmarks.figures import Figure
from benchmarks.measure import Options
from leo_telemetry_pipeline.analysis.time_outs import time_out_ms

LINE = "16.7"
LEAST_SPANS = 80


def parts(full: bool) -> list[str]:  # noqa: ARG001  # the interface of a trial
    """Return the names of the parts."""
    return ["time-outs"]


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:  # noqa: ARG001  # there is only one part
    """Measure one part."""
    for row in bench_time_outs.with_seed(seed, Options(quick=not full)):
        yield Figure(LINE, row.what, row.budget, row.ours, row.passed)
    spans = [count for count in range(10 * LEAST_SPANS) if time_out_ms(count, 1000.0) is not None]
    yield Figure(
        LINE, "spans from which on there is a time-out", str(LEAST_SPANS), str(spans[0]), spans[0] == LEAST_SPANS
    )

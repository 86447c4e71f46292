"""Calibration of the detector's p-value on stable series, by which P_SCALE, P_FEW and P_MOST were chosen.

Belongs here: the simulation behind those constants of analysis.scan, run by hand. Does not: budgets (bench_changes).

Prints, per length and family, the share of series with p <= 1 % and p <= 0.2 % in one look; then, per family, the
share with a change in any of 71 nightly looks at each setting.
"""

import sys

import numpy as np

from benchmarks import series
from leo_telemetry_pipeline.analysis import changes, scan
from leo_telemetry_pipeline.analysis.changes import Series

LENGTHS = (10, 14, 20, 30, 60, 90, 200)
SETTINGS = (0.001, 0.0005, 0.0003, 0.0002)


def p_values(values: np.ndarray) -> np.ndarray:
    """Return the p-value of the most likely change in each row."""
    prepared = changes.prepare([Series(row) for row in values])
    x, quality = (np.array([prepared[row][part] for row in range(len(values))]) for part in (0, 1))
    return np.array([scan.p_value(score, x.shape[1]) for score in scan.splits(x, quality)[0]])


def main() -> None:
    """Print the table; arguments: number of series and seed."""
    count, seed = (int(value) for value in (*sys.argv[1:], "2000", "1")[:2])
    rng = np.random.default_rng(seed)
    for points in LENGTHS:
        shares = []
        for name, family in series.FAMILIES.items():
            found = p_values(family(rng, count, points))
            shares.append(f"{name} {(found <= 0.01).mean():.2%} {(found <= 0.002).mean():.2%}")
        print(points, "points:", ", ".join(shares), flush=True)
    for name, family in series.FAMILIES.items():
        values = family(rng, count, 200)
        least = np.min([p_values(values[:, :points]) for points in range(60, 201, 2)], axis=0)
        shares = [f"{setting:g}: {(least <= setting).mean():.2%}" for setting in SETTINGS]
        print("71 looks,", name, ", ".join(shares), flush=True)


if __name__ == "__main__":
    main()

"""The change detector against apache-otava on simulated series (issue 5, lines 1 to 3).

Belongs here: the measurements, with random seeds. Does not: the series (series), the detector.

apache-otava pins its own numpy, so this script installs it once into an environment in the user's cache folder; a quick
run does without. F1 counts an onset within 5 points as a true positive, and is averaged over the families of noise.
"""

import json
import math
import os
import subprocess
import sys
import time
import venv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks import series
from benchmarks.measure import Budget, Options, judge, peak_mb, run
from benchmarks.table import Measured
from leo_telemetry_pipeline.analysis import baselines, changes, judgement, levels
from leo_telemetry_pipeline.analysis.changes import Series
from leo_telemetry_pipeline.analysis.levels import DailyP50s
from leo_telemetry_pipeline.dimension import Baseline, Judgement

OTAVA = "apache-otava==0.8.0"
POINTS = 200
NEAR = 5
STEPS = (0.2, 0.5, 1.0)
F1_LEAST = {0.2: 0.72, 0.5: 0.92, 1.0: 0.95}
LOOKS = range(60, POINTS + 1, 2)
DIMENSIONS, DAYS = 10_000, 90

# Runs in apache-otava's environment: JSON series in, indices of changes out.
ASK_OTAVA = """
import json, sys
from otava.series import AnalysisOptions, Metric, Series
out = []
for values in json.load(sys.stdin):
    one = Series("s", None, list(range(len(values))), {"m": Metric(1, 1.0)}, {"m": values}, {})
    found = one.analyze(AnalysisOptions()).change_points
    out.append([int(point.index) for point in found.get("m", [])])
json.dump(out, sys.stdout)
"""


def ours(values: np.ndarray) -> list[list[int]]:
    """Return the change points of each row by our detector."""
    return [[change.at for change in found] for found in changes.find_all([Series(row) for row in values])]


def otava_python() -> Path:
    """Return the Python of an environment with apache-otava, created if missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "leo-telemetry-benchmarks" / OTAVA.replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", OTAVA], check=True, capture_output=True)
        (folder / "ready").touch()
    return python


def otava(python: Path, values: np.ndarray) -> list[list[int]]:
    """Return the change points of each row by apache-otava with default options."""
    asked = json.dumps(values.tolist()).encode()
    said = subprocess.run([python, "-P", "-c", ASK_OTAVA], input=asked, capture_output=True, check=True)
    return json.loads(said.stdout)


def f1(found: Sequence[Sequence[int]], onsets: np.ndarray) -> float:
    """Return F1 = 2 TP / (2 TP + FP + FN) for one step per series."""
    true = sum(any(abs(at - onset) <= NEAR for at in places) for places, onset in zip(found, onsets, strict=True))
    return 2 * true / (sum(map(len, found)) + len(onsets))


def at_most(share: float, count: int, options: Options) -> Budget:
    """Return a limit in percent, with two standard errors of slack in quick runs, which draw few series."""
    slack = 2 * math.sqrt(share * (1 - share) / count) if options.quick else 0.0
    return Budget(100 * (share + slack), "%", timed=False)


def one_look(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure false alarms and F1 of one look by both detectors on the same series."""
    stable, stepped = (120, 60) if options.quick else (1000, 300)
    python, why = None, ""
    try:
        # Installing and running the reference takes a quick run longer than all the rest.
        python = None if options.quick else otava_python()
    except (OSError, subprocess.CalledProcessError) as error:
        why = f"{OTAVA} cannot be installed: {error}"
    for name, family in series.FAMILIES.items():
        values = family(rng, stable, POINTS)
        alarms = 100 * float(np.mean([len(found) > 0 for found in ours(values)]))
        reference = None
        if python:
            other = 100 * float(np.mean([len(found) > 0 for found in otava(python, values)]))
            reference = ("apache-otava", other)
        what = f"stable series that alarm, one look, {name}: {stable}; {seed}"
        yield judge(what, alarms, "%", at_most(0.01, stable, options), options, reference=reference)
    for step in STEPS:
        yield from _step(rng, options, step, stepped, python, seed)
    if why:
        yield Measured(f"against apache-otava; {why}", "", "", None, "", passed=False)


def _step(
    rng: np.random.Generator, options: Options, step: float, count: int, python: Path | None, seed: str
) -> Iterator[Measured]:
    scores, others = [], []
    for family in series.FAMILIES.values():
        onsets = rng.integers(40, POINTS - 39, count)
        values = series.stepped(family(rng, count, POINTS), onsets, step)
        scores.append(f1(ours(values), onsets))
        if python:
            others.append(f1(otava(python, values), onsets))
    least = F1_LEAST[step] - (0.03 if options.quick else 0.0)
    what = f"macro F1, step of +{step:.0%}: 6 x {count} series of {POINTS}, " + " ".join(f"{one:.2f}" for one in scores)
    mean, budget = float(np.mean(scores)), Budget(least, "F1", at_least=True, timed=False)
    if not python:
        yield judge(f"{what}; {seed}", mean, "F1", budget, options)
        return
    reference = ("apache-otava", float(np.mean(others)))
    yield judge(f"{what}; {seed}", mean, "F1", budget, options, reference=reference)
    above = Budget(1.0, at_least=True, timed=False)
    what = f"above apache-otava, +{step:.0%}: the same 6 x {count} series; {seed}"
    yield judge(what, mean, "F1", above, options, reference=reference)


def nightly(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure how many stable series alarm in any of 71 looks; of 18 in a quick run."""
    count, points_of_looks = (60, LOOKS[::4]) if options.quick else (1000, LOOKS)
    for name, family in series.FAMILIES.items():
        values = family(rng, count, POINTS)
        alarmed = np.zeros(count, dtype=bool)
        for points in points_of_looks:
            alarmed |= np.array([len(found) > 0 for found in ours(values[:, :points])])
        limit = at_most(0.05 if name == "AR(1)" else 0.02, count, options)
        what = f"stable series that alarm, {len(points_of_looks)} looks, {name}: {count}; {seed}"
        yield judge(what, 100 * float(alarmed.mean()), "%", limit, options)


def daily_of(p50_ms: np.ndarray, counts: np.ndarray, days: np.ndarray) -> DailyP50s:
    """Return days of many dimensions as the store does."""
    rows, points = p50_ms.shape
    names = [("gate", f"G{row:05}") for row in range(rows)]
    places = np.repeat(np.arange(rows), points)
    return DailyP50s(names, places, np.tile(days, rows), counts.ravel(), p50_ms.ravel())


def look(
    p50_ms: np.ndarray, counts: np.ndarray, days: np.ndarray, kept: Iterable[Baseline]
) -> tuple[list[Baseline], list[Judgement]]:
    """Return baselines and judgements after the last day, without control of the false discovery rate."""
    end = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=int(days[-1]) + 1)
    read = levels.days_of(daily_of(p50_ms, counts, days))
    found = levels.change_points(read)
    learned = baselines.learn(read, found, kept)
    judged = judgement.judge(read, found, learned, end - timedelta(days=7), end, false_discoveries=1.0)
    return list(learned.values()), judged


def first_found(
    p50_ms: np.ndarray, counts: np.ndarray, days: np.ndarray, looks: Sequence[int], kept: list[Baseline]
) -> tuple[np.ndarray, list[Baseline], list[Judgement]]:
    """Return the number of days until each dimension is a bottleneck (infinity if never), and the last look."""
    first, judged = np.full(len(p50_ms), np.inf), []
    for upto in looks:
        kept, judged = look(p50_ms[:, :upto], counts[:, :upto], days[:upto], kept)
        first = np.minimum(first, [upto if one.outcome == "bottleneck" else np.inf for one in judged])
    return first, kept, judged


def by_days(rng: np.random.Generator, options: Options, seed: str) -> Iterator[Measured]:
    """Measure daily P50s in working weeks: false alarms, delay, drift, stable baselines, too few spans."""
    count, history = (60, 56) if options.quick else (300, 56)
    p50_ms, counts, days = series.weeks(rng, count, history + 21)
    what = f"log-normal spans of sigma {series.SPAN_SIGMA}, 50 per weekday, 10 to 50 per weekend day"
    first, kept, _ = first_found(p50_ms, counts, days, range(7, history + 1), [])
    alarms = 100 * float(np.isfinite(first).mean())
    what = f"false in 8 weeks of daily looks: {count} dimensions, {what}; {seed}"
    yield judge(what, alarms, "%", at_most(0.01, count, options), options)
    onsets = history + rng.integers(0, 7, count)
    slower = series.stepped(p50_ms, onsets, 0.3)
    first, _, _ = first_found(slower, counts, days, range(history + 1, history + 11), kept)
    least = Budget(90 - (8 if options.quick else 0), "%", at_least=True, timed=False)
    share = 100 * float((first - onsets <= 3).mean())
    yield judge(f"+30 % found within 3 days, daily looks: {count} dimensions; {seed}", share, "%", least, options)
    first, _, _ = first_found(slower, counts, days, range(history, history + 22, 7), kept)
    share = 100 * float((first - onsets <= 10).mean())
    yield judge(f"+30 % found within 10 days, weekly looks: {count} dimensions; {seed}", share, "%", least, options)
    drift = p50_ms * 1.02 ** np.maximum(np.arange(history + 21) - history + 1, 0)
    first, _, _ = first_found(drift, counts, days, range(history + 1, history + 22), kept)
    share = 100 * float((first - history <= math.log(1.5) / math.log(1.02)).mean())
    yield judge(f"drift of 2 % per day found before +50 %: {count} dimensions; {seed}", share, "%", least, options)
    doubled = series.stepped(p50_ms, np.full(count, history), 1.0)
    _, last, _ = first_found(doubled, counts, days, range(history + 1, history + 8), kept)
    moved = 100 * max(abs(now.p50_ms / then.p50_ms - 1) for now, then in zip(last, kept, strict=True))
    most = Budget(10, "%", timed=False)
    yield judge(f"baseline after 7 days of +100 %, most moved: {count} dimensions; {seed}", moved, "%", most, options)


def speed(rng: np.random.Generator, options: Options) -> Iterator[Measured]:
    """Measure changes, baselines and judgements of many dimensions, a tenth of which got slower."""
    rows = DIMENSIONS // 10 if options.quick else DIMENSIONS
    # Days are drawn in portions, so that drawing does not dominate the peak memory.
    drawn = [series.weeks(rng, 100, DAYS) for _ in range(rows // 100)]
    p50_ms, counts, days = (*(np.concatenate([each[part] for each in drawn]) for part in (0, 1)), drawn[0][2])
    p50_ms[: rows // 10, DAYS - 10 :] *= 2
    began = time.process_time()
    look(p50_ms, counts, days, ())
    took = time.process_time() - began
    limit = Budget(20 * rows / DIMENSIONS, "s")
    what = f"changes, baselines, judgements: {rows:,} dimensions, {DAYS} days"
    yield judge(what, took, "s", limit, options, peak_mb=peak_mb())


def measurements(options: Options) -> Iterator[Measured]:
    """Measure everything with a random seed or LEO_BENCH_SEED."""
    number = int(os.environ.get("LEO_BENCH_SEED") or np.random.SeedSequence().generate_state(1)[0])
    print(f"LEO_BENCH_SEED={number}", file=sys.stderr)
    rng, seed = np.random.default_rng(number), f"seed {number}"
    # Speed is measured first, because peak memory is that of the whole process.
    yield from speed(rng, options)
    yield from one_look(rng, options, seed)
    yield from nightly(rng, options, seed)
    yield from by_days(rng, options, seed)


if __name__ == "__main__":
    raise SystemExit(run(measurements))

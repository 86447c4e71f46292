"""Output and exit status of `make bench`: budgets, slack, the table, failing scripts, the capacity table."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks import capacity, generate, run, table
from benchmarks.capacity_costs import Counting, Storing
from benchmarks.measure import Budget, Options, judge
from benchmarks.table import Measured

GOOD = Measured("a span: 2 attributes", "4.76 us", "OpenTelemetry SDK: 42.7 us", "1/9", "<= 1/8", passed=True)
BAD = Measured("memory of an analysis: 1,000,000 spans", "512 MB", "", None, "<= 400 MB", passed=False, peak_mb=512)
QUICK = Options(quick=True)


@pytest.mark.parametrize(
    ("budget", "slack", "holds", "misses"),
    [
        (Budget(100, "ms"), 1.0, 100, 100.1),
        (Budget(100, "ms"), 1.5, 150, 150.1),
        (Budget(0.5, at_least=True), 1.0, 0.5, 0.49),
        (Budget(0.5, at_least=True), 1.5, 0.34, 0.33),
        (Budget(600, "bytes", timed=False), 1.5, 600, 601),
        (Budget(1), 1.0, 1, float("nan")),
    ],
)
def test_slack_makes_a_budget_more_lenient_in_its_own_direction(
    budget: Budget, slack: float, holds: float, misses: float
) -> None:
    """Lost: a quick run accepts a regression, or rejects a good change."""
    assert budget.with_slack(slack).holds(holds)
    assert not budget.with_slack(slack).holds(misses)


def test_a_budget_without_a_unit_limits_the_ratio_to_the_reference() -> None:
    """Lost: a slow machine fails, or a fast one hides a regression."""
    measured = judge("p50s", 30, "ms", Budget(1 / 50), Options(), reference=("a query", 1000))
    assert (measured.ours, measured.reference, measured.ratio) == ("30 ms", "a query: 1,000 ms", "1/33.3")
    assert (measured.budget, measured.passed) == ("<= 1/50", False)
    assert judge("p50s", 30, "ms", Budget(1 / 50), QUICK, reference=("a query", 1000)).passed


def test_a_budget_over_the_reference_limits_the_difference() -> None:
    """Lost: what a hook adds to bare Python disappears in Python's own time."""
    measured = judge("a hook", 60, "ms", Budget(40, "ms"), Options(), reference=("bare Python", 21), over=True)
    assert (measured.ours, measured.budget, measured.passed) == ("60 ms (+39.0)", "<= +40 ms", True)
    assert not judge("a hook", 62, "ms", Budget(40, "ms"), Options(), reference=("bare Python", 21), over=True).passed
    over_zero = judge("slow spans", 0.4, "%", Budget(1, "%"), Options(), reference=("held", 0), over=True)
    assert (over_zero.ours, over_zero.ratio, over_zero.passed) == ("0.400 % (+0.4)", None, True)


def test_a_reference_that_measured_nothing_is_beaten_by_anything() -> None:
    """Lost: a whole run fails because of a division by zero where the reference found nothing."""
    above = Budget(1.0, at_least=True, timed=False)
    beaten = judge("F1", 0.8, "F1", above, Options(), reference=("otava", 0))
    assert (beaten.ratio, beaten.passed) == (None, True)
    assert judge("F1", 0, "F1", above, Options(), reference=("otava", 0)).passed


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.094, "ms", "0.094 ms"), (4.762, "us", "4.76 us"), (42.71, "us", "42.7 us"), (34647.2, "/s", "34,647/s")],
)
def test_amounts_have_three_significant_digits(value: float, unit: str, text: str) -> None:
    """Lost: small numbers read as 0, and large ones cannot be read."""
    assert table.amount(value, unit) == text


def test_the_table_fits_a_terminal_and_shows_every_row_completely() -> None:
    """Lost: a terminal of 120 columns garbles the table."""
    long = replace(
        BAD, what="spans over 50 us while the database hangs, 10,000/s with work between: 30,000; their p99 13 us"
    )
    text = table.rendered([GOOD, long])
    lines = text.splitlines()
    assert max(map(len, lines)) <= 120
    assert [line.rsplit(None, 1)[-1] for line in lines if line.endswith(("pass", "MISS"))] == ["pass", "MISS"]
    seen = " ".join(" ".join(lines).split())
    for word in (*GOOD.what.split(), *long.what.split(), *GOOD.reference.split(), "4.76 us", "1/9", "<= 400 MB", "512"):
        assert word in seen


def test_the_last_line_names_missed_budgets() -> None:
    """Lost: a person reads twenty rows to find the one that matters."""
    assert table.summed_up([GOOD, GOOD]) == "2 of 2 budgets hold"
    assert table.summed_up([GOOD, BAD]) == "1 of 2 budgets hold; MISS: memory of an analysis"
    assert (table.exit_status([GOOD]), table.exit_status([GOOD, BAD]), table.exit_status([])) == (0, 1, 1)


def test_a_failing_script_is_a_row_and_keeps_its_earlier_measurements() -> None:
    """Lost: a benchmark stops running unnoticed."""
    output = json.dumps(asdict(GOOD)) + "\nsome noise\n"
    assert table.measurements_of("bench_x.py", output, "a warning\n", 0) == [GOOD]
    first, failed = table.measurements_of("bench_x.py", output, "Traceback ...\nValueError: no spans\n\n", 1)
    assert first == GOOD
    assert (failed.what, failed.passed) == ("bench_x.py failed: ValueError: no spans (status 1)", False)
    [silent] = table.measurements_of("bench_x.py", "", "", 0)
    assert not silent.passed


def test_a_budget_that_held_in_one_of_two_runs_holds() -> None:
    """Lost: a build fails because something else ran on the machine for a second."""
    slow, also = replace(GOOD, passed=False), replace(BAD, what="memory: 5 spans; it takes 9 s", passed=True)
    timed = replace(also, what="memory: 5 spans; it takes 8 s")
    assert table.better([slow, also], [GOOD, replace(timed, passed=False)]) == [GOOD, also]
    assert table.better([slow], [slow]) == [slow]
    failed = table.measurements_of("bench_a.py", "", "boom", 1)
    assert table.better([GOOD], failed) == table.better(failed, [GOOD]) == [GOOD]


def test_a_run_prints_one_table_and_exits_with_1_if_a_script_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: CI is green whatever the benchmarks measure."""
    (tmp_path / "bench_good.py").write_text(f"print({json.dumps(asdict(GOOD))!r})")
    assert run.main([], tmp_path) == 0
    (tmp_path / "bench_bad.py").write_text("import sys; sys.exit('the database is gone')")
    (tmp_path / "other.py").write_text("raise AssertionError")
    assert run.main(["--quick"], tmp_path) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == "1 of 2 budgets hold; MISS: bench_bad.py failed"
    assert "the database is gone" in printed.out
    assert "1/2 bench_bad.py ..." in printed.err
    assert run.main(["good"], tmp_path) == 0


def test_an_unknown_benchmark_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a run with a typo in a name measures nothing and passes."""
    (tmp_path / "bench_good.py").touch()
    with pytest.raises(SystemExit) as stopped:
        run.main(["god"], tmp_path)
    assert stopped.value.code == 2
    assert "there is no benchmark 'god': choose from good" in capsys.readouterr().err


@pytest.mark.parametrize("dimensions", generate.NAMES)
def test_generated_spans_have_the_stated_number_of_dimensions(dimensions: int) -> None:
    """Lost: a budget holds because less is measured than the design requires."""
    names = generate.NAMES[dimensions]
    # Gates are also combined with each SD type.
    assert sum(names.values()) + names["gate"] * names["sd_type"] == dimensions


STORING = Storing(bytes_per_span=500, receiver_us=50, coordinator_us=20, workers_us=40)
COUNTED = Counting(20_000, 250, 1, coordinator_s=0.1, workers_s=0.2, history_bytes=250_000)


def test_capacity_grows_with_the_team_until_it_needs_a_cluster() -> None:
    """Lost: a team buys a cluster it does not need, or its disk is full in a month."""
    small, large = (capacity.need(team, STORING, COUNTED) for team in (capacity.TEAMS[0], capacity.TEAMS[-1]))
    assert (small.receivers, small.workers) == (1, 0)
    assert large.disk_tb == pytest.approx(10_000 * small.disk_tb)
    # 23,148 spans per second at the peak, 50 µs each, on cores at 50 % load.
    assert large.receivers == 3
    # 9 TB of spans on disks of 4 TB.
    assert large.workers == 3
    assert large.history_gb == pytest.approx(20_000 * 365 * 1000 / 1e9)
    # 200,000,000 spans at 5 µs of the coordinator and 10 µs of the workers.
    assert (large.coordinator_hours, large.worker_hours) == (pytest.approx(1000 / 3600), pytest.approx(2000 / 3600))
    assert large.first == ("disk of the workers", pytest.approx(9 / 4 / 3))
    lines = capacity.rendered([small, large]).splitlines()
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
    assert "| database | one machine | Citus with 3 workers |" in lines
    assert "| full first | disk of the workers: under 1% | disk of the workers: 75% |" in lines


def test_the_coordinator_limits_how_many_people_a_cluster_can_have() -> None:
    """Lost: a company adds workers, and its spans still queue up."""
    people = capacity.limit(STORING)
    # 16 cores at 50 % store 400,000 spans per second.
    assert people == pytest.approx(400_000 * 86_400 / 2_000 / 10, abs=1)
    counted = replace(COUNTED, coordinator_s=40)
    assert capacity.need(capacity.TEAMS[-1], STORING, counted).first[0] == "counting on the coordinator"


def test_the_law_of_growth_compares_each_count_with_the_first() -> None:
    """Lost: nobody knows what happens when a team doubles."""
    more = Counting(200_000, 250, 1, coordinator_s=0.3, workers_s=2, history_bytes=500_000)
    *_, base, spans, _, _ = capacity.growth(COUNTED, more, COUNTED, COUNTED).splitlines()
    assert base == "| 20,000 spans, 250 dimensions, 1 day | 0.10 s | 0.20 s | 250 kB |"
    assert spans == "| 200,000 spans, 250 dimensions, 1 day | 0.30 s (3.0 x) | 2.00 s (10.0 x) | 500 kB (2.0 x) |"

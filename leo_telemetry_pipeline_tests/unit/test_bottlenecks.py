"""The rule that judges a median, and the order of what it finds."""

import math

import pandas as pd

from leo_telemetry_pipeline.analysis import bottlenecks, p50
from leo_telemetry_pipeline.store.dimensions import OTHER_KEYS


def measured(*dimensions: tuple[str, str, float, int]) -> pd.DataFrame:
    """Make the frame of P50s: dimension type, key, P50, spans."""
    rows = [(kind, key, n, m, m, m, m, m * n, None, "exact") for kind, key, m, n in dimensions]
    return p50.frame(rows)


def configured(*dimensions: tuple) -> pd.DataFrame:
    """Make the frame of thresholds: type, key, active, baseline, multiplier, min_samples."""
    rows = [
        (kind, key, active, baseline, "configured" if baseline is not None else None, times, least, None, None, None)
        for kind, key, active, baseline, times, least in dimensions
    ]
    return bottlenecks.thresholds(rows)


def learned(*dimensions: tuple[str, str, str, float | None, float | None, float | None]) -> pd.DataFrame:
    """Make the frame of judgements by own days: type, key, outcome, observed P50, baseline, multiplier."""
    rows = [(*row, pd.Timestamp("2026-02-05") if row[2] == "bottleneck" else pd.NaT, 0.001) for row in dimensions]
    frame = pd.DataFrame(rows, columns=list(bottlenecks.LEARNED_COLUMNS))
    frame["onset_day"] = pd.to_datetime(frame["onset_day"])
    return frame.astype(dict.fromkeys(("observed_p50_ms", "baseline_p50_ms", "multiplier", "p_value"), "float64"))


def outcomes(judged: pd.DataFrame) -> dict[str, str]:
    return dict(zip(judged["dimension_key"], judged["outcome"], strict=True))


def judge(measured_: pd.DataFrame, configured_: pd.DataFrame, *own: tuple) -> pd.DataFrame:
    return bottlenecks.judge(measured_, configured_, learned(*own), 10)


def test_a_median_over_its_threshold_is_a_bottleneck_and_one_at_it_is_not():
    """Lost: the seed's rule; teams at the edge of what they allowed would be told that they broke it."""
    judged = judge(
        measured(("gate", "AT", 200.0, 10), ("gate", "OVER", 200.5, 10), ("gate", "UNDER", 199.5, 10)),
        configured(*[("gate", key, True, 100.0, 2.0, None) for key in ("AT", "OVER", "UNDER")]),
    )
    assert outcomes(judged) == {"AT": "ok", "OVER": "bottleneck", "UNDER": "ok"}


def test_a_median_at_its_threshold_is_none_whatever_binary_fractions_do_to_the_product():
    """Lost: 100 ms times 1.15 is 114.99999999999999 to the machine, and 115 ms would be flagged as over it."""
    pairs = [(100.0, 1.15, 115.0), (100.0, 1.1, 110.0), (1000.0, 1.001, 1001.0), (60000.0, 1.8, 108000.0)]
    pairs += [(float(b), m / 100, b * m / 100) for b in (1, 3, 7, 10, 100, 300, 5000) for m in range(101, 400)]
    dimensions = [("gate", str(index), observed, 10) for index, (_, _, observed) in enumerate(pairs)]
    thresholds = [("gate", str(index), True, b, m, None) for index, (b, m, _) in enumerate(pairs)]
    judged = judge(measured(*dimensions), configured(*thresholds))
    flagged = [pairs[int(key)] for key, outcome in outcomes(judged).items() if outcome == "bottleneck"]
    assert flagged == []


def test_a_median_a_millisecond_over_a_long_threshold_is_still_over_it():
    """Lost: a tolerance meant for binary fractions would swallow real slowness of long work."""
    judged = judge(
        measured(("phase", "EXEC", 1_000_000_000.5, 10)), configured(("phase", "EXEC", True, 500_000_000.0, 2.0, None))
    )
    assert outcomes(judged) == {"EXEC": "bottleneck"}


def test_switched_off_outranks_too_few_outranks_no_baseline():
    """Lost: people who switched a dimension off would still see it counted as something else."""
    judged = judge(
        measured(("gate", "OFF", 9.0, 1), ("gate", "FEW", 9.0, 9), ("gate", "NEW", 9.0, 10)),
        configured(("gate", "OFF", False, 1.0, 2.0, None)),
    )
    assert outcomes(judged) == {"OFF": "switched_off", "FEW": "too_few", "NEW": "no_baseline"}


def test_a_dimensions_own_min_samples_replaces_the_default():
    """Lost: rare but important work could never be watched."""
    judged = judge(
        measured(("gate", "RARE", 300.0, 2), ("gate", "BUSY", 300.0, 99)),
        configured(("gate", "RARE", True, 100.0, 2.0, 2), ("gate", "BUSY", True, 100.0, 2.0, 100)),
    )
    assert outcomes(judged) == {"RARE": "bottleneck", "BUSY": "too_few"}
    assert dict(zip(judged["dimension_key"], judged["min_samples"], strict=True)) == {"RARE": 2, "BUSY": 100}


def test_what_a_dimension_learned_serves_where_nothing_is_configured():
    """Lost: without configuration nothing would ever be found."""
    judged = judge(
        measured(("gate", "SLOW", 120.0, 10), ("gate", "SAME", 120.0, 10)),
        configured(),
        ("gate", "SLOW", "bottleneck", 150.0, 100.0, 1.3),
        ("gate", "SAME", "ok", 120.0, 100.0, 1.3),
    )
    assert outcomes(judged) == {"SLOW": "bottleneck", "SAME": "ok"}
    assert set(judged["baseline_source"]) == {"learned"}
    # Since the onset it took 150 ms, although most of the window was before it.
    assert list(judged["observed_p50_ms"]) == [150.0, 120.0]
    assert list(judged["ratio"]) == [1.5, 1.2]
    assert [None if pd.isna(day) else f"{day:%Y-%m-%d}" for day in judged["onset_day"]] == ["2026-02-05", None]


def test_a_dimension_whose_own_days_say_too_little_has_no_baseline():
    """Lost: one odd day would become what is normal, or a division by zero would reach the findings."""
    judged = judge(
        measured(("gate", "FEW_DAYS", 500.0, 10), ("gate", "UNKNOWN", 500.0, 10)),
        configured(),
        ("gate", "FEW_DAYS", "not_enough_data", None, None, None),
    )
    assert set(judged["outcome"]) == {"no_baseline"}
    assert all(math.isnan(ratio) for ratio in judged["ratio"])
    assert set(judged["baseline_source"]) == {None}


def test_a_configured_baseline_decides_alone_whatever_was_learned():
    """Lost: what a person wrote would not count."""
    judged = judge(
        measured(("gate", "ALLOWED", 500.0, 10), ("gate", "OVER", 500.0, 10)),
        configured(("gate", "ALLOWED", True, 1000.0, 2.0, None), ("gate", "OVER", True, 100.0, None, None)),
        ("gate", "ALLOWED", "bottleneck", 600.0, 100.0, 1.3),
        ("gate", "OVER", "ok", 500.0, 490.0, 1.3),
    )
    assert outcomes(judged) == {"ALLOWED": "ok", "OVER": "bottleneck"}
    assert set(judged["baseline_source"]) == {"configured"}
    assert list(judged["observed_p50_ms"]) == [500.0, 500.0]
    assert list(judged["multiplier"]) == [2.0, bottlenecks.DEFAULT_MULTIPLIER]
    assert judged["onset_day"].isna().all()


def test_no_nan_and_no_infinity_reaches_the_ratio_of_a_bottleneck():
    """Lost: findings would sort NaN first and print `nanx`."""
    judged = judge(
        measured(("gate", "A", 500.0, 10), ("gate", "ZERO", 0.0, 10), ("gate", "B", 500.0, 10)),
        configured(("gate", "A", True, 100.0, 2.0, None), ("gate", "ZERO", True, 100.0, 2.0, None)),
        ("gate", "B", "not_enough_data", None, None, None),
    )
    found = bottlenecks.found(judged)
    assert list(found["dimension_key"]) == ["A"]
    assert all(math.isfinite(ratio) for ratio in found["ratio"])
    assert outcomes(judged)["ZERO"] == "ok"


def test_worst_come_first_and_ties_go_by_observed_time_then_by_name():
    """Lost: equal input would give different findings from run to run."""
    names = [("phase", "B"), ("gate", "Z"), ("gate", "A"), ("gate", "LONG"), ("gate", "WORST")]
    times = [(300.0, 100.0), (300.0, 100.0), (300.0, 100.0), (600.0, 200.0), (400.0, 100.0)]
    thresholds = [(kind, key, True, base, 2.0, None) for (kind, key), (_, base) in zip(names, times, strict=True)]
    for order in (list(range(5)), [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        frame = measured(*[(*names[i], times[i][0], 10) for i in order])
        found = bottlenecks.found(judge(frame, configured(*thresholds)))
        listed = list(zip(found["dimension_type"], found["dimension_key"], strict=True))
        assert listed == [("gate", "WORST"), ("gate", "LONG"), ("gate", "A"), ("gate", "Z"), ("phase", "B")]
        assert list(found.index) == [0, 1, 2, 3, 4]


def test_nothing_measured_is_judged_as_nothing():
    """Lost: a quiet first week would break the analysis instead of saying that there is too little."""
    judged = judge(measured(), configured())
    assert len(judged) == 0
    assert len(bottlenecks.found(judged)) == 0
    assert bottlenecks.count_outcomes(judged) == dict.fromkeys(
        ("ok", "bottleneck", "too_few", "no_baseline", "switched_off", "pooled"), 0
    )


def test_keys_that_are_looked_at_together_are_no_bottleneck():
    """Lost: an item that asks to make something faster which has no name."""
    assert bottlenecks.OTHER_KEYS == OTHER_KEYS
    judged = judge(
        measured(("gate", OTHER_KEYS, 900.0, 50), ("gate", "A", 900.0, 50)),
        configured(("gate", OTHER_KEYS, True, 100.0, 2.0, None), ("gate", "A", True, 100.0, 2.0, None)),
    )
    assert outcomes(judged) == {OTHER_KEYS: "pooled", "A": "bottleneck"}
    assert bottlenecks.count_outcomes(judged)["pooled"] == 1

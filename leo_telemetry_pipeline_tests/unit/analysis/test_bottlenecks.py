"""The bottleneck rule and the order of bottlenecks."""

from datetime import date

from leo_telemetry_pipeline.analysis import bottlenecks
from leo_telemetry_pipeline.dimension import OTHER_KEYS, Baseline, DimensionResult, Guard, Judgement, Threshold


def measured(*dimensions: tuple[str, str, float, int]) -> list[DimensionResult]:
    """Return unjudged results: dimension type, key, P50, spans."""
    return [DimensionResult(kind, key, n, m, m, m, m, m * n, None, "exact") for kind, key, m, n in dimensions]


def configured(*dimensions: tuple) -> list[Threshold]:
    """Return thresholds: type, key, active, baseline, multiplier, min_samples."""
    return [
        Threshold(kind, key, active, baseline, "configured" if baseline is not None else None, times, least)
        for kind, key, active, baseline, times, least in dimensions
    ]


def learned(
    kind: str, key: str, outcome: str, observed: float | None, baseline: float | None, times: float | None
) -> Judgement:
    """Return a judgement by the learned baseline: type, key, outcome, observed P50, baseline, multiplier."""
    slower = outcome == "bottleneck"
    known = None if baseline is None else Baseline(kind, key, baseline, 1.15, date(2026, 1, 5), 28, {})
    guards, onset = (Guard("changed", slower, None, None, ""),), date(2026, 2, 5) if slower else None
    is_enough = outcome != "not_enough_data"
    return Judgement(kind, key, guards, is_enough, known, times, observed, onset_day=onset, p_value=0.001)


def outcomes(judged: list[DimensionResult]) -> dict[str, str | None]:
    return {one.dimension_key: one.outcome for one in judged}


def judge(measured_: list[DimensionResult], configured_: list[Threshold], *own: tuple) -> list[DimensionResult]:
    return bottlenecks.judge(measured_, configured_, [learned(*one) for one in own], 10)


def test_a_median_over_its_threshold_is_a_bottleneck_and_one_at_it_is_not():
    """Lost: teams exactly at their limit would be reported as over it."""
    judged = judge(
        measured(("gate", "AT", 200.0, 10), ("gate", "OVER", 200.5, 10), ("gate", "UNDER", 199.5, 10)),
        configured(*[("gate", key, True, 100.0, 2.0, None) for key in ("AT", "OVER", "UNDER")]),
    )
    assert outcomes(judged) == {"AT": "ok", "OVER": "bottleneck", "UNDER": "ok"}


def test_rounding_of_the_product_does_not_make_a_median_at_its_threshold_a_bottleneck():
    """Lost: 100 ms times 1.15 is 114.99999999999999 in floating point, and 115 ms would be flagged."""
    pairs = [(100.0, 1.15, 115.0), (100.0, 1.1, 110.0), (1000.0, 1.001, 1001.0), (60000.0, 1.8, 108000.0)]
    pairs += [(float(b), m / 100, b * m / 100) for b in (1, 3, 7, 10, 100, 300, 5000) for m in range(101, 400)]
    dimensions = [("gate", str(index), observed, 10) for index, (_, _, observed) in enumerate(pairs)]
    thresholds = [("gate", str(index), True, b, m, None) for index, (b, m, _) in enumerate(pairs)]
    judged = judge(measured(*dimensions), configured(*thresholds))
    flagged = [pairs[int(key)] for key, outcome in outcomes(judged).items() if outcome == "bottleneck"]
    assert flagged == []


def test_a_median_a_millisecond_over_a_long_threshold_is_still_over_it():
    """Lost: a tolerance for rounding would hide real slowness of long work."""
    judged = judge(
        measured(("phase", "EXEC", 1_000_000_000.5, 10)), configured(("phase", "EXEC", True, 500_000_000.0, 2.0, None))
    )
    assert outcomes(judged) == {"EXEC": "bottleneck"}


def test_switched_off_outranks_too_few_outranks_no_baseline():
    """Lost: a dimension that was switched off would be counted as something else."""
    judged = judge(
        measured(("gate", "OFF", 9.0, 1), ("gate", "FEW", 9.0, 9), ("gate", "NEW", 9.0, 10)),
        configured(("gate", "OFF", False, 1.0, 2.0, None)),
    )
    assert outcomes(judged) == {"OFF": "switched_off", "FEW": "too_few", "NEW": "no_baseline"}


def test_a_dimensions_own_min_samples_replaces_the_default():
    """Lost: rare but important work could not be judged."""
    judged = judge(
        measured(("gate", "RARE", 300.0, 2), ("gate", "BUSY", 300.0, 99)),
        configured(("gate", "RARE", True, 100.0, 2.0, 2), ("gate", "BUSY", True, 100.0, 2.0, 100)),
    )
    assert outcomes(judged) == {"RARE": "bottleneck", "BUSY": "too_few"}
    assert {one.dimension_key: one.min_samples for one in judged} == {"RARE": 2, "BUSY": 100}


def test_the_learned_baseline_decides_if_nothing_is_configured():
    """Lost: without configuration nothing would be found."""
    judged = judge(
        measured(("gate", "SLOW", 120.0, 10), ("gate", "SAME", 120.0, 10)),
        configured(),
        ("gate", "SLOW", "bottleneck", 150.0, 100.0, 1.3),
        ("gate", "SAME", "ok", 120.0, 100.0, 1.3),
    )
    assert outcomes(judged) == {"SLOW": "bottleneck", "SAME": "ok"}
    assert {one.baseline_source for one in judged} == {"learned"}
    # Since the onset it took 150 ms, although most of the window was before it.
    assert [one.observed_p50_ms for one in judged] == [150.0, 120.0]
    assert [one.ratio for one in judged] == [1.5, 1.2]
    assert [one.onset_day for one in judged] == [date(2026, 2, 5), None]


def test_a_dimension_with_too_few_days_has_no_baseline():
    """Lost: one unusual day would be the baseline, or a division by zero would reach the findings."""
    judged = judge(
        measured(("gate", "FEW_DAYS", 500.0, 10), ("gate", "UNKNOWN", 500.0, 10)),
        configured(),
        ("gate", "FEW_DAYS", "not_enough_data", None, None, None),
    )
    assert {(one.outcome, one.ratio, one.baseline_source) for one in judged} == {("no_baseline", None, None)}


def test_a_configured_baseline_overrides_the_learned_one():
    """Lost: what a person configured would not count."""
    judged = judge(
        measured(("gate", "ALLOWED", 500.0, 10), ("gate", "OVER", 500.0, 10)),
        configured(("gate", "ALLOWED", True, 1000.0, 2.0, None), ("gate", "OVER", True, 100.0, None, None)),
        ("gate", "ALLOWED", "bottleneck", 600.0, 100.0, 1.3),
        ("gate", "OVER", "ok", 500.0, 490.0, 1.3),
    )
    assert outcomes(judged) == {"ALLOWED": "ok", "OVER": "bottleneck"}
    assert {one.baseline_source for one in judged} == {"configured"}
    assert [one.observed_p50_ms for one in judged] == [500.0, 500.0]
    assert [one.multiplier for one in judged] == [2.0, bottlenecks.DEFAULT_MULTIPLIER]
    assert {one.onset_day for one in judged} == {None}


def test_ratios_of_bottlenecks_are_finite():
    """Lost: findings would sort NaN first and print `nanx`."""
    judged = judge(
        measured(("gate", "A", 500.0, 10), ("gate", "ZERO", 0.0, 10), ("gate", "B", 500.0, 10)),
        configured(("gate", "A", True, 100.0, 2.0, None), ("gate", "ZERO", True, 100.0, 2.0, None)),
        ("gate", "B", "not_enough_data", None, None, None),
    )
    found = bottlenecks.found(judged)
    assert [(one.dimension_key, one.ratio) for one in found] == [("A", 5.0)]
    assert outcomes(judged)["ZERO"] == "ok"


def test_worst_come_first_and_ties_go_by_observed_time_then_by_name():
    """Lost: equal input would give different findings from run to run."""
    names = [("phase", "B"), ("gate", "Z"), ("gate", "A"), ("gate", "LONG"), ("gate", "WORST")]
    times = [(300.0, 100.0), (300.0, 100.0), (300.0, 100.0), (600.0, 200.0), (400.0, 100.0)]
    thresholds = [(kind, key, True, base, 2.0, None) for (kind, key), (_, base) in zip(names, times, strict=True)]
    for order in (list(range(5)), [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        of_order = measured(*[(*names[i], times[i][0], 10) for i in order])
        found = bottlenecks.found(judge(of_order, configured(*thresholds)))
        assert [one.dimension for one in found] == [
            ("gate", "WORST"),
            ("gate", "LONG"),
            ("gate", "A"),
            ("gate", "Z"),
            ("phase", "B"),
        ]


def test_no_results_give_no_judgements():
    """Lost: a quiet first week would break the analysis."""
    judged = judge(measured(), configured())
    assert (judged, bottlenecks.found(judged)) == ([], [])
    assert bottlenecks.count_outcomes(judged) == dict.fromkeys(
        (*bottlenecks.JUDGED, "too_few", "no_baseline", "switched_off", "pooled", "shared"), 0
    )


def test_pooled_keys_are_not_a_bottleneck():
    """Lost: people get an item about a dimension without a name."""
    judged = judge(
        measured(("gate", OTHER_KEYS, 900.0, 50), ("gate", "A", 900.0, 50)),
        configured(("gate", OTHER_KEYS, True, 100.0, 2.0, None), ("gate", "A", True, 100.0, 2.0, None)),
    )
    assert outcomes(judged) == {OTHER_KEYS: "pooled", "A": "bottleneck"}
    assert bottlenecks.count_outcomes(judged)["pooled"] == 1


def test_a_name_that_services_share_is_left_to_the_dimensions_of_each():
    """Lost: traffic that moves from a fast service to a slow one is taken for a slow operation."""
    judged = bottlenecks.judge(
        measured(("operation", "GET", 900.0, 50)),
        configured(("operation", "GET", True, None, None, None)),
        (),
        10,
        {("operation", "GET")},
    )
    assert outcomes(judged) == {"GET": "shared"}


def test_what_the_largest_dimension_without_a_baseline_lacks_is_said():
    """Lost: "0 of 10 spans" next to 280 spans, although days are missing."""
    young = Guard("enough_days", False, 9, 14, "9 days with spans, 14 are needed")
    newer = Guard("enough_days", False, 2, 14, "2 days with spans, 14 are needed")
    own = [Judgement("gate", "A", (young,)), Judgement("gate", "B", (newer,))]
    judged = bottlenecks.judge(measured(("gate", "A", 100.0, 280), ("gate", "B", 100.0, 20)), [], own, 10)
    assert bottlenecks.lacking(judged, own) == young.says
    assert bottlenecks.lacking([], own) is None

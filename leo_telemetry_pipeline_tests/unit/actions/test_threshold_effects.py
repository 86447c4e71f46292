"""Days that a threshold would have flagged."""

from datetime import date, timedelta

from leo_telemetry_pipeline.actions.threshold_effects import Limit, Stretch, Week, flagged

FIRST = date(2026, 2, 1)


def weeks(*p50s: float | None, spans: int = 10) -> list[Week]:
    return [Week(FIRST + timedelta(number), 0 if p50 is None else spans, p50) for number, p50 in enumerate(p50s)]


def test_consecutive_days_over_the_threshold_are_one_stretch():
    """Lost: a person cannot see how often a threshold would have alarmed."""
    found = weeks(100, 250, 300, 100, None, 201)
    assert flagged(found, Limit(100, 2.0, 10)) == [
        Stretch(date(2026, 2, 2), date(2026, 2, 3), 300),
        Stretch(date(2026, 2, 6), date(2026, 2, 6), 201),
    ]


def test_the_threshold_itself_is_not_slow_and_few_spans_are_not_judged():
    """Lost: the effect that is shown is not the rule that analyses follow."""
    assert flagged(weeks(200), Limit(100, 2.0, 10)) == []
    assert flagged(weeks(500, spans=9), Limit(100, 2.0, 10)) == []
    assert flagged(weeks(500), Limit(None, 2.0, 10)) == []

"""Stretches of days in charts."""

from datetime import date, timedelta

from leo_telemetry_pipeline.web.dashboard.charts import Band, bands

DAYS = [date(2026, 2, 1) + timedelta(number) for number in range(11)]


def test_a_stretch_covers_its_days_as_far_as_the_chart_shows_them():
    """Lost: a shaded week does not lie on the days that it means."""
    stretches = [(DAYS[2], DAYS[4]), (date(2026, 1, 1), DAYS[1]), (DAYS[10], date(2026, 3, 1)), (date(2025, 1, 1),) * 2]
    assert bands(stretches, DAYS, width=100, margin=0) == [Band(20.0, 20.0), Band(0.0, 10.0), Band(100.0, 2.0)]

"""Daily trends of many dimensions, and their changes."""

import base64
import re
from datetime import date
from xml.etree import ElementTree

import numpy as np
import pytest

from leo_telemetry_pipeline.actions.change_words import percent
from leo_telemetry_pipeline.analysis import trends
from leo_telemetry_pipeline.analysis.changes import ChangePoint, Series, day_number
from leo_telemetry_pipeline.cli.trends import BARS, spark
from leo_telemetry_pipeline.daily_rows import ZERO_BUCKET, Rows
from leo_telemetry_pipeline.defs.ui import charts

GAMMA = 1.005
FIRST = date(2026, 2, 1)


def rows_of(days: dict[tuple[int, int], dict[int, int]]) -> Rows:
    """Return rows from the histograms of (dimension, day)."""
    names, buckets = list(days), list(days.values())
    numbers = [sorted(each) for each in buckets]
    return Rows(
        dimension=np.array([dimension for dimension, _ in names]),
        day=np.array([day for _, day in names]),
        count=np.array([sum(each.values()) for each in buckets]),
        sum_ms=np.array([float(sum(each.values())) for each in buckets]),
        min_ms=np.array([0 if min(each) < 0 else int(GAMMA ** (min(each) - 1)) for each in buckets]),
        max_ms=np.array([int(GAMMA ** max(each)) + 1 for each in buckets]),
        fine_count=np.array([0 for _ in buckets]),
        ends=np.cumsum([len(each) for each in buckets]),
        buckets=np.array([number for each in numbers for number in each]),
        spans=np.array([each[number] for each, ours in zip(buckets, numbers, strict=True) for number in ours]),
    )


def test_days_are_placed_correctly_whatever_portion_they_are_in():
    """Lost: a day shows another day's duration, or a day without spans shows 0."""
    first, second = rows_of({(1, 0): {100: 3}, (0, 2): {200: 5}}), rows_of({(1, 3): {ZERO_BUCKET: 2}})
    found = trends.daily([first, second], 2, 4, GAMMA)
    assert found.count.tolist() == [[0, 0, 5, 0], [3, 0, 0, 2]]
    assert found.sum_ms.tolist() == [[0, 0, 5, 0], [3, 0, 0, 2]]
    assert np.isnan(found.p50_ms).tolist() == [[True, True, False, True], [False, True, True, False]]
    assert found.p50_ms[0, 2] == pytest.approx(GAMMA**199.5, rel=0.005)
    assert found.p99_ms[1, 3] == 0


def test_no_rows_are_days_without_spans():
    """Lost: a new installation crashes."""
    found = trends.daily([], 1, 3, GAMMA)
    assert found.count.sum() == 0
    assert np.isnan(found.p50_ms).all()


def changed(days: int, step: int, *, gaps: tuple[int, ...] = ()) -> trends.Daily:
    """Return a dimension whose duration doubles and volume halves on a day; ``gaps``: days without spans."""
    rng = np.random.default_rng(4)
    p50_ms = 1000.0 * np.where(np.arange(days) < step, 1, 2) * np.exp(rng.normal(0, 0.05, days))
    count = np.where(np.arange(days) < step, 80, 40) + rng.integers(-4, 5, days)
    count[list(gaps)], p50_ms[list(gaps)] = 0, np.nan
    rows = (p50_ms * ratio for ratio in (1, 1.5, 1.7, 2))
    return trends.Daily(count[None], (p50_ms * count)[None], *(row[None] for row in rows), fine_count=count[None])


def test_changes_of_duration_and_volume_are_found_on_their_day():
    """Lost: people cannot see that it is slower because there is more of it."""
    [changes] = trends.dimension_changes(changed(60, 40, gaps=(3, 4, 41)), FIRST, 60)
    [time], [volume] = changes.time, changes.volume
    assert (time.onset, volume.onset) == (date(2026, 3, 13), date(2026, 3, 13))
    assert time.onset_from <= time.onset <= time.onset_to
    assert time.ratio == pytest.approx(2, rel=0.1)
    assert volume.ratio == pytest.approx(0.5, rel=0.1)
    assert time.after == pytest.approx(time.before * time.ratio)
    assert 0.99 < time.confidence <= 1


FIRST_OF_TWO, SECOND = (ChangePoint(at, at, at + 1, 5.0, 6.0, 1.2, 7.0, 0.25) for at in (20_488, 20_500))


def test_today_and_days_without_spans_are_not_points_of_a_series():
    """Lost: every morning looks like a drop in volume."""
    seen: list[list[Series]] = []

    def detector(series) -> list[list[ChangePoint]]:
        seen.append(list(series))
        return [[SECOND, FIRST_OF_TWO] for _ in series]

    found = changed(6, 6, gaps=(0, 2))
    [changes] = trends.dimension_changes(found, FIRST, 5, detector)
    times, volumes = seen
    assert [series.values.tolist() for series in times] == [found.p50_ms[0, [1, 3, 4]].tolist()]
    assert [series.values.tolist() for series in volumes] == [found.count[0, [1, 3, 4]].tolist()]
    assert times[0].days is not None
    assert (times[0].days - day_number(date(2026, 2, 2))).tolist() == [0, 2, 3]
    assert changes.time == (FIRST_OF_TWO, SECOND)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([1, 2, 8], "▁▂█"),
        ([100, 102, 98, 101], "▁▂▁▁"),
        ([5, float("nan"), 5], "▁ ▁"),
        ([0, 0], "▁▁"),
        ([0, 8], "▁█"),
        ([float("nan")], ""),
        ([7], "▁"),
    ],
)
def test_a_sparkline_shows_large_changes_and_draws_noise_flat(values: list[float], line: str):
    """Lost: a stable dimension looks like the Alps, and a gap like a value."""
    assert spark(np.array(values, dtype=float)) == line


def test_a_long_period_fits_on_one_line():
    """Lost: a year does not fit in a terminal."""
    line = spark(np.repeat([1.0, 9.0], 180))
    assert len(line) == 30
    assert set(line) == {BARS[0], BARS[-1]}


@pytest.mark.parametrize(
    ("ratio", "text"), [(1.52, "+52 %"), (0.62, "-38 %"), (1.0, "+0 %"), (3.44, "3.4x"), (5.0, "5x")]
)
def test_ratios_are_percentages_or_factors(ratio: float, text: str):
    """Lost: people see +900 % instead of 10x."""
    assert percent(ratio) == text


def svg_of(image: str) -> ElementTree.Element:
    found = re.fullmatch(r"!\[trend\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", image)
    assert found
    return ElementTree.fromstring(base64.b64decode(found[1]).decode())


def test_a_plot_is_an_image_that_marks_changes_and_has_gaps_on_days_without_spans():
    """Lost: the asset page shows a broken image, or a line over days without spans."""
    found = changed(60, 40, gaps=(3, 4))
    [changes] = trends.dimension_changes(found, FIRST, 60)
    drawn = svg_of(charts.trend("gate:<A> & B", FIRST, found, 0, changes))
    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "gate:<A> & B"
    assert sum(bool(text and text.endswith("x since 2026-03-13")) for text in texts) == 2
    lines = [each.get("d") or "" for each in drawn.iter("{http://www.w3.org/2000/svg}path")]
    assert lines[-1].count("M") == 2
    assert lines[-1].count("M") + lines[-1].count("L") == 58
    numbers = [float(number) for line in lines[-2:] for number in re.findall(r"[\d.]+", line)]
    assert all(0 <= number <= 800 for number in numbers)


@pytest.mark.parametrize("p50_ms", [0.0, 1234.0])
def test_zeros_and_single_days_can_be_plotted(p50_ms: float):
    """Lost: the asset crashes on dimensions that take less than a millisecond."""
    one = np.array([[np.nan, p50_ms, np.nan]])
    found = trends.Daily(
        np.array([[0, 4, 0]]), np.nan_to_num(one), one, one, one, one, fine_count=np.array([[0, 4, 0]])
    )
    assert "nan" not in ElementTree.tostring(svg_of(charts.trend("gate:A", FIRST, found, 0, NONE))).decode()


def test_an_empty_plot_says_that_there_are_no_spans():
    """Lost: the chart of a dimension whose spans have ended fails with a division by zero."""
    assert (
        charts.trend("gate:A", FIRST, trends.daily([], 1, 3, GAMMA), 0, NONE) == "`gate:A` has no spans in these days."
    )


NONE = trends.DimensionChanges((), ())

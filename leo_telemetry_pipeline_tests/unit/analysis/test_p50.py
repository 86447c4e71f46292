"""Rows of P50s have the same columns as the results that are judged."""

from dataclasses import fields

from leo_telemetry_pipeline.analysis import p50
from leo_telemetry_pipeline.dimension import DimensionResult


def test_a_row_of_p50s_has_the_columns_of_a_result_that_is_not_judged_yet():
    """Lost: a P90 is judged as a P50 once somebody adds a column to only one of the two."""
    assert [each.name for each in fields(DimensionResult)][: len(p50.COLUMNS)] == list(p50.COLUMNS)
    assert p50.frame([])["p50_ms"].dtype == "float64"
    assert p50.frame([])["sample_count"].dtype == "int64"

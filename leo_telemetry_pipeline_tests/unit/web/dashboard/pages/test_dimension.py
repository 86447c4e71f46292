"""What the page of a dimension shows, from what an analysis stored."""

from leo_telemetry_pipeline.analysis.attributes import Separator
from leo_telemetry_pipeline.dimension import DimensionResult
from leo_telemetry_pipeline.web.dashboard.pages.dimension import VALUES_SHOWN, Apart, apart, values_of


def result(of_type: str, key: str, p50_ms: float) -> DimensionResult:
    """Return a result of ten spans."""
    return DimensionResult(of_type, key, 10, p50_ms, p50_ms, p50_ms, p50_ms, 10 * p50_ms, None, "exact")


def test_shares_of_an_attribute_are_read_from_the_findings():
    """Lost: bars without numbers."""
    words = str(Separator("model", "a: some of slow spans", 0.73, 0.32))
    found = {"set_apart_by": [words, "something else"], "slow_value": "host=web-1"}
    assert apart(found) == (
        Apart("host=web-1"),
        Apart("model=a: some of slow spans", 0.73, 0.32),
        Apart("something else"),
    )
    assert apart({}) == ()


def test_values_are_sorted_by_their_p50_and_the_rest_is_counted():
    """Lost: the slow value is on no screen."""
    parts = [result("gate+host", f"G:{number}", 100.0 + number) for number in range(VALUES_SHOWN + 3)]
    [host] = values_of(("gate", "G"), [*parts, result("gate+host", "OTHER:1", 900.0)])
    assert (host.name, len(host.values), host.more) == ("host", VALUES_SHOWN, 3)
    assert (host.values[0].value, host.values[0].share) == ("14", 1.0)


def test_values_without_a_duration_have_bars_without_length():
    """Lost: a page that divides by zero."""
    [host] = values_of(("gate", "G"), [result("gate+host", "G:a", 0.0)])
    assert host.values[0].share == 0

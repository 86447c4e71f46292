"""Services of spans, and which of them explains slower calls."""

import pytest

from benchmarks.families import forest_of
from leo_telemetry_pipeline.analysis.critical_path import Forest
from leo_telemetry_pipeline.analysis.links import ends
from leo_telemetry_pipeline.analysis.services import labelled, plain, service_of
from leo_telemetry_pipeline_tests.unit.analysis.test_critical_path import services, spans


@pytest.mark.parametrize(
    ("attributes", "service"),
    [
        ({"service.name": "shop", "pod": "cart-579b9bff58-t2dbm"}, "shop"),
        ({"pod": "ts-order-service-579b9bff58-t2dbm"}, "ts-order-service"),
        ({"k8s.pod.name": "mongo-0"}, "mongo"),
        ({"pod": "frontend"}, "frontend"),
        ({"service.name": 7, "host": "a"}, ""),
        ({}, ""),
    ],
)
def test_a_service_is_known_by_its_name_or_its_pod(attributes: dict, service: str):
    """Lost: every deployment gives a service a new name, and nothing can be compared with last week."""
    assert service_of(attributes) == service


@pytest.mark.parametrize(("key", "service"), [("operation:GET /a:b", "shop"), ("operation:GET", "")])
def test_the_name_of_work_in_a_service_is_its_dimension(key: str, service: str):
    """Lost: the item is not named after the dimension that is slow."""
    assert plain(labelled(key, service)) == (key, service)
    assert labelled("operation:GET", "shop") == "operation+service.name:GET:shop"


def test_a_server_span_beside_its_client_span_is_put_below_it():
    """Lost: the delay of a service is taken for work of the client span in its caller."""
    rows = (
        ("o:WORK", None, 0, 100),
        ("o:FILTER", "o:WORK", 1, 99),
        ("o:POST", "o:WORK", 10, 50),
        ("o:SERVER", "o:WORK", 20, 40),
        ("o:OTHER", "o:WORK", 60, 70),
    )
    trees = forest_of(spans(*rows, attributes=services("a", "a", "a", "b", "c")))
    assert trees.parents == [-1, 0, 0, 2, 0]
    assert trees.callees[2] == "b"


def called(*calls: tuple[str, str, float], times: int = 9) -> Forest:
    """Return traces of one server span each that makes calls, given by caller, callee and the gap in ms."""
    rows, names, traces = [], [], []
    for n in range(times):
        for place, (caller, callee, gap) in enumerate(calls):
            at = f"{n}-{place}"
            rows += [(f"o:{at}-CLIENT", None, 0, 100 + gap + n), (f"o:{at}-SERVER", f"o:{at}-CLIENT", 0, 100)]
            names += [caller, callee]
            traces += [at, at]
    return forest_of(spans(*rows, attributes=services(*names), trace_id=traces))


@pytest.mark.parametrize(
    ("since", "said"),
    [
        # Calls to one service are slower, but not those of its callers to other services.
        ([9, 900, 9, 9], {("a", "b"): "calls to b", ("a", "c"): "calls to c"}),
        # All that b sends is late: its answers and its own calls.
        ([9, 900, 900, 900], {("a", "b"): "calls to and from b", ("b", "d"): "calls to and from b"}),
        # Only b's own calls, to any service, are slower.
        ([9, 9, 900, 900], {("b", "d"): "calls from b", ("b", "e"): "calls from b", ("a", "b"): "calls to b"}),
    ],
)
def test_slower_calls_are_explained_by_the_service_that_all_of_them_have_in_common(since: list[float], said: dict):
    """Lost: a late network of one service is reported as four slow services, or as a slow caller."""
    links = [("a", "c"), ("a", "b"), ("b", "d"), ("b", "e")]
    before = called(*((*link, 9) for link in links))
    after = called(*((*link, gap) for link, gap in zip(links, since, strict=True)))
    found = ends(after, before)
    assert {link: found[link] for link in said} == said

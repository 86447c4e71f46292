"""Which names are shared by services, or by client and server."""

import pytest

from leo_telemetry_pipeline.store.history.name_sharing import MOST_SERVICES, shared
from leo_telemetry_pipeline.store.shared_names import SharedNames

GET = ("operation", "GET")


@pytest.mark.parametrize(
    ("rows", "attribute"),
    [
        ([("GET", "shop", "server", 900), ("GET", "mail", "server", 9)], "service.name"),
        ([("GET", "shop", "server", 900), ("GET", "shop", "client", 9)], "span.kind"),
        ([("GET", "shop", "server", 900), ("GET", "mail", "client", 9)], "service.name"),
        ([("GET", "shop", "server", 900), ("PUT", "mail", "server", 900)], None),
        ([("GET", "shop", "server", 900), ("GET", "mail", "server", 4)], None),
        # Spans without the attribute would not be judged at all.
        ([("GET", "shop", "", 900), ("GET", "mail", "", 900), ("GET", "", "", 100)], None),
        ([("GET", "shop", "server", 900), ("GET", "shop", "", 900)], None),
        ([("GET", f"pod-{n}", "server", 9) for n in range(MOST_SERVICES + 1)], None),
    ],
)
def test_a_name_is_shared_if_several_services_or_kinds_have_it(rows: list, attribute: str | None):
    """Lost: a small service that got slower hides below a bigger one with the same names."""
    assert shared(rows) == ({GET: attribute} if attribute else {})


def test_only_the_parts_of_shared_names_are_judged_and_a_threshold_keeps_the_name():
    """Lost: each operation would be judged twice; or a person's threshold would stop deciding."""
    names = SharedNames({GET: "service.name", ("operation", "a:b"): "span.kind"})
    assert names.types == ["operation+service.name", "operation+span.kind"]
    assert names.is_replaced(GET)
    assert not names.is_replaced(("operation", "PUT"))
    assert not SharedNames({GET: "service.name"}, frozenset({GET})).is_replaced(GET)
    assert names.is_part(("operation+service.name", "GET:shop"))
    assert names.is_part(("operation+span.kind", "a:b:client"))
    assert not names.is_part(("operation+service.name", "PUT:shop"))
    assert not names.is_part(("operation+span.kind", "GET:client"))

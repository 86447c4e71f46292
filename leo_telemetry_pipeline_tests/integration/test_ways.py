"""The two paths in docs/architecture.md: from a span to the table, and from a P50 to an item.

A package here is a folder or module directly in leo_telemetry_pipeline. It is *entered* when another package calls one
of its functions, and *left* when that function returns. It is entered twice if it is called while it waits for another
package: then neither of the two can be read alone. Shared packages (redact, settings, span) are entered often, but
never twice.

Imports are left out.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.builders import analyse, dagster_records, one, slow
from leo_telemetry_pipeline_tests.calls import Chain, followed
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = pytest.mark.only_on(EMBEDDED, reason="the code that is called is the same for every server")

DOC = (Path(__file__).resolve().parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
SPAN = """
import json
from leo_telemetry_pipeline_tests.calls import followed
with followed() as chains:
    from leo_telemetry_pipeline import trace
    with trace.tracer.gate("G", sd_id="SD-1") as gate:
        gate.set(gate_score=87)
    assert trace.flush(600)
    trace.writer().close(600)
print(json.dumps([list(chain) for chain in chains]))
"""


def steps_of(heading: str) -> list[str]:
    """Return the numbered lines below a heading of the page."""
    section = DOC.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\d+\. (.*(?:\n   .*)*)", section, re.MULTILINE)


def modules_in(lines: Iterable[str]) -> list[str]:
    """Return the modules named in lines, such as `store.spans`, in order."""
    return [name for line in lines for name in re.findall(r"`([a-z_]+(?:\.[a-z_0-9]+)+)`", line)]


def not_in_order(modules: Sequence[str], chains: Iterable[Chain]) -> list[str]:
    """Return the modules from the first one that was not called after its predecessors."""
    left = list(modules)
    for chain in chains:
        if left and chain[-1] == left[0]:
            del left[0]
    return left


def entered_twice(chains: Iterable[Chain]) -> list[str]:
    """Return the call chains in which a package is called while it waits for another."""
    found = {}
    for chain in chains:
        packages = [module.split(".")[0] for module in chain]
        entered = [now for before, now in zip([None, *packages], packages, strict=False) if now != before]
        if len(entered) != len(set(entered)):
            found[", which calls ".join(chain)] = None
    return list(found)


def test_a_package_that_is_called_while_it_waits_is_entered_twice():
    """Lost: the checks below would never fail."""
    fine = [("defs.a", "store.b"), ("defs.a", "defs.c", "store.b", "store.d"), ("store.e", "spool.drain")]
    assert entered_twice(fine) == []
    assert entered_twice([*fine, ("defs.a", "store.b", "defs.c")]) == [
        "defs.a, which calls store.b, which calls defs.c"
    ]


def test_the_path_of_a_span_is_the_documented_one(db: Database, database_url: str, home: Path):
    """Lost: the single direction from `trace.py` to the table, or a page that describes it correctly."""
    environment = processes.environment(home, LEO_TELEMETRY_DATABASE_URL=database_url)
    done = processes.finished([sys.executable, "-P", "-c", SPAN], environment)
    assert (done.code, done.err) == (0, "")
    assert one(db, "SELECT span_name FROM workflow_trace_log") == "G"
    chains = [tuple(chain) for chain in json.loads(done.out)]
    assert entered_twice(chains) == []
    lines = steps_of("A span, from `trace` to the table")
    assert len(lines) == 10
    assert not_in_order(modules_in(lines), chains) == []


def test_the_path_of_a_p50_is_the_documented_one(db: Database, settings: Settings):
    """Lost: the single direction from an asset to an item, or a page that describes it correctly."""
    slow(db, "A")
    dagster_records()
    with followed() as chains:
        analyse()
    assert one(db, "SELECT count(*) FROM continuous_improvements") == 1
    assert entered_twice(chains) == []
    lines = steps_of("A P50, from its asset to an item")
    assert len(lines) == 10
    assert not_in_order(modules_in(lines), chains) == []

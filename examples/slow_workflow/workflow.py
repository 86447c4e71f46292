"""A small workflow with one gate that is slow on purpose; README.md tells the story.

python examples/slow_workflow/workflow.py [HANDOFFS]
"""

import sys
import time

from leo_telemetry_pipeline import trace
from leo_telemetry_pipeline.trace import tracer

DOCUMENTS = [f"requirement {number}" for number in range(20)]
# Loading the rules takes 2 ms. The gate is slow because it loads them again for every document.
LOADS_PER_GATE = len(DOCUMENTS)


@tracer.gate("GATE_REQUIREMENTS")
def requirements_gate() -> int:
    for _ in range(LOADS_PER_GATE):
        load_rules()
    return sum(check(document) for document in DOCUMENTS)


@tracer.gate("GATE_TESTS")
def tests_gate() -> None:
    time.sleep(0.004)


def load_rules() -> None:
    time.sleep(0.002)


def check(document: str) -> bool:
    return document.startswith("requirement")


def handoff(number: int) -> None:
    with tracer.handoff("LEAD-TO-PLAN", sd_id=f"SD-SAMPLE-{number:03}", sd_type="feature"):
        with tracer.phase("LEAD"):
            requirements_gate()
        with tracer.phase("PLAN"):
            tests_gate()


def main() -> None:
    handoffs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for number in range(handoffs):
        handoff(number)
    trace.flush()
    counted = trace.counters()
    print(f"{counted['created']} spans: {counted['stored']} in the database, {counted['spooled']} on disk for later")


if __name__ == "__main__":
    main()

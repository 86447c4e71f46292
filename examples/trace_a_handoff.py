"""Measure a handoff with a phase, gates and a sub-agent, then say what became of the spans.

Run it with `python examples/trace_a_handoff.py`. It needs no database: without one its spans wait on disk.
"""

import time

from leo_telemetry_pipeline import trace
from leo_telemetry_pipeline.trace import tracer


@tracer.gate("GATE_PRD_REQUIRED")
def prd_gate() -> int:
    time.sleep(0.02)
    return 87


def main() -> None:
    queued_at = time.time() - 0.5
    with tracer.handoff("LEAD-TO-PLAN", sd_id="SD-EXAMPLE-1", sd_type="feature", queued_at=queued_at):
        with tracer.phase("setup"):
            time.sleep(0.01)
        score = prd_gate()
        with tracer.gate("GATE_TESTS") as gate:
            gate.set(gate_score=score - 20)
            gate.fail("too few tests")
        with tracer.subagent("DATABASE", model="small"):
            time.sleep(0.03)
    trace.flush()
    counted = trace.counters()
    print(f"{counted['created']} spans: {counted['stored']} in the database, {counted['spooled']} on disk for later")


if __name__ == "__main__":
    main()

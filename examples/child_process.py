"""Let a child process join the trace of the process that starts it.

Run it with `python examples/child_process.py`. It needs no database: without one its spans wait on disk.
"""

import subprocess
import sys

from leo_telemetry_pipeline import trace
from leo_telemetry_pipeline.trace import tracer


def parent() -> None:
    with tracer.handoff("EXEC-TO-PLAN", sd_id="SD-EXAMPLE-3") as handoff:
        print(f"parent: trace {handoff.trace_id:032x}", flush=True)
        # The child finds its parent in the variable TRACEPARENT.
        subprocess.run([sys.executable, __file__, "child"], env=trace.child_environment(), check=True)


def child() -> None:
    with tracer.subagent("TESTING") as subagent:
        print(f"child:  trace {subagent.trace_id:032x}")


if __name__ == "__main__":
    child() if sys.argv[1:] == ["child"] else parent()
    trace.flush()
    counted = trace.counters()
    print(f"{counted['created']} span: {counted['stored']} in the database, {counted['spooled']} on disk for later")

"""Measure an executor that knows nothing of telemetry, without editing it.

Run it with `python examples/instrument_existing.py`. It needs no database: without one its spans wait on disk.
"""

import time

from leo_telemetry_pipeline import trace


class Gate:
    """A gate of the engine: it has a name, and a method that judges a directive."""

    def __init__(self, name: str, seconds: float, score: int) -> None:
        self.name = name
        self.seconds = seconds
        self.score = score

    def validate(self, sd: dict) -> dict:
        time.sleep(self.seconds)
        return {"passed": self.score >= 80, "score": self.score, "sd": sd["id"]}


def design_review(sd: dict) -> str:
    time.sleep(0.02)
    return f"{sd['title']}: looks good"


class HandoffExecutor:
    """The engine: it runs the gates and sub-agents of a handoff, one after the other."""

    def __init__(self) -> None:
        self.gates = [Gate("GATE_PRD_REQUIRED", 0.01, 87), Gate("GATE_TESTS", 0.03, 72)]
        self.subagents = {"DESIGN": design_review}

    def execute(self, sd: dict, handoff_type: str) -> bool:
        results = [gate.validate(sd) for gate in self.gates]
        notes = [subagent(sd) for subagent in self.subagents.values()]
        print(f"{handoff_type}: {len(notes)} note")
        return all(result["passed"] for result in results)


def main() -> None:
    executor = HandoffExecutor()
    # These are the only lines that know of telemetry.
    trace.instrument(
        executor,
        gates=executor.gates,
        subagents=executor.subagents,
        describe=lambda sd, handoff_type: {"name": handoff_type, "sd_id": sd["id"], "sd_type": sd["type"]},
    )

    sd = {"id": "SD-EXAMPLE-2", "title": "Faster search", "type": "feature"}
    for handoff_type in ("LEAD-TO-PLAN", "PLAN-TO-EXEC"):
        print("  passed" if executor.execute(sd, handoff_type) else "  refused")
    trace.flush()
    counted = trace.counters()
    print(f"{counted['created']} spans: {counted['stored']} in the database, {counted['spooled']} on disk for later")


if __name__ == "__main__":
    main()

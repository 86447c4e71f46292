"""The whole loop on examples/slow_workflow: it gets slow, an item opens, its directive is worked on, analyses judge.

Belongs here: eight weeks of the program, before and after an edit. Does not: how often, and what must come of it
(integration/test_loop.py, benchmarks/accept_loop.py).
"""

import json
import os
import re
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from leo_telemetry_pipeline.definitions import defs
from leo_telemetry_pipeline.defs.names import INSIGHTS_JOB, asset_key
from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.store import directives, items, spans
from leo_telemetry_pipeline.store.directives import Directive
from leo_telemetry_pipeline.store.items import Event
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.builders import QUIET, analyse, dagster_records, midnight, row_of
from leo_telemetry_pipeline_tests.in_process import say

PROGRAM = processes.ROOT / "examples" / "slow_workflow" / "workflow.py"
HANDOFFS_PER_DAY = 20
# Days of the story on which the program becomes slow, is edited, and ends. Analyses are made twice a week.
SLOW_FROM, EDITED, END = 28, 42, 56
BEFORE_THE_EDIT, AFTER_THE_EDIT = (28, 31, 35, 38, 42), (45, 49, 52, 56)
# The slow gate sleeps 20 times for 2 ms, the repaired one once; the median slowness of the machine is 1.
SLOW_MS, REPAIRED_MS = 40.0, 2.0
# The program is too small to cost 5 minutes per week.
SETTINGS = {PREFIX + "DIRECTIVE_LOST": "1s"}


@dataclass(frozen=True)
class Edit:
    """A change of one line of the program."""

    before: str
    after: str

    def of(self, source: str) -> str:
        """Return the edited source."""
        assert source.count(self.before) == 1
        return source.replace(self.before, self.after)


# What makes each gate faster.
EDITS = {
    "GATE_REQUIREMENTS": Edit("LOADS_PER_GATE = len(DOCUMENTS)", "LOADS_PER_GATE = 1"),
    "GATE_TESTS": Edit("time.sleep(0.004)", "time.sleep(0.001)"),
}


@dataclass(frozen=True)
class Life:
    """The item of the slow gate with its events, and its directive, at the end of the story."""

    status: str
    events: list[Event]
    directive: Directive

    @property
    def effect(self) -> dict[str, Any]:
        """The measured effect of the last step."""
        return self.events[-1].effect or {}

    @property
    def holds_the_truth(self) -> bool:
        """Whether the intervals of both effects hold the true ones."""
        effect, given_back_ms = self.effect, (SLOW_MS - REPAIRED_MS) * 7 * HANDOFFS_PER_DAY
        is_ratio_held = effect["ratio_low"] <= REPAIRED_MS / SLOW_MS <= effect["ratio_high"]
        return is_ratio_held and effect["given_back_low"] <= given_back_ms <= effect["given_back_high"]


def moment(day: int) -> datetime:
    """Return the midnight at the start of a day of the story, which ends today."""
    return midnight(END - day)


def live(db: Database, folder: Path, seed: int, *, useless: bool) -> Life:
    """Let the program become slow, follow the directive, or make a useless edit, and return what came of it.

    The environment names the database. Settings in SETTINGS must be in force.
    """
    spans.ensure_partitions(db, moment(0), moment(END))
    source, program = PROGRAM.read_text(encoding="utf-8"), folder / "workflow.py"
    # Before it became slow, the program loaded its rules once.
    program.write_text(EDITS["GATE_REQUIREMENTS"].of(source), encoding="utf-8")
    run(program, 0, SLOW_FROM, seed)
    program.write_text(source, encoding="utf-8")
    run(program, SLOW_FROM, EDITED, seed + 1)
    for day in BEFORE_THE_EDIT:
        analyse_and_follow(db, day)

    [directive] = directives.all_directives(db)
    proposal = json.loads(say("directives", "export", directive.sd_key, "--format", "leo-proposal"))
    asked_for = re.findall(r"`gate:(\w+)`", proposal["key_changes"][0]["change"])
    [edit] = [edit for gate, edit in EDITS.items() if (gate in asked_for) is not useless]
    decide("approve", directive, EDITED)
    program.write_text(edit.of(source), encoding="utf-8")
    decide("done", directive, EDITED)
    run(program, EDITED, END, seed + 2)
    for day in AFTER_THE_EDIT:
        analyse_and_follow(db, day)

    [item], [directive] = items.all_items(db), directives.all_directives(db)
    assert item.dimension == ("gate", "GATE_REQUIREMENTS")
    return Life(item.status, items.events(db, item.id), directive)


def run(program: Path, first: int, end: int, seed: int) -> None:
    """Run the program on some days of the story."""
    days = (moment(first).isoformat(), str(end - first), str(HANDOFFS_PER_DAY), str(seed))
    command = [sys.executable, "-m", "leo_telemetry_pipeline_tests.dated_workflow", str(program), *days]
    done = processes.finished(command, os.environ, cwd=processes.ROOT)
    assert done.code == 0, done
    # On a busy machine, some spans wait on disk.
    say("drain")


def analyse_and_follow(db: Database, day: int) -> None:
    """Analyse the week before a day of the story, then draft and settle directives."""
    run = row_of(db, analyse({"leo_telemetry/window_end": moment(day).isoformat()}))
    assert run.status == "SUCCEEDED", run.error_detail
    job = defs.resolve_job_def(INSIGHTS_JOB)
    selection = [asset_key("directives")]
    assert job.execute_in_process(
        instance=dagster_records(), run_config=QUIET, asset_selection=selection, raise_on_error=False
    ).success


def decide(step: str, directive: Directive, day: int) -> None:
    """Take a person's step."""
    say("directives", step, directive.sd_key, "--by", "ada", "--reason", "agreed", "--at", moment(day).isoformat())

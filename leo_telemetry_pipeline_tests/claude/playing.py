"""Scenarios played on a machine on which our product is installed: by hooks, by OpenTelemetry, or by both at once.

Belongs here: installing the product as its documents say, and waiting for what it stores. Does not: expectations.
"""

import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from leo_telemetry_pipeline.store import drains
from leo_telemetry_pipeline_tests import processes
from leo_telemetry_pipeline_tests.claude import fake_api, recorder, reports, stored, truth
from leo_telemetry_pipeline_tests.claude.recorder import Recording
from leo_telemetry_pipeline_tests.claude.reports import Report
from leo_telemetry_pipeline_tests.claude.scenarios import Stage
from leo_telemetry_pipeline_tests.claude.session import Machine
from leo_telemetry_pipeline_tests.claude.stored import Row
from leo_telemetry_pipeline_tests.claude.truth import Fact
from leo_telemetry_pipeline_tests.processes import PATIENCE_S, free_port, slowness, until

AT_ONCE = 2
# What Claude Code reports is recorded in any case; where only hooks are tried, it is not passed on.
_REPORTED = {
    "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
    "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",
    "OTEL_LOG_TOOL_DETAILS": "1",
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
}
_LONG_AGO_S = 90_000


@dataclass(frozen=True)
class Played:
    """A scenario that was played: what happened, what Claude Code reported, and what is stored of it."""

    name: str
    way: str
    facts: tuple[Fact, ...]
    reported: tuple[Report, ...]
    rows: tuple[Row, ...]
    # What the receiver did not take, what Claude Code complained about, and all that is stored, as text.
    refusals: tuple[tuple[str, int, str], ...]
    complaints: str
    text: str
    # The names of spans, events and attributes that Claude Code exported.
    words: frozenset[str]
    # How much longer than an idle machine of ours this one took for what it had to do.
    slowness: float

    def is_complete(self) -> bool:
        """Tell whether what happened is stored, no less and no more, and what only exports tell of, no less."""
        if stored.shapes_of_facts(self.visible()) != stored.shapes_of_rows(self.rows):
            return False
        exported = [fact for fact in self.visible() if fact.type in stored.EXPORTED]
        return len(self.matched(stored.EXPORTED)) == len(exported)

    def matched(self, types: Sequence[str] = stored.COMPARED) -> list[tuple[Fact, Row]]:
        """Return what happened beside the rows that tell of it."""
        facts = [fact for fact in self.visible() if fact.type in types]
        return list(stored.pairs(facts, (row for row in self.rows if row.type in types)))

    def visible(self) -> list[Fact]:
        """Return what this way can see."""
        return [fact for fact in self.facts if self.way in fact.ways]


class Product:
    """Our product in a home, with a receiver that runs."""

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.port = home, port

    def exports(self) -> dict[str, str]:
        """Return the variables that `hook otel` prints."""
        done = processes.run(self.home, "hook", "otel", LEO_TELEMETRY_SERVE_PORT=str(self.port))
        assert done.code == 0, done.err
        words = [word for line in done.out.splitlines() for word in shlex.split(line, comments=True)]
        return dict(word.split("=", 1) for word in words if "=" in word)

    def install_hooks(self, project: Path) -> None:
        """Install the hooks into a project."""
        done = processes.run(self.home, "hook", "install", "--spans", "--project", str(project))
        assert done.code == 0, done.err

    def rows(self, sessions: Sequence[str]) -> list[Row]:
        """Return what is stored of sessions by now."""
        with closing(processes.inside(self.home)) as database:
            drains.drain(database, self.home, "CLI")
            return stored.rows(database, sessions)

    def text(self, sessions: Sequence[str]) -> str:
        """Return all that is stored of sessions, as text."""
        question = "SELECT t::text FROM workflow_trace_log AS t WHERE attributes->>'session.id' = ANY(%s)"
        with closing(processes.inside(self.home)) as database:
            return "\n".join(line for (line,) in database.rows(question, (list(sessions),)))

    def forget(self, session: str) -> None:
        """Let a session that was killed be one that nobody heard of for more than a day."""
        notes = self.home / "claude" / session
        if notes.exists():
            long_ago = time.time() - _LONG_AGO_S
            os.utime(notes, (long_ago, long_ago))


@contextmanager
def product() -> Iterator[Product]:
    """Run our receiver in a home of its own."""
    folder = Path(tempfile.mkdtemp(prefix="leo-"))
    # The database server does not run as root.
    folder.chmod(0o711)
    home, port = folder / "h", free_port()
    try:
        with processes.started(home, "serve", "--port", str(port)) as running:
            until(lambda: "/v1/traces" in running.said(), "the receiver is up", by=running)
            yield Product(home, port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def play(scenario: Callable[[Stage], None], way: str, product: Product, program: Path) -> Played:
    """Play a scenario, and wait for what is stored of it, which must come to be as it happened."""
    folder = Path(tempfile.mkdtemp(prefix="leo-claude-"))
    onward = "" if way == "hooks" else f"http://127.0.0.1:{product.port}"
    try:
        with fake_api.serving() as (api, record), recorder.recording(onward) as (collector, kept):
            machine = Machine(folder, program, api)
            machine.furnish()
            variables = _variables(way, product, machine, collector)
            stage = Stage(machine, record, variables, forget=product.forget)
            before = slowness()
            scenario(stage)
            return _played(scenario.__name__, way, stage, kept, product, max(before, slowness()))
    finally:
        processes.end_all_of(folder)
        shutil.rmtree(folder, ignore_errors=True)


def play_all(
    scenarios: Sequence[Callable[[Stage], None]], way: str, product: Product, program: Path
) -> dict[str, Played | BaseException]:
    """Play scenarios, several at once as most of them wait; return what came out, or why nothing did."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = {scenario.__name__: pool.submit(play, scenario, way, product, program) for scenario in scenarios}
        return {name: future.exception() or future.result() for name, future in futures.items()}


def _variables(way: str, product: Product, machine: Machine, collector: str) -> dict[str, str]:
    if way != "otel":
        product.install_hooks(machine.project)
    exports = _REPORTED if way == "hooks" else product.exports()
    ours = f"http://127.0.0.1:{product.port}"
    redirected = {name: value.replace(ours, collector) for name, value in exports.items()}
    home = {"LEO_TELEMETRY_HOME": str(product.home), "LEO_TELEMETRY_SERVE_PORT": str(product.port)}
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, **redirected, **home}


def _played(name: str, way: str, stage: Stage, kept: Recording, product: Product, slow: float) -> Played:
    facts = tuple(truth.facts(stage))
    sessions = sorted({fact.session for fact in facts})
    complaints = "".join(path.read_text() for path in stage.machine.folder.glob("stderr-*"))
    deadline = time.monotonic() + PATIENCE_S / 3
    while True:
        found = tuple(product.rows(sessions))
        reported = tuple(reports.reports(kept.requests))
        text = product.text(sessions)
        words = reports.words(kept.requests)
        played = Played(name, way, facts, reported, found, tuple(kept.refusals), complaints, text, words, slow)
        if played.is_complete() or time.monotonic() > deadline:
            return played
        time.sleep(0.5)

"""Scenarios played on a machine with our product installed: by hooks, by OpenTelemetry, or by both at once.

Belongs here: installing the product as its docs say, and waiting for what it stores. Does not: expectations.
"""

import json
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from leo_telemetry_pipeline.store import spool_drain
from leo_telemetry_pipeline_tests import builders, processes
from leo_telemetry_pipeline_tests.claude import fake_api, recorder, reports, stored, truth
from leo_telemetry_pipeline_tests.claude.recorder import Recording
from leo_telemetry_pipeline_tests.claude.reports import Report
from leo_telemetry_pipeline_tests.claude.scenarios import Stage
from leo_telemetry_pipeline_tests.claude.session import Machine
from leo_telemetry_pipeline_tests.claude.stored import Row
from leo_telemetry_pipeline_tests.claude.truth import Fact
from leo_telemetry_pipeline_tests.processes import PATIENCE_S, free_port, slowness, until

AT_ONCE = 2
# Claude Code's reports are always recorded; if only hooks are tried, they are not passed on.
_REPORTED = {
    "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
    "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",
    "OTEL_LOG_TOOL_DETAILS": "1",
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
}
_LOCAL_SETTINGS, _SHARED_SETTINGS = ".claude/settings.local.json", ".claude/settings.json"
_LONG_AGO_S = 90_000


@dataclass(frozen=True)
class Played:
    """A played scenario: what happened, what Claude Code reported, and what is stored."""

    name: str
    way: str
    facts: tuple[Fact, ...]
    reported: tuple[Report, ...]
    rows: tuple[Row, ...]
    # What the receiver refused, what Claude Code complained about, and all that is stored, as text.
    refusals: tuple[tuple[str, int, str], ...]
    complaints: str
    text: str
    # The names of spans, events and attributes that Claude Code exported.
    words: frozenset[str]
    # How much slower this machine was than an idle one of ours.
    slowness: float

    def is_complete(self) -> bool:
        """Return whether exactly the facts of compared types are stored, and every fact of exported types."""
        if stored.shapes_of_facts(self.visible()) != stored.shapes_of_rows(self.rows):
            return False
        exported = [fact for fact in self.visible() if fact.type in stored.EXPORTED]
        return len(self.matched(stored.EXPORTED)) == len(exported)

    def matched(self, types: Sequence[str] = stored.COMPARED) -> list[tuple[Fact, Row]]:
        """Return pairs of what happened and the row for it."""
        facts = [fact for fact in self.visible() if fact.type in types]
        return list(stored.pairs(facts, (row for row in self.rows if row.type in types)))

    def visible(self) -> list[Fact]:
        """Return the facts that this way can see."""
        return [fact for fact in self.facts if self.way in fact.ways]


@dataclass(frozen=True)
class Product:
    """Our product in a home, with a running receiver."""

    home: Path
    port: int
    # The output of `hook otel`, and the settings that `hook install` writes into a project.
    exports: Mapping[str, str]
    hooks: str

    @property
    def address(self) -> str:
        """The address of the receiver."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """The variables with which our programs use this home."""
        return {"LEO_TELEMETRY_HOME": str(self.home), "LEO_TELEMETRY_SERVE_PORT": str(self.port)}

    def forget(self, session: str) -> None:
        """Back-date the notes of a killed session by more than a day."""
        notes = self.home / "claude" / session
        if notes.exists():
            long_ago = time.time() - _LONG_AGO_S
            os.utime(notes, (long_ago, long_ago))


@contextmanager
def product() -> Iterator[Product]:
    """Run our receiver in its own home, with a fresh analysis."""
    folder = Path(tempfile.mkdtemp(prefix="leo-"))
    # The database server does not run as root.
    folder.chmod(0o711)
    home, port = folder / "h", free_port()
    try:
        with processes.started(home, "serve", "--port", str(port)) as running:
            until(lambda: "/v1/traces" in running.said(), "the receiver is up", by=running)
            # With a stale analysis, each session would start one, which the tests of the hook cover.
            with closing(processes.inside(home)) as database:
                builders.succeeded(database)
            yield Product(home, port, _exports(home, port), _hooks(home, folder / "project"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _exports(home: Path, port: int) -> dict[str, str]:
    """Return the variables that `hook otel` prints."""
    done = processes.run(home, "hook", "otel", LEO_TELEMETRY_SERVE_PORT=str(port))
    assert done.code == 0, done.err
    words = [word for line in done.out.splitlines() for word in shlex.split(line, comments=True)]
    return dict(word.split("=", 1) for word in words if "=" in word)


def _hooks(home: Path, project: Path) -> str:
    """Return the settings that `hook install` writes; they are the same in each project."""
    project.mkdir()
    done = processes.run(home, "hook", "install", "--spans", "--project", str(project))
    assert done.code == 0, done.err
    return (project / _LOCAL_SETTINGS).read_text()


def play(scenario: Callable[[Stage], None], products: Mapping[str, Product], program: Path) -> dict[str, Played]:
    """Play a scenario, measured in several ways, each by its own product.

    Wait until each product has stored what happened.
    """
    folder = Path(tempfile.mkdtemp(prefix="leo-claude-"))
    receiver = next((product for way, product in products.items() if way in truth.EXPORTED), None)
    onward = receiver.address if receiver else ""

    def forget(session: str) -> None:
        for product in products.values():
            product.forget(session)

    try:
        with fake_api.serving() as (api, record), recorder.recording(onward) as (collector, kept):
            machine = Machine(folder, program, api)
            machine.furnish()
            _install([product for way, product in products.items() if way in truth.HOOKED], machine.project)
            stage = Stage(machine, record, _variables(products, receiver, collector), forget=forget)
            before = slowness()
            scenario(stage)
            slow = max(before, slowness())
            return {
                way: _played(scenario.__name__, way, stage, kept, product, slow) for way, product in products.items()
            }
    finally:
        processes.end_all_of(folder)
        shutil.rmtree(folder, ignore_errors=True)


def play_all(
    scenarios: Sequence[Callable[[Stage], None]], ways: Sequence[str], program: Path
) -> dict[str, dict[str, Played] | BaseException]:
    """Play scenarios, several at once because most of them wait.

    Return for each scenario what was played in each way, or the exception that ended it.
    """
    with ExitStack() as homes, ThreadPoolExecutor(AT_ONCE) as pool:
        products = {way: homes.enter_context(product()) for way in ways}
        futures = {scenario.__name__: pool.submit(play, scenario, products, program) for scenario in scenarios}
        return {name: future.exception() or future.result() for name, future in futures.items()}


def _install(products: Sequence[Product], project: Path) -> None:
    """Install the first product's hooks as the product does, and those of a second with its home in the commands."""
    if products:
        (project / _LOCAL_SETTINGS).write_text(products[0].hooks)
    for product in products[1:]:
        (project / _SHARED_SETTINGS).write_text(_with_home(product))


def _with_home(product: Product) -> str:
    """Return the product's hook settings with its variables in each command, independent of the session's."""
    settings = json.loads(product.hooks)
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in product.variables.items())
    for entries in settings["hooks"].values():
        for hook in (hook for entry in entries for hook in entry["hooks"]):
            hook["command"] = f"{variables} {hook['command']}"
    return json.dumps(settings)


def _variables(products: Mapping[str, Product], receiver: Product | None, collector: str) -> dict[str, str]:
    exports = _REPORTED
    if receiver:
        exports = {name: value.replace(receiver.address, collector) for name, value in receiver.exports.items()}
    first = next(iter(products.values()))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, **exports, **first.variables}


def _played(name: str, way: str, stage: Stage, kept: Recording, product: Product, slow: float) -> Played:
    facts = tuple(truth.facts(stage))
    sessions = sorted({fact.session for fact in facts})
    complaints = "".join(path.read_text() for path in stage.machine.folder.glob("stderr-*"))
    deadline = time.monotonic() + PATIENCE_S / 3
    with closing(processes.inside(product.home)) as database:
        while True:
            spool_drain.drain(database, product.home, "CLI")
            found = tuple(stored.rows(database, sessions))
            reported = tuple(reports.reports(kept.requests))
            text = stored.text(database, sessions)
            words = reports.words(kept.requests)
            played = Played(name, way, facts, reported, found, tuple(kept.refusals), complaints, text, words, slow)
            if played.is_complete() or time.monotonic() > deadline:
                return played
            time.sleep(0.5)

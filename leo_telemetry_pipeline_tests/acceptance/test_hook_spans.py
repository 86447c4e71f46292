"""The hooks that measure Claude Code, with real processes: a recorded session, and any other input on stdin."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from leo_telemetry_pipeline.cli.claude.hook_spans import MANY_NOTES
from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.sources.claude import notebook
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool import spool
from leo_telemetry_pipeline.spool.drain import Drained
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests import draining
from leo_telemetry_pipeline_tests.processes import PATIENCE_S, ROOT

RECORDED = Path(__file__).parents[1] / "claude_code_hook_events.jsonl"
SESSION = "34d16b74-19b0-4e5e-8478-8384bc675ef4"
SCRIPT = Path(sys.executable).with_name("leo-telemetry")
PROGRAM = (
    [str(SCRIPT)]
    if SCRIPT.exists()
    else [sys.executable, "-c", "from leo_telemetry_pipeline.cli.main import main; main()"]
)
HOOK = [*PROGRAM, "hook", "span"]
NOTHING = (0, b"", b"")
TREE = {
    ("handoff", "claude_code.interaction", "OK", None),
    ("tool", "Bash", "OK", "claude_code.interaction"),
    ("tool", "Bash", "ERROR", "claude_code.interaction"),
    ("tool", "Bash", "OK", "general-purpose"),
    ("tool", "Bash", "OK", "Explore"),
    ("subagent", "general-purpose", "OK", "claude_code.interaction"),
    ("subagent", "general-purpose", "OK", "general-purpose"),
    ("subagent", "Explore", "OK", "claude_code.interaction"),
    ("subagent", "nope", "ERROR", "claude_code.interaction"),
}
TREE_OF = """
    SELECT c.span_type, c.span_name, c.status, p.span_name
    FROM workflow_trace_log AS c LEFT JOIN workflow_trace_log AS p
      ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id
"""


@pytest.fixture(autouse=True)
def lonely(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the hooks without a reachable database, and wait for their background processes."""
    monkeypatch.setenv(PREFIX + "DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    if not SCRIPT.exists():
        monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    yield
    wait_for(lambda: not working(home))


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_a_recorded_session_is_in_the_table_with_every_parent(home: Path, db: Database, times: int):
    """Lost: the promise that sub-agents and tools are measured without code, each once."""
    for line in RECORDED.read_text().splitlines():
        for _ in range(times):
            assert run(json.dumps(json.loads(line)["event"])) == NOTHING
    wait_for(lambda: not (home / "claude" / SESSION).exists())
    drained = drain(home, db)
    assert (drained.torn, drained.quarantined, drained.left) == (0, 0, 0)
    rows = db.rows(TREE_OF)
    assert set(rows) == TREE
    assert len(rows) == 10
    took = dict(db.rows("SELECT attributes->>'tool_use_id', duration_ms FROM workflow_trace_log"))
    assert (took["toolu_001000"], took["toolu_008000"]) == (405, 2023)


def test_twenty_tools_at_once_lose_nothing(home: Path, db: Database):
    """Lost: parallel tools that end at the same moment."""
    tools = [event("PostToolUse", tool_name="Read", tool_use_id=f"t{n}", duration_ms=n) for n in range(20)]
    assert run(event("UserPromptSubmit")) == NOTHING
    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(run, tools)) == [NOTHING] * 20
    assert run(event("Stop")) == NOTHING
    assert run(event("SessionEnd")) == NOTHING
    wait_for(lambda: not (home / "claude" / SESSION).exists())
    drain(home, db)
    rows = db.rows("SELECT duration_ms FROM workflow_trace_log WHERE span_type = 'tool' ORDER BY 1")
    assert rows == [(n,) for n in range(20)]


def test_a_long_answer_is_stored_before_it_ends(home: Path, db: Database):
    """Lost: an agent that works all night would only show in the morning."""
    home.mkdir(mode=0o711)
    (home / "claude").mkdir(mode=0o700)
    notes = home / "claude" / SESSION
    tool = {"event": "PostToolUse", "tool_name": "Read", "duration_ms": 1, "wall_ns": time.time_ns()}
    lines = ['{"event": "torn']
    while len("\n".join(lines)) < MANY_NOTES - 300:
        item = {**tool, "monotonic_ns": len(lines), "prompt_id": "p", "tool_use_id": f"t{len(lines)}"}
        lines.append(json.dumps({"session": SESSION, **item}))
    notes.write_text("\n".join(lines))
    for agent in ("a", "b"):
        assert run(event("SubagentStart", agent_id=agent, agent_type="Explore")) == NOTHING
    wait_for(lambda: notes.stat().st_size < 20_000)
    wait_for(lambda: not working(home))
    assert notes.read_text().count("SubagentStart") == 2
    assert drain(home, db).new == len(lines) - 1


def test_an_answer_that_arrives_after_the_end_of_its_session_is_kept(home: Path, db: Database):
    """Lost: the end of the last prompt, whose hook runs concurrently with that of the session's end."""
    for name in ("UserPromptSubmit", "SessionEnd", "Stop"):
        assert run(event(name)) == NOTHING
    wait_for(lambda: not working(home))
    assert not (home / "claude" / SESSION).exists()
    drain(home, db)
    assert db.rows("SELECT status, duration_ms > 0 FROM workflow_trace_log") == [("OK", True)]


@pytest.mark.parametrize("wrong", ["writable", "linked", "strange"])
def test_a_folder_that_others_could_change_takes_no_notes(home: Path, tmp_path: Path, wrong: str):
    """Lost: another user of the machine decides where a session's notes are written."""
    home.mkdir(mode=0o711)
    folder, elsewhere = home / "claude", tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if wrong == "linked":
        folder.symlink_to(elsewhere)
    else:
        folder.mkdir()
        folder.chmod(0o777 if wrong == "writable" else 0o700)
    if wrong == "strange":
        if os.geteuid():
            pytest.skip("only root can give a folder away")
        os.chown(folder, 12345, 12345)
    code, out, err = run(event("PostToolUse"))
    assert (code, out, err.count(b"\n")) == (0, b"", 1)
    assert b"only you can write to" in err
    assert list(folder.iterdir()) == list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("hook", [["span"], ["session-start"]], ids=["span", "session-start"])
def test_a_log_that_leads_elsewhere_is_not_followed(home: Path, tmp_path: Path, hook: list[str]):
    """Lost: log lines are appended to another program's file."""
    (home / "logs").mkdir(parents=True)
    (home / "spool").touch()
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    (home / "logs" / "hook.log").symlink_to(precious)
    for name in ("UserPromptSubmit", "Stop"):
        assert run(event(name), [*PROGRAM, "hook", *hook])[:2] == (0, b"")
    wait_for(lambda: not working(home))
    assert precious.read_text() == "as it was"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no event on stdin"),
        ("  \n", "no event on stdin"),
        ("{ garbage", "not JSON (9 bytes)"),
        ("[" * 100_000, "not JSON"),
        ("[1]", ""),
        ("{}", ""),
        ('{"hook_event_name": "Stop"}', ""),
        ('{"hook_event_name": "Stop", "session_id": 5}', ""),
        ('{"hook_event_name": "SessionEnd", "session_id": "../../evil"}', ""),
        ('{"hook_event_name": "SessionEnd", "session_id": "\\ud800\\u0000"}', ""),
        ('{"hook_event_name": "PreToolUse", "session_id": "s"}', ""),
    ],
)
def test_claude_code_notices_no_malformed_event(home: Path, text: str, said: str):
    """Lost: an unexpected event stops an answer, or writes a file elsewhere."""
    code, out, err = run(text)
    assert (code, out) == (0, b"")
    assert said in err.decode()
    assert err.count(b"\n") == bool(said)
    wait_for(lambda: not working(home))
    assert not (home.parent / "evil").exists()
    assert [path.name for path in (home / "claude").glob("*")] == []
    assert drain(home, None).spans == 0


def test_the_result_of_a_tool_may_be_long(home: Path):
    """Lost: the duration of every tool whose result is larger than a pipe buffer."""
    assert run(event("PostToolUse", tool_name="Read", tool_response="x" * 5_000_000, tool_use_id="t")) == NOTHING
    notes = (home / "claude" / SESSION).read_text()
    assert len(notes) < 500
    assert "xxx" not in notes


def test_notes_are_readable_only_by_their_owner(home: Path):
    """Lost: everyone with an account sees which tools a user runs."""
    assert run(event("UserPromptSubmit")) == NOTHING
    assert (home / "claude").stat().st_mode & 0o777 == 0o700
    assert (home / "claude" / SESSION).stat().st_mode & 0o777 == 0o600


def test_a_home_that_cannot_be_written_is_one_line_on_stderr(home: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: the reason why nothing is measured."""
    home.mkdir()
    (home / "file").touch()
    monkeypatch.setenv(PREFIX + "HOME", str(home / "file" / "inside"))
    code, out, err = run(event("PostToolUse"))
    assert (code, out, err.count(b"\n")) == (0, b"", 1)
    assert err.startswith(b"leo-telemetry hook: ")
    assert b"cannot be used" in err


def test_notes_stay_if_the_spool_refuses_them_and_the_log_says_so(home: Path, db: Database):
    """Lost: a session's spans, because the disk was full for a minute."""
    home.mkdir(mode=0o711)
    (home / "spool").touch()
    for name in ("UserPromptSubmit", "StopFailure"):
        assert run(event(name)) == NOTHING
    log = home / "logs" / "hook.log"
    wait_for(lambda: log.exists() and "spool_unavailable" in log.read_text())
    (home / "spool").unlink()
    assert run(event("SessionEnd")) == NOTHING
    wait_for(lambda: not (home / "claude" / SESSION).exists())
    assert drain(home, db).new == 1


def test_a_session_that_was_killed_is_closed_a_day_later(home: Path, db: Database):
    """Lost: the spans of the session; or a folder fills with notes forever."""
    assert run(event("UserPromptSubmit")) == NOTHING
    assert run(event("PostToolUse", tool_name="Bash", tool_use_id="t", duration_ms=7)) == NOTHING
    notes = home / "claude" / SESSION
    wait_for(lambda: not working(home))
    day_ago = time.time() - 86_500
    unreadable, half_written = (notes.with_name(name) for name in ("0", f"{SESSION}.part"))
    unreadable.mkdir()
    half_written.write_bytes(notes.read_bytes())
    for path in (notes, unreadable, half_written):
        os.utime(path, (day_ago, day_ago))
    assert run(event("UserPromptSubmit", session_id="11111111-2222-3333-4444-555555555555")) == NOTHING
    wait_for(lambda: not notes.exists() and not half_written.exists())
    wait_for(lambda: not working(home))
    drain(home, db)
    assert str(unreadable) in (home / "logs" / "hook.log").read_text()
    assert db.rows(TREE_OF + "ORDER BY 1") == [
        ("handoff", "claude_code.interaction", None, None),
        ("tool", "Bash", "OK", "claude_code.interaction"),
    ]


def test_an_answer_is_stored_when_its_session_has_been_quiet_and_a_running_prompt_is_left_alone(
    home: Path, db: Database
):
    """Lost: the last answer of a session that stays open; or the end of a killed one is postponed forever."""
    assert run(event("UserPromptSubmit")) == NOTHING
    wait_for(lambda: not working(home))
    quiet = time.time_ns() - 400 * 10**9
    folder, prompt = (
        home / "claude",
        {"prompt_id": "p", "wall_ns": quiet, "monotonic_ns": 10**9, "event": "UserPromptSubmit"},
    )
    stop = prompt | {"event": "Stop", "monotonic_ns": 4 * 10**9}
    answered, running = folder / "0a", folder / "0b"
    for path, notes in ((answered, [prompt, stop]), (running, [prompt])):
        path.write_text("\n".join(json.dumps({"session": path.name, **note}) for note in notes))
        os.utime(path, ns=(quiet, quiet))
    assert run(event("Stop")) == NOTHING
    wait_for(lambda: not working(home))
    assert running.stat().st_mtime_ns == quiet
    assert "Stop" not in answered.read_text()
    drain(home, db)
    assert db.rows("SELECT span_type, duration_ms FROM workflow_trace_log") == [("handoff", 3_000)]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells when a process was started")
def test_an_event_happened_when_its_hook_was_started_however_long_python_takes_to_start(home: Path, tmp_path: Path):
    """Lost: durations of prompts on a busy machine, where one hook starts in 20 ms and the next one in 200 ms."""
    began = tmp_path / "began"
    # Python runs this before our code.
    (tmp_path / "sitecustomize.py").write_text(
        f"import time\nopen({str(began)!r}, 'w').write(str(time.time_ns()))\ntime.sleep(0.5)\n"
    )
    source = "import sys; sys.argv = ['', 'hook', 'span']; from leo_telemetry_pipeline.cli.main import main; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    before = time.time_ns()
    subprocess.run(
        [sys.executable, "-c", source], input=event("UserPromptSubmit").encode(), env=environment, check=True
    )
    wait_for(lambda: not working(home))
    notes = home / notebook.FOLDER / SESSION
    [note] = [json.loads(line) for line in notes.read_text().splitlines() if "UserPromptSubmit" in line]
    # The kernel's clock tick is 10 ms.
    assert before <= note["wall_ns"] <= int(began.read_text()) + 10_000_000


@pytest.mark.parametrize("word", ["false", "OFF", "no", "0"])
def test_switched_off_nothing_happens_at_all(home: Path, monkeypatch: pytest.MonkeyPatch, word: str):
    """Lost: the promise that one variable switches everything off."""
    monkeypatch.setenv(PREFIX + "ENABLED", word)
    assert run(event("UserPromptSubmit")) == NOTHING
    assert not home.exists()


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- >&- 2>&-", "2>&-"])
def test_closed_standard_descriptors_do_no_harm(home: Path, closed: str):
    """Lost: an error message is written into the notes, or Claude Code reads the notes as output."""
    assert run(event("UserPromptSubmit"), ["sh", "-c", f'exec "$@" {closed}', "sh", *HOOK])[:2] == (0, b"")
    notes = home / "claude" / SESSION
    assert notes.exists() == (closed == "2>&-")


def test_a_stdin_that_is_never_closed_delays_claude_code_only_briefly(home: Path):
    """Lost: a session waits because its caller forgot to close a pipe."""
    with subprocess.Popen(HOOK, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(event("UserPromptSubmit").encode())
        process.stdin.flush()
        assert process.wait(timeout=PATIENCE_S) == 0
    assert (home / "claude" / SESSION).exists()


@pytest.mark.parametrize("name", ["PostToolUse", "Stop"])
def test_no_slow_import_delays_claude_code(home: Path, name: str):
    """Lost: the budget of 40 ms per tool, a good part of which any of these imports takes."""
    # The first hook also creates the folders.
    assert run(event("UserPromptSubmit")) == NOTHING
    code = "from leo_telemetry_pipeline.cli.main import main; main()"
    command = [sys.executable, "-X", "importtime", "-c", code, "hook", "span"]
    done = subprocess.run(command, input=event(name).encode(), capture_output=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert "leo_telemetry_pipeline.cli.claude.hook_spans" in loaded
    heavy = {"click", "dagster", "pathlib", "psycopg2", "subprocess", "typing", "leo_telemetry_pipeline.settings"}
    assert loaded & (heavy | {"leo_telemetry_pipeline.spool.spool", "dataclasses", "logging", "tempfile"}) == set()


def event(name: str, **fields: object) -> str:
    """Return an event in the JSON of Claude Code."""
    return json.dumps({"session_id": SESSION, "prompt_id": "p", "hook_event_name": name, **fields})


def run(text: str, command: Sequence[str] = HOOK) -> tuple[int, bytes, bytes]:
    """Run the hook as Claude Code does: the event on a pipe, both outputs read to their end."""
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=PATIENCE_S)
    return done.returncode, done.stdout, done.stderr


def drain(home: Path, db: Database | None) -> Drained:
    """Drain the spool of a home into a database."""

    def store(batch: list[Span], removed: dict[str, int]) -> spans.Stored:
        assert db is not None
        return spans.store(db, batch, removed, source="spool")

    return draining.drain(spool.folder_of(str(home)), store)


def working(home: Path) -> bool:
    """Return whether a process of a home is alive."""
    needle = f"{PREFIX}HOME={home}\0".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int(entry.name) != os.getpid() and needle in (entry / "environ").read_bytes() + b"\0":
                return True
        except OSError:
            continue
    return False


def wait_for(look: Callable[[], object]) -> None:
    """Repeat ``look`` until its result is truthy."""
    until = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < until, f"not within {PATIENCE_S} s"
        time.sleep(0.02)

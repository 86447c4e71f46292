"""A person who uses Claude Code: a machine with its own home and project, and sessions on it.

Belongs here: files, environment and processes of Claude Code. Does not: what the model says (`plans`, `fake_api`).
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from leo_telemetry_pipeline_tests.processes import PATIENCE_S, until

_HERE = Path(__file__).parent
_ALLOWED = ("Bash(sleep:*)", "Bash(exit:*)", "Bash(echo:*)", "Read", "Agent", "Skill", "SendMessage", "mcp__shop")
_FILES = {
    ".claude/agents/reader.md": "---\nname: reader\ndescription: reads\n---\nYou read.\n",
    ".claude/agents/writer.md": "---\nname: writer\ndescription: writes\n---\nYou write.\n",
    ".claude/skills/tidy/SKILL.md": "---\nname: tidy\ndescription: tidies up\n---\nTidy up. $ARGUMENTS\n",
    ".claude/commands/deploy.md": "Deploy it. $ARGUMENTS\n",
    "notes.txt": "nothing of interest\n",
}
# Sessions are too short for idle garbage collection and the second compiler to pay off; they take a third of the CPU.
_SHORT_LIVED = {"BUN_GC_TIMER_DISABLE": "1", "BUN_JSC_useDFGJIT": "0"}


@dataclass(frozen=True)
class Machine:
    """The folders of a person, and the program under test."""

    folder: Path
    program: Path
    api: str

    @property
    def project(self) -> Path:
        """The folder in which sessions run."""
        return self.folder / "project"

    @property
    def settings(self) -> Path:
        """The person's own settings of Claude Code."""
        return self.folder / ".claude" / "settings.json"

    def furnish(self) -> None:
        """Write the project, and settings that allow what plans ask for but refuse ``rm``."""
        for name, text in _FILES.items():
            (self.project / name).parent.mkdir(parents=True, exist_ok=True)
            (self.project / name).write_text(text)
        server = {"command": sys.executable, "args": [str(_HERE / "mcp_server.py")]}
        (self.folder / "mcp.json").write_text(json.dumps({"mcpServers": {"shop": server}}))
        # Of two concurrent first sessions, one may complain that this file is missing while the other creates it.
        (self.folder / ".claude.json").write_text("{}")
        self.change({"permissions": {"allow": list(_ALLOWED), "deny": ["Bash(rm:*)"]}})

    def change(self, more: Mapping[str, Any]) -> None:
        """Set top-level settings."""
        self.settings.parent.mkdir(parents=True, exist_ok=True)
        before = json.loads(self.settings.read_text()) if self.settings.exists() else {}
        self.settings.write_text(json.dumps({**before, **more}, indent=2))

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return an environment in which Claude Code reaches only this machine and sees nothing of the real user."""
        return {
            "HOME": str(self.folder),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "ANTHROPIC_BASE_URL": self.api,
            "ANTHROPIC_API_KEY": "dummy",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            **_SHORT_LIVED,
            "HTTPS_PROXY": "http://127.0.0.1:1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            **more,
        }


@dataclass(frozen=True)
class Turn:
    """A submitted prompt and its time."""

    text: str
    at: float


class Session:
    """A running Claude Code that takes prompts as lines of JSON."""

    def __init__(self, machine: Machine, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
        command = [str(machine.program), "-p", "--input-format", "stream-json", "--output-format", "stream-json"]
        command += ["--verbose", "--permission-prompt-tool", "stdio", "--mcp-config", str(machine.folder / "mcp.json")]
        self.turns: list[Turn] = []
        self.lines: list[dict[str, Any]] = []
        self.errors = (machine.folder / f"stderr-{time.monotonic_ns()}").open("wb+")
        self.process = subprocess.Popen(
            [*command, *arguments],
            env=machine.environment(variables or {}),
            cwd=machine.project,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            start_new_session=True,
        )
        # How long the person takes to answer a permission prompt, and the answer.
        self.thinks_s, self.allows = 0.0, True
        self.asked: list[tuple[float, float, dict[str, Any]]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            line = json.loads(raw)
            self.lines.append({"at": time.time(), **line})
            if line.get("type") == "control_request":
                threading.Thread(target=self._decide, args=(line,), daemon=True).start()

    def _decide(self, line: dict[str, Any]) -> None:
        begin = time.time()
        time.sleep(self.thinks_s)
        request = line["request"]
        yes = {"behavior": "allow", "updatedInput": request.get("input", {})}
        answer = yes if self.allows else {"behavior": "deny", "message": "no"}
        response = {"subtype": "success", "request_id": line["request_id"], "response": answer}
        self.asked.append((begin, time.time(), request))
        self._write({"type": "control_response", "response": response})

    def _write(self, value: dict[str, Any]) -> None:
        self._input().write(json.dumps(value).encode() + b"\n")
        self._input().flush()

    def say(self, text: str) -> None:
        """Submit a prompt without waiting for its answer."""
        self.turns.append(Turn(text, time.time()))
        self._write({"type": "user", "message": {"role": "user", "content": text}})

    def ask(self, text: str) -> None:
        """Submit a prompt and wait for its answer."""
        self.say(text)
        self.answered(len(self.turns))

    def answered(self, number: int) -> None:
        """Wait until ``number`` prompts are answered."""
        self.wait(lambda: len(self.answers()) >= number, "the prompt is answered")

    def finished(self, number: int) -> None:
        """Wait until ``number`` tasks, including sub-agents, have ended and their notifications have come."""
        self.wait(lambda: self._count("task_notification") >= number, "the tasks have ended")

    def _count(self, subtype: str) -> int:
        return sum(line.get("subtype") == subtype for line in self.lines)

    def answers(self) -> list[dict[str, Any]]:
        """Return the results of turns that the person began."""
        return [line for line in self.results() if line.get("origin", {}).get("kind") != "task-notification"]

    def interrupt(self) -> None:
        """Press Escape."""
        self._write({"type": "control_request", "request_id": "escape", "request": {"subtype": "interrupt"}})

    def results(self) -> list[dict[str, Any]]:
        """Return the results of all turns so far."""
        return [line for line in self.lines if line.get("type") == "result"]

    @property
    def id(self) -> str:
        """The session's id, as Claude Code reports it."""
        return self.lines[0]["session_id"]

    def wait(self, question: Callable[[], object], what: str) -> None:
        """Wait until a condition holds, while the program is alive."""
        until(lambda: question() or self.process.poll() is not None, what, every=0.02)
        assert question(), f"{what}: Claude Code ended with {self.process.poll()}\n{self.said()}"

    def said(self) -> str:
        """Return its complaints and its last lines, for failure messages."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace") + "\n".join(str(line)[:500] for line in self.lines[-5:])

    def close(self) -> None:
        """Close its input and wait for its end."""
        self._input().close()
        self.process.wait(timeout=PATIENCE_S)

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        self.process.kill()
        self.process.wait(timeout=PATIENCE_S)

    def release(self) -> None:
        """End the process if it still runs, and close its files."""
        self.kill()
        self._reader.join(timeout=PATIENCE_S)
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            assert pipe is not None
            # Input that a killed program did not read is lost with it.
            with suppress(BrokenPipeError):
                pipe.close()

    def _input(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin


@contextmanager
def session(machine: Machine, *arguments: str, variables: Mapping[str, str] | None = None) -> Iterator[Session]:
    """Run a session, and leave no process of it behind."""
    running = Session(machine, *arguments, variables=variables)
    try:
        yield running
        if running.process.poll() is None:
            running.close()
    finally:
        running.release()

"""What people do with Claude Code: each scenario is a few prompts with plans, played on a machine.

Belongs here: the scenarios. Does not: what must follow from them (`truth`), how they are measured.
"""

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from leo_telemetry_pipeline_tests.claude.fake_api import Record
from leo_telemetry_pipeline_tests.claude.plans import AGENT, Plan, Step, Tool, plan
from leo_telemetry_pipeline_tests.claude.session import Machine, Session, session
from leo_telemetry_pipeline_tests.processes import until

_BLOCKING = (
    "import json, sys; event = json.load(sys.stdin); event['stop_hook_active'] or "
    "print(json.dumps({'decision': 'block', 'reason': 'go on'}))"
)
_SLOW_ALLOW = (
    "import json, time; time.sleep(1); print(json.dumps({'hookSpecificOutput': "
    "{'hookEventName': 'PermissionRequest', 'decision': {'behavior': 'allow'}}}))"
)


@dataclass
class Stage:
    """The place where a scenario is played."""

    machine: Machine
    record: Record
    variables: Mapping[str, str] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    # Back-dates the notes of a killed session by a day.
    forget: Callable[[str], None] = lambda session: None

    @contextmanager
    def session(self, *arguments: str) -> Iterator[Session]:
        """Run a session on this stage's machine."""
        with session(self.machine, *arguments, variables=self.variables) as running:
            self.sessions.append(running)
            yield running

    def hook(self, event: str, code: str) -> None:
        """Add a hook of the person's own to the existing ones."""
        settings = json.loads(self.machine.settings.read_text())
        hooks = settings.get("hooks", {})
        command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"
        entry = {"hooks": [{"type": "command", "command": command}]}
        self.machine.change({"hooks": {**hooks, event: [*hooks.get(event, []), entry]}})

    def endless(self) -> Tool:
        """Return a tool that does not end until the person acts."""
        arguments = {"seconds": 600, "mark": str(self._mark)}
        return Tool("mcp__shop__lookup", arguments, "interrupted", 0.5)

    def wait_for_endless(self) -> None:
        """Wait until the endless tool has run for a while."""
        until(self._mark.exists, "the endless tool runs", every=0.02)
        time.sleep(1)

    @property
    def _mark(self) -> Path:
        return self.machine.folder / "at it"

    def answered(self, name: str, step: int) -> None:
        """Wait until the model has given the answer of a step."""
        until(lambda: self.has_answered(name, step), f"step {step} of plan {name} is answered", every=0.02)

    def has_answered(self, name: str, step: int) -> bool:
        """Return whether the model has given the answer of a step."""
        return any((one.plan, one.step) == (name, step) for one in self.record.exchanges)


def bash(command: str, fate: str = "ok") -> Tool:
    """Return a shell command."""
    return Tool("Bash", {"command": command, "description": "work"}, fate)


def sleep(seconds: float) -> Tool:
    """Return a shell command that takes its time."""
    return replace(bash(f"sleep {seconds}"), takes=seconds)


def agent(kind: str, task: Plan, *, background: bool = False, fate: str = "ok") -> Tool:
    """Return the launch of a sub-agent."""
    arguments = {"description": "work", "prompt": task.prompt(), "subagent_type": kind}
    return Tool("Agent", {**arguments, "run_in_background": background}, fate)


def load(name: str) -> Step:
    """Return the step in which the model looks up a tool before it may use it."""
    return Step(tools=(Tool("ToolSearch", {"query": f"select:{name}"}),))


def lookup(seconds: float, *, fail: bool = False) -> Tool:
    """Return a call of the MCP server."""
    return Tool("mcp__shop__lookup", {"seconds": seconds, "fail": fail}, "failed" if fail else "ok", seconds)


def plain(stage: Stage) -> None:
    """Answer one prompt at once and another after a while."""
    with stage.session() as person:
        person.ask(plan("plain-1").prompt())
        person.ask(plan("plain-2", Step(first=0.5, rest=0.3)).prompt())


def tools(stage: Stage) -> None:
    """Run tools one after another, several at once, and two that fail."""
    read = Tool("Read", {"file_path": str(stage.machine.project / "notes.txt")})
    missing = Tool("Read", {"file_path": str(stage.machine.project / "missing.txt")}, "failed")
    with stage.session() as person:
        person.ask(plan("tools-1", Step(tools=(sleep(0.3),)), Step(tools=(read,))).prompt())
        person.ask(plan("tools-2", Step(tools=(bash("exit 3", "failed"),)), Step(tools=(missing,))).prompt())
        person.ask(plan("tools-3", Step(tools=(sleep(0.4), sleep(0.2), read))).prompt())


def mcp(stage: Stage) -> None:
    """Call a tool of an MCP server, once successfully and once not."""
    steps = load("mcp__shop__lookup"), Step(tools=(lookup(0.3),)), Step(tools=(lookup(0.1, fail=True),))
    with stage.session() as person:
        person.ask(plan("mcp-1", *steps).prompt())


def skills(stage: Stage) -> None:
    """Let the model call a skill and then work."""
    skill = Tool("Skill", {"skill": "tidy"})
    with stage.session() as person:
        person.ask(plan("skills-1", Step(tools=(skill,)), Step(tools=(sleep(0.2),))).prompt())


def slash(stage: Stage) -> None:
    """Type a custom command and a skill with a slash, and a built-in command."""
    with stage.session() as person:
        person.ask("/deploy " + plan("slash-1", Step(tools=(sleep(0.2),))).prompt())
        person.ask("/tidy " + plan("slash-2").prompt())
        person.ask("/context")


def foreground(stage: Stage) -> None:
    """Launch a sub-agent that the prompt waits for."""
    task = plan("foreground-a", Step(tools=(sleep(0.4),)))
    with stage.session() as person:
        person.ask(plan("foreground-1", Step(tools=(agent("reader", task),))).prompt())


def background(stage: Stage) -> None:
    """Launch a sub-agent in the background: first the prompt ends, then a notification comes."""
    task = plan("background-a", Step(tools=(sleep(1.5),)))
    with stage.session() as person:
        person.ask(plan("background-1", Step(tools=(agent("reader", task, background=True),))).prompt())
        person.finished(1)
        person.ask(plan("background-2").prompt())


def parallel(stage: Stage) -> None:
    """Launch sub-agents at once, in the foreground and in the background."""
    first, second = (plan(f"parallel-{n}", Step(tools=(sleep(n / 10),))) for n in (3, 6))
    third = plan("parallel-9", Step(tools=(sleep(0.9),)))
    step = Step(tools=(agent("reader", first), agent("writer", second), agent("reader", third, background=True)))
    with stage.session() as person:
        person.ask(plan("parallel-main", step, Step(tools=(sleep(0.1),))).prompt())
        person.finished(3)


def notified_early(stage: Stage) -> None:
    """Let a background sub-agent end while the prompt that launched it still works."""
    task = plan("early-a", Step(tools=(sleep(0.1),)))
    steps = Step(tools=(agent("writer", task, background=True),)), Step(tools=(sleep(1.5),)), Step(tools=(sleep(0.1),))
    with stage.session() as person:
        person.ask(plan("early-1", *steps).prompt())
        person.finished(1)


def nested(stage: Stage) -> None:
    """Launch a sub-agent that launches a sub-agent."""
    inner = plan("nested-b", Step(tools=(sleep(0.3),)))
    outer = plan("nested-a", Step(tools=(agent("writer", inner),)))
    with stage.session() as person:
        person.ask(plan("nested-1", Step(tools=(agent("general-purpose", outer),))).prompt())


def continued(stage: Stage) -> None:
    """Continue an ended sub-agent with a message."""
    first = plan("continued-a", Step(tools=(sleep(0.2),)))
    again = plan("continued-b", Step(tools=(sleep(0.5),)))
    message = Tool("SendMessage", {"to": AGENT, "message": again.prompt(), "summary": "go on"})
    steps = Step(tools=(agent("reader", first),)), load("SendMessage"), Step(tools=(message,)), Step(first=0.2)
    with stage.session() as person:
        person.ask(plan("continued-1", *steps).prompt())
        person.finished(2)


def agent_error(stage: Stage) -> None:
    """Let a sub-agent end with an API error while the prompt goes on."""
    task = plan("agent-error-a", Step(tools=(sleep(0.2),)), Step(error=400))
    steps = Step(tools=(agent("reader", task, fate="failed"),)), Step(tools=(sleep(0.3),))
    with stage.session() as person:
        person.ask(plan("agent-error-1", *steps).prompt())


def api_error(stage: Stage) -> None:
    """End a prompt with an API error, answer the second attempt of another, and refuse a third."""
    with stage.session() as person:
        person.ask(plan("api-error-1", Step(tools=(sleep(0.2),)), Step(error=400)).prompt())
        person.ask(plan("api-error-2", Step(error=529, times=1), Step()).prompt())
        person.ask(plan("api-error-3", Step("no", stop="refusal")).prompt())


def refused(stage: Stage) -> None:
    """Refuse one tool by the settings and one by the person."""
    with stage.session() as person:
        person.allows = False
        person.thinks_s = 0.4
        person.ask(plan("refused-1", Step(tools=(bash("rm -f x", "refused"),))).prompt())
        person.ask(plan("refused-2", Step(tools=(bash("touch x", "refused"),))).prompt())


def waiting(stage: Stage) -> None:
    """Let a tool wait for the person, who allows it."""
    with stage.session() as person:
        person.thinks_s = 1.0
        person.ask(plan("waiting-1", Step(tools=(replace(bash("touch x && sleep 0.3"), takes=0.3),))).prompt())


def waiting_hook(stage: Stage) -> None:
    """Let a tool wait for a hook, which allows it."""
    stage.hook("PermissionRequest", _SLOW_ALLOW)
    with stage.session() as person:
        person.ask(plan("waiting-hook-1", Step(tools=(replace(bash("touch x && sleep 0.3"), takes=0.3),))).prompt())


def compaction(stage: Stage) -> None:
    """Compact a session and go on with it."""
    with stage.session() as person:
        person.ask(plan("compaction-1").prompt())
        person.ask("/compact")
        person.ask(plan("compaction-2", Step(tools=(sleep(0.2),))).prompt())


def blocking_stop(stage: Stage) -> None:
    """Send Claude Code back to work with a hook of the person's."""
    stage.hook("Stop", _BLOCKING)
    steps = Step(), Step(tools=(sleep(0.5),)), Step()
    with stage.session() as person:
        person.ask(plan("blocking-1", *steps).prompt())


def killed(stage: Stage) -> None:
    """Kill a session while a tool runs; a later session closes its spans."""
    steps = load("mcp__shop__lookup"), Step(tools=(sleep(0.2),)), Step(tools=(stage.endless(),))
    with stage.session() as person:
        person.ask(plan("killed-1", Step(tools=(sleep(0.2),))).prompt())
        person.say(plan("killed-2", *steps).prompt())
        stage.wait_for_endless()
        # Claude Code exports every five seconds.
        time.sleep(8)
        person.kill()
    stage.forget(person.id)
    with stage.session() as person:
        person.ask(plan("killed-3").prompt())


def resumed(stage: Stage) -> None:
    """Leave a session and resume it."""
    with stage.session() as person:
        person.ask(plan("resumed-1", Step(tools=(sleep(0.2),))).prompt())
        name = person.id
    with stage.session("--resume", name) as person:
        person.ask(plan("resumed-2", Step(tools=(sleep(0.2),))).prompt())


def two_at_once(stage: Stage) -> None:
    """Run two sessions at once in one project."""
    with stage.session() as one, stage.session() as other:
        one.say(plan("two-1", Step(tools=(sleep(0.4),))).prompt())
        other.ask(plan("two-2", Step(tools=(sleep(0.2),))).prompt())
        one.answered(1)


def interrupted(stage: Stage) -> None:
    """Interrupt a prompt, and submit another."""
    steps = load("mcp__shop__lookup"), Step(tools=(stage.endless(),))
    with stage.session() as person:
        person.say(plan("interrupted-1", *steps).prompt())
        stage.wait_for_endless()
        person.interrupt()
        person.answered(1)
        person.ask(plan("interrupted-2").prompt())


def queued(stage: Stage) -> None:
    """Submit a prompt while another one is being answered."""
    with stage.session() as person:
        person.say(plan("queued-1", Step(tools=(sleep(3),)), Step(tools=(sleep(0.2),))).prompt())
        stage.answered("queued-1", 0)
        time.sleep(0.3)
        person.say(plan("queued-2", Step(tools=(sleep(0.3),))).prompt())
        person.answered(1)
        stage.answered("queued-2", 1)


def unknown_agent(stage: Stage) -> None:
    """Launch a sub-agent that does not exist, and go on."""
    steps = Step(tools=(agent("nobody", plan("unknown-a"), fate="failed"),)), Step(tools=(sleep(0.2),))
    with stage.session() as person:
        person.ask(plan("unknown-1", *steps).prompt())


def background_shell(stage: Stage) -> None:
    """Run a shell command in the background; a notification reports its end."""
    shell = Tool("Bash", {"command": "sleep 1", "description": "work", "run_in_background": True})
    with stage.session() as person:
        person.ask(plan("shell-1", Step(tools=(shell,))).prompt())
        person.finished(1)


ALL: tuple[Callable[[Stage], None], ...] = (
    plain,
    tools,
    mcp,
    skills,
    slash,
    foreground,
    background,
    parallel,
    notified_early,
    nested,
    continued,
    agent_error,
    api_error,
    refused,
    waiting,
    waiting_hook,
    compaction,
    blocking_stop,
    killed,
    resumed,
    two_at_once,
    interrupted,
    queued,
    unknown_agent,
    background_shell,
)

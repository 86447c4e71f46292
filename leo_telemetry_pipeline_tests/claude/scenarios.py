"""What people do with Claude Code: each scenario is a few prompts with their plans, played on a machine.

Belongs here: the scenarios. Does not: what must follow from them (`truth`), or how they are measured.
"""

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from leo_telemetry_pipeline_tests.claude.fake_api import Record
from leo_telemetry_pipeline_tests.claude.plans import AGENT, Plan, Step, Tool, plan
from leo_telemetry_pipeline_tests.claude.session import Machine, Session, session
from leo_telemetry_pipeline_tests.processes import until

_BLOCKING = "import json, sys; json.load(sys.stdin)['stop_hook_active'] or print(json.dumps({'decision': 'block', 'reason': 'go on'}))"
_SLOW_ALLOW = (
    "import json, time; time.sleep(1); print(json.dumps({'hookSpecificOutput': "
    "{'hookEventName': 'PermissionRequest', 'decision': {'behavior': 'allow'}}}))"
)


@dataclass
class Stage:
    """Where a scenario is played."""

    machine: Machine
    record: Record
    variables: Mapping[str, str] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)

    @contextmanager
    def session(self, *arguments: str) -> Iterator[Session]:
        """Run a session on this stage's machine."""
        with session(self.machine, *arguments, variables=self.variables) as running:
            self.sessions.append(running)
            yield running

    def hook(self, event: str, code: str) -> None:
        """Give the person a hook of their own, beside those that are there."""
        settings = json.loads(self.machine.settings.read_text())
        hooks = settings.get("hooks", {})
        command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"
        entry = {"hooks": [{"type": "command", "command": command}]}
        self.machine.change({"hooks": {**hooks, event: [*hooks.get(event, []), entry]}})

    def answered(self, name: str, step: int) -> None:
        """Wait until the model has given the answer of a step."""
        until(lambda: self.has_answered(name, step), f"step {step} of plan {name} is answered", every=0.02)

    def has_answered(self, name: str, step: int) -> bool:
        """Tell whether the model has given the answer of a step."""
        return any((one.plan, one.step) == (name, step) for one in self.record.exchanges)


def bash(command: str, fate: str = "ok", **more: object) -> Tool:
    """Return a shell command."""
    return Tool("Bash", {"command": command, "description": "work", **more}, fate)


def agent(kind: str, task: Plan, *, background: bool = False, fate: str = "ok") -> Tool:
    """Return the launch of a sub-agent."""
    arguments = {"description": "work", "prompt": task.prompt(), "subagent_type": kind}
    return Tool("Agent", {**arguments, "run_in_background": background}, fate)


def load(name: str) -> Step:
    """Return the step by which the model looks a tool up before it may use it."""
    return Step(tools=(Tool("ToolSearch", {"query": f"select:{name}"}),))


def lookup(seconds: float, *, fail: bool = False) -> Tool:
    """Return a call of the MCP server."""
    return Tool("mcp__shop__lookup", {"seconds": seconds, "fail": fail}, "failed" if fail else "ok")


def plain(stage: Stage) -> None:
    """Prompts that are answered at once, and one that takes its time."""
    with stage.session() as person:
        person.ask(plan("plain-1").prompt())
        person.ask(plan("plain-2", Step(first=0.5, rest=0.3)).prompt())


def tools(stage: Stage) -> None:
    """Tools one after the other, several at once, and one that fails."""
    read = Tool("Read", {"file_path": str(stage.machine.project / "notes.txt")})
    missing = Tool("Read", {"file_path": str(stage.machine.project / "missing.txt")}, "failed")
    with stage.session() as person:
        person.ask(plan("tools-1", Step(tools=(bash("sleep 0.3"),)), Step(tools=(read,))).prompt())
        person.ask(plan("tools-2", Step(tools=(bash("exit 3", "failed"),)), Step(tools=(missing,))).prompt())
        person.ask(plan("tools-3", Step(tools=(bash("sleep 0.4"), bash("sleep 0.2"), read))).prompt())


def mcp(stage: Stage) -> None:
    """A tool of an MCP server, which works and which fails."""
    steps = load("mcp__shop__lookup"), Step(tools=(lookup(0.3),)), Step(tools=(lookup(0.1, fail=True),))
    with stage.session() as person:
        person.ask(plan("mcp-1", *steps).prompt())


def skills(stage: Stage) -> None:
    """A skill that the model calls, and the work that follows."""
    skill = Tool("Skill", {"skill": "tidy"})
    with stage.session() as person:
        person.ask(plan("skills-1", Step(tools=(skill,)), Step(tools=(bash("sleep 0.2"),))).prompt())


def slash(stage: Stage) -> None:
    """A custom command and a skill, both typed with a slash, and a built-in command."""
    with stage.session() as person:
        person.ask("/deploy " + plan("slash-1", Step(tools=(bash("sleep 0.2"),))).prompt())
        person.ask("/tidy " + plan("slash-2").prompt())
        person.ask("/context")


def foreground(stage: Stage) -> None:
    """A sub-agent that the prompt waits for."""
    task = plan("foreground-a", Step(tools=(bash("sleep 0.4"),)))
    with stage.session() as person:
        person.ask(plan("foreground-1", Step(tools=(agent("reader", task),))).prompt())


def background(stage: Stage) -> None:
    """A sub-agent in the background: the prompt ends first, then a notification comes."""
    task = plan("background-a", Step(tools=(bash("sleep 1.5"),)))
    with stage.session() as person:
        person.ask(plan("background-1", Step(tools=(agent("reader", task, background=True),))).prompt())
        person.wait(lambda: len(person.results()) == 2, "the notification is answered")
        person.ask(plan("background-2").prompt())


def parallel(stage: Stage) -> None:
    """Sub-agents at once, in the foreground and in the background."""
    first, second = (plan(f"parallel-{n}", Step(tools=(bash(f"sleep 0.{n}"),))) for n in (3, 6))
    third = plan("parallel-9", Step(tools=(bash("sleep 0.9"),)))
    step = Step(tools=(agent("reader", first), agent("writer", second), agent("reader", third, background=True)))
    with stage.session() as person:
        person.ask(plan("parallel-main", step, Step(tools=(bash("sleep 0.1"),))).prompt())
        person.wait(lambda: stage.has_answered("parallel-9", 1), "the last sub-agent has answered")
        time.sleep(1)


def nested(stage: Stage) -> None:
    """A sub-agent that launches a sub-agent."""
    inner = plan("nested-b", Step(tools=(bash("sleep 0.3"),)))
    outer = plan("nested-a", Step(tools=(agent("writer", inner),)))
    with stage.session() as person:
        person.ask(plan("nested-1", Step(tools=(agent("general-purpose", outer),))).prompt())


def continued(stage: Stage) -> None:
    """A sub-agent that ends and is continued by a message."""
    first = plan("continued-a", Step(tools=(bash("sleep 0.2"),)))
    again = plan("continued-b", Step(tools=(bash("sleep 0.5"),)))
    message = Tool("SendMessage", {"to": AGENT, "message": again.prompt(), "summary": "go on"})
    steps = Step(tools=(agent("reader", first),)), load("SendMessage"), Step(tools=(message,)), Step(first=0.2)
    with stage.session() as person:
        person.ask(plan("continued-1", *steps).prompt())
        person.wait(lambda: len(person.results()) == 2, "the notification is answered")


def agent_error(stage: Stage) -> None:
    """A sub-agent that dies of an error of the API, in the foreground, while the prompt goes on."""
    task = plan("agent-error-a", Step(tools=(bash("sleep 0.2"),)), Step(error=400))
    steps = Step(tools=(agent("reader", task, fate="failed"),)), Step(tools=(bash("sleep 0.3"),))
    with stage.session() as person:
        person.ask(plan("agent-error-1", *steps).prompt())


def api_error(stage: Stage) -> None:
    """A prompt that ends with an error of the API, one whose second attempt is answered, and one that is refused."""
    with stage.session() as person:
        person.ask(plan("api-error-1", Step(tools=(bash("sleep 0.2"),)), Step(error=400)).prompt())
        person.ask(plan("api-error-2", Step(error=529, times=1), Step()).prompt())
        person.ask(plan("api-error-3", Step("no", stop="refusal")).prompt())


def refused(stage: Stage) -> None:
    """A tool that the settings forbid, and one that the person refuses."""
    with stage.session() as person:
        person.allows = False
        person.thinks_s = 0.4
        person.ask(plan("refused-1", Step(tools=(bash("rm -f x", "refused"),))).prompt())
        person.ask(plan("refused-2", Step(tools=(bash("touch x", "refused"),))).prompt())


def waiting(stage: Stage) -> None:
    """A tool that waits for the person, who says yes."""
    with stage.session() as person:
        person.thinks_s = 1.0
        person.ask(plan("waiting-1", Step(tools=(bash("touch x && sleep 0.3"),))).prompt())


def waiting_hook(stage: Stage) -> None:
    """A tool that waits for a hook, which says yes."""
    stage.hook("PermissionRequest", _SLOW_ALLOW)
    with stage.session() as person:
        person.ask(plan("waiting-hook-1", Step(tools=(bash("touch x && sleep 0.3"),))).prompt())


def compaction(stage: Stage) -> None:
    """A session that is compacted and goes on."""
    with stage.session() as person:
        person.ask(plan("compaction-1").prompt())
        person.ask("/compact")
        person.ask(plan("compaction-2", Step(tools=(bash("sleep 0.2"),))).prompt())


def blocking_stop(stage: Stage) -> None:
    """A hook of the person's that sends Claude Code back to work."""
    stage.hook("Stop", _BLOCKING)
    steps = Step(), Step(tools=(bash("sleep 0.5"),)), Step()
    with stage.session() as person:
        person.ask(plan("blocking-1", *steps).prompt())


def killed(stage: Stage) -> None:
    """A session that is killed while a tool runs."""
    with stage.session() as person:
        person.ask(plan("killed-1", Step(tools=(bash("sleep 0.2"),))).prompt())
        person.say(plan("killed-2", Step(tools=(bash("sleep 0.2"),)), Step(tools=(bash("sleep 60"),))).prompt())
        stage.answered("killed-2", 1)
        time.sleep(1)
        person.kill()


def resumed(stage: Stage) -> None:
    """A session that is left and taken up again."""
    with stage.session() as person:
        person.ask(plan("resumed-1", Step(tools=(bash("sleep 0.2"),))).prompt())
        name = person.id
    with stage.session("--resume", name) as person:
        person.ask(plan("resumed-2", Step(tools=(bash("sleep 0.2"),))).prompt())


def two_at_once(stage: Stage) -> None:
    """Two sessions in one project."""
    with stage.session() as one, stage.session() as other:
        one.say(plan("two-1", Step(tools=(bash("sleep 0.4"),))).prompt())
        other.ask(plan("two-2", Step(tools=(bash("sleep 0.2"),))).prompt())
        one.wait(one.results, "the other prompt is answered")


def interrupted(stage: Stage) -> None:
    """A prompt that the person interrupts, and another."""
    with stage.session() as person:
        person.say(plan("interrupted-1", Step(tools=(bash("sleep 30", "failed"),))).prompt())
        stage.answered("interrupted-1", 0)
        time.sleep(1)
        person.interrupt()
        person.wait(person.results, "the interrupted prompt has ended")
        person.ask(plan("interrupted-2").prompt())


def background_shell(stage: Stage) -> None:
    """A shell command in the background, whose end is notified."""
    with stage.session() as person:
        person.ask(plan("shell-1", Step(tools=(bash("sleep 1", run_in_background=True),))).prompt())
        person.wait(lambda: len(person.results()) == 2, "the notification is answered")


ALL: tuple[Callable[[Stage], None], ...] = (
    plain,
    tools,
    mcp,
    skills,
    slash,
    foreground,
    background,
    parallel,
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
    background_shell,
)

"""The commands ``leo-telemetry hook ...``: wiring our hooks into a project, and out of it.

Belongs here: which settings file, reading and writing it, what is printed.
Does not: how its text is edited (claude_settings), what the hooks do (hook, hook_child, hook_spans).
"""

import os
import shlex
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import click

from leo_telemetry_pipeline.cli import claude_settings, program
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings

_project = click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The project's folder; your home folder means all projects, with --shared (default: here).",
)
_shared = click.option(
    "--shared", is_flag=True, help="settings.json, which a team shares, and the command by its name."
)


@click.group()
def hook() -> None:
    """Let Claude Code ask for an analysis when the last one is old, and be measured itself."""


@hook.command("session-start")
def session_start() -> None:
    """Take a SessionStart event on stdin; Claude Code runs this."""
    from leo_telemetry_pipeline.cli.hook import session_start as start

    start()


@hook.command("run-child", hidden=True)
def run_child() -> None:
    """Do in the foreground what session-start does behind one's back; its log goes to stderr."""
    from leo_telemetry_pipeline.cli import hook_child

    hook_child.main()


@hook.command("span")
def span() -> None:
    """Take the event of a prompt, sub-agent or tool on stdin; Claude Code runs this."""
    from leo_telemetry_pipeline.cli import hook_spans

    hook_spans.main()


@hook.command()
def otel() -> None:
    """Print what makes Claude Code send its own spans to `leo-telemetry serve`, for a shell to evaluate."""
    for name, value in _exports(Settings()).items():
        click.echo(f"export {name}={shlex.quote(value)}")


@hook.command()
@_project
@_shared
@click.option("--spans", is_flag=True, help="Measure prompts, sub-agents and tools too.")
def install(project: Path, shared: bool, spans: bool) -> None:
    """Add the hooks to a project's .claude/settings.local.json."""
    path = _settings_file(project, shared)
    name = program.NAME if shared else str(program.find())
    if _edit(path, lambda text: _with_hooks(text, name, spans)):
        click.echo(f"Wrote to {path}, under hooks.{claude_settings.START}: {claude_settings.command(name)}")
        if spans:
            events = claude_settings.SPAN_EVENTS
            click.echo(f"and under {', '.join(events)}: {claude_settings.command(name, events[0])}")
        click.echo("It runs from the next session on. To undo this: " + _undo(project, shared))
    else:
        click.echo(f"{path} has the hook already: nothing was changed.")
    if not spans:
        click.echo("To measure sub-agents and tools too: `leo-telemetry hook install --spans`, or `hook otel`.")


@hook.command()
@_project
@_shared
def uninstall(project: Path, shared: bool) -> None:
    """Remove all our hooks from a project's .claude/settings.local.json."""
    path = _settings_file(project, shared)
    if not path.exists() or not _edit(path, claude_settings.remove):
        click.echo(f"{path} does not have the hook: nothing was changed.")
        return
    click.echo(f"Removed our hooks from {path}.")
    if path.read_text("utf-8").strip() == "{}" and not path.is_symlink():
        path.unlink()
        with suppress(OSError):
            path.parent.rmdir()
        click.echo("Nothing else was in that file, so it was removed.")


def _with_hooks(text: str, name: str, spans: bool) -> str:
    """Return the text with the hooks that were asked for; those of ours that are there are corrected in any case."""
    for event in (claude_settings.START, *claude_settings.SPAN_EVENTS):
        if spans or event == claude_settings.START or claude_settings.has(text, event):
            text = claude_settings.add(text, claude_settings.command(name, event), event)
    return text


def _exports(settings: Settings) -> dict[str, str]:
    """Return the environment in which Claude Code sends spans, and log events that complete them, to our receiver."""
    # An address that means all of them is none to connect to.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.serve_host, settings.serve_host)  # noqa: S104
    place = f"[{host}]" if ":" in host else host
    exports = {
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",
        # Without it sub-agents, skills and MCP servers have no names.
        "OTEL_LOG_TOOL_DETAILS": "1",
    }
    for signal in ("traces", "logs"):
        name = signal.upper()
        exports[f"OTEL_{name}_EXPORTER"] = "otlp"
        exports[f"OTEL_EXPORTER_OTLP_{name}_PROTOCOL"] = "http/protobuf"
        exports[f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT"] = f"http://{place}:{settings.serve_port}/v1/{signal}"
        if settings.serve_token:
            # Clients decode it: it may hold commas and spaces.
            exports[f"OTEL_EXPORTER_OTLP_{name}_HEADERS"] = "Authorization=" + quote(
                f"Bearer {settings.serve_token}", ""
            )
    return exports


def _settings_file(project: Path, shared: bool) -> Path:
    return project.absolute() / ".claude" / ("settings.json" if shared else "settings.local.json")


def _undo(project: Path, shared: bool) -> str:
    words = [program.NAME, "hook", "uninstall", "--project", str(project.absolute())]
    return shlex.join(words + ["--shared"] * shared)


def _edit(path: Path, change: Callable[[str], str]) -> bool:
    """Change the text of a file, or of the one that it links to; return whether it changed at all."""
    try:
        real = path.resolve()
        before = real.read_bytes().decode() if real.exists() else ""
        after = change(before)
        if after == before:
            return False
        _replace(real, after.encode())
    except claude_settings.NotEditable as error:
        raise UserError(f"{path}, line {error.line}: {error}; correct it, it was left as it is") from None
    except UnicodeError:
        raise UserError(f"{path} is not UTF-8 text; correct it, it was left as it is") from None
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path} cannot be changed: {getattr(error, 'strerror', None) or error}") from None
    return True


def _replace(real: Path, content: bytes) -> None:
    """Put a file in its place at once and whole, with the mode and the owner that it had."""
    real.parent.mkdir(parents=True, exist_ok=True)
    part = real.with_name(f".{real.name}.{os.getpid()}")
    before = real.stat() if real.exists() else None
    try:
        with part.open("xb") as file:
            if before is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
                if before.st_uid != os.geteuid():
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(real)
    finally:
        part.unlink(missing_ok=True)

"""``leo-telemetry hook``: install our hooks in a project, and uninstall them.

Belongs here: choosing, reading and writing the settings file, output. Does not: editing its text (claude_settings),
diagnosis (installed_hooks), the hooks themselves (hook, hook_child, hook_spans).
"""

import os
import shlex
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import click

from leo_telemetry_pipeline.cli.claude import claude_settings, installed_hooks, settings_backup
from leo_telemetry_pipeline.cli.processes import own_command
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings, user_folder

_project = click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The project's folder (default: here); with --shared, your home folder means all projects.",
)
_shared = click.option(
    "--shared", is_flag=True, help="Use settings.json, which a team shares, and name the command without its path."
)


@click.group()
def hook() -> None:
    """Let Claude Code queue an analysis when the last one is stale, and measure its work."""


@hook.command("session-start")
def session_start() -> None:
    """Handle a SessionStart event on stdin; Claude Code runs this."""
    from leo_telemetry_pipeline.cli.claude.hook import session_start as start

    start()


@hook.command("run-child", hidden=True)
def run_child() -> None:
    """Run the background part of session-start in the foreground; its log goes to stderr."""
    from leo_telemetry_pipeline.cli.claude import hook_child

    hook_child.main()


@hook.command("span")
def span() -> None:
    """Handle the event of a prompt, sub-agent or tool on stdin; Claude Code runs this."""
    from leo_telemetry_pipeline.cli.claude import hook_spans

    hook_spans.main()


@hook.command()
def otel() -> None:
    """Print the environment in which Claude Code sends its own spans to `leo-telemetry serve`, for a shell to eval."""
    for name, value in _exports(Settings()).items():
        click.echo(f"export {name}={shlex.quote(value)}")


@hook.command()
@_project
@_shared
@click.option("--spans", is_flag=True, help="Also measure prompts, sub-agents and tools.")
def install(project: Path, shared: bool, spans: bool) -> None:
    """Add the hooks to a project's .claude/settings.local.json."""
    path = _settings_file(project, shared)
    name = own_command.NAME if shared else str(own_command.find())
    if _edit(path, lambda text: _with_hooks(text, name, spans), first=_remember):
        click.echo(f"Wrote to {path}, under hooks.{claude_settings.START}: {claude_settings.command(name)}")
        if spans:
            events = claude_settings.SPAN_EVENTS
            click.echo(f"and under {', '.join(events)}: {claude_settings.command(name, events[0])}")
        click.echo("It runs from the next session on. To undo this: " + _undo(project, shared))
    else:
        click.echo(f"{path} already has the hook: nothing was changed.")
    for warning in _warnings(project, shared):
        click.echo(warning)
    if not spans:
        click.echo("To also measure sub-agents and tools: `leo-telemetry hook install --spans`, or `hook otel`.")


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
    _restore(path)


def _warnings(project: Path, shared: bool) -> Iterator[str]:
    """Yield a line for each reason why a hook that was just installed does not run."""
    if shared and (line := _not_found()):
        yield line
    if off := installed_hooks.off_for(project):
        yield f'No hook runs: "{off[1]}" in {off[0]} switches all of them off. Remedy: {installed_hooks.remedy_of(off)}'


def _not_found() -> str:
    if installed_hooks.why_broken(own_command.NAME):
        return (
            f"{own_command.NAME} is not on PATH, so this hook does nothing: {installed_hooks.on_path()},"
            " or install without --shared"
        )
    environment = os.environ.get("VIRTUAL_ENV", "")
    elsewhere = [folder for folder in os.get_exec_path() if folder != str(Path(environment, "bin"))]
    if environment and shutil.which(own_command.NAME, path=os.pathsep.join(elsewhere)) is None:
        return (
            f"{own_command.NAME} is on PATH only while the virtual environment {environment} is active:"
            f" start Claude Code in it, or {installed_hooks.on_path()}"
        )
    return ""


def _remember(real: Path, before: str | None, after: str) -> None:
    """Record the original file if removing our hooks would not restore it exactly."""
    text = None if before is None else claude_settings.remove(before)
    folder, left = real.parent.exists(), claude_settings.remove(after)
    known = settings_backup.recall(real)
    if known and text != before and known.left == settings_backup.digest(text or ""):
        # Our hooks are already installed: the record is from before the first of them.
        text, folder = known.text, known.folder
    backup = None if left == text else settings_backup.Original(text, folder, settings_backup.digest(left))
    try:
        settings_backup.remember(real, backup)
    except (OSError, UserError) as error:
        click.echo(f"The original {real} cannot be recorded, so uninstalling will not restore it: {error}", err=True)


def _restore(path: Path) -> None:
    """Restore the original of a file whose hooks were removed, unless someone else has changed it since."""
    real = path.resolve()
    left, backup = real.read_bytes().decode(), settings_backup.recall(real)
    if backup is None or backup.left != settings_backup.digest(left):
        if left.strip("\ufeff \t\r\n") == "{}":
            click.echo("The file has no other settings. It stays, since it may have existed before.")
        return
    if backup.text is not None:
        _replace(real, backup.text.encode())
    else:
        real.unlink()
        if not backup.folder:
            with suppress(OSError):
                real.parent.rmdir()
        click.echo("The file did not exist before, so it was removed.")
    settings_backup.remember(real, None)


def _with_hooks(text: str, name: str, spans: bool) -> str:
    """Return the text with the requested hooks; hooks of ours that it already has are always corrected."""
    for event in (claude_settings.START, *claude_settings.SPAN_EVENTS):
        if spans or event == claude_settings.START or claude_settings.has(text, event):
            text = claude_settings.add(text, claude_settings.command(name, event), event)
    return text


def _exports(settings: Settings) -> dict[str, str]:
    """Return the environment in which Claude Code sends spans, and log events that complete them, to our receiver."""
    # Clients cannot connect to the wildcard address.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.serve_host, settings.serve_host)  # noqa: S104
    place = f"[{host}]" if ":" in host else host
    exports = {
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",
        # Without this, sub-agents, skills and MCP servers have no names.
        "OTEL_LOG_TOOL_DETAILS": "1",
    }
    for signal in ("traces", "logs"):
        name = signal.upper()
        exports[f"OTEL_{name}_EXPORTER"] = "otlp"
        exports[f"OTEL_EXPORTER_OTLP_{name}_PROTOCOL"] = "http/protobuf"
        exports[f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT"] = f"http://{place}:{settings.serve_port}/v1/{signal}"
        if settings.serve_token:
            # Percent-encoded, since the token may contain commas and spaces.
            exports[f"OTEL_EXPORTER_OTLP_{name}_HEADERS"] = "Authorization=" + quote(
                f"Bearer {settings.serve_token}", ""
            )
    return exports


def _settings_file(project: Path, shared: bool) -> Path:
    if shared and project.resolve() == user_folder().resolve():
        return installed_hooks.user_file()
    return project.absolute() / ".claude" / ("settings.json" if shared else "settings.local.json")


def _undo(project: Path, shared: bool) -> str:
    words = [own_command.NAME, "hook", "uninstall", "--project", str(project.absolute())]
    return shlex.join(words + ["--shared"] * shared)


def _edit(
    path: Path, change: Callable[[str], str], first: Callable[[Path, str | None, str], None] = lambda *_: None
) -> bool:
    """Edit the text of a file, or of the file that it links to; return whether it changed.

    Before anything is written, ``first`` is called with the file, its text (None if there is none) and the new text.
    """
    try:
        real = path.resolve()
        text = real.read_bytes().decode() if real.exists() else None
        after = change(text or "")
        if after == (text or ""):
            return False
        first(real, text, after)
        _replace(real, after.encode())
    except claude_settings.NotEditable as error:
        raise UserError(f"{path}, line {error.line}: {error}; correct it first, the file was not changed") from None
    except UnicodeError:
        raise UserError(f"{path} is not UTF-8 text; correct it first, the file was not changed") from None
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path} cannot be changed: {getattr(error, 'strerror', None) or error}") from None
    return True


def _replace(real: Path, content: bytes) -> None:
    """Replace a file atomically, keeping its mode and owner."""
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

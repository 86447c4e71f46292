"""``leo-telemetry service``: keep a worker running as a systemd or launchd service.

Belongs here: installing the service file, running systemctl or launchctl. Does not: the file's text (service_files),
the worker itself (``leo-telemetry worker``).
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from leo_telemetry_pipeline.cli.processes import own_command
from leo_telemetry_pipeline.cli.processes.service_files import (
    LABEL,
    Service,
    described,
    plist_text,
    secrets_file,
    secrets_text,
    unit_text,
)
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import PREFIX, Settings, user_folder

UNIT = "leo-telemetry-worker.service"
_OTHERWISE = (
    "run `leo-telemetry worker` in a terminal instead, or from cron every hour: "
    "`leo-telemetry enqueue --if-stale && leo-telemetry worker --once`"
)


@dataclass(frozen=True)
class Manager:
    """Service manager, systemd or launchd: the file that it reads, and the commands that control it."""

    path: Path
    text: Callable[[Service], bytes]
    start: Sequence[Sequence[str]]
    stop: Sequence[Sequence[str]]
    after: Sequence[Sequence[str]]
    status: Sequence[str]
    hint: str = ""


def manager() -> Manager:
    """Return this machine's service manager: the system's for root, else the user's."""
    system = os.geteuid() == 0
    if sys.platform == "darwin":
        domain = "system" if system else f"gui/{os.getuid()}"
        folder = Path("/Library/LaunchDaemons") if system else user_folder() / "Library" / "LaunchAgents"
        path, name = folder / f"{LABEL}.plist", f"{domain}/{LABEL}"
        start = (("launchctl", "bootstrap", domain, str(path)),)
        return Manager(path, plist_text, start, [("launchctl", "bootout", name)], [], ("launchctl", "print", name))
    tool = ("systemctl",) if system else ("systemctl", "--user")
    folder = Path("/etc/systemd/system")
    if not system:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or user_folder() / ".config") / "systemd" / "user"
    reload = (*tool, "daemon-reload")
    return Manager(
        folder / UNIT,
        lambda service: unit_text(service, system=system).encode(),
        # `enable --now` would leave a running worker with the old settings.
        (reload, (*tool, "enable", UNIT), (*tool, "restart", UNIT)),
        ((*tool, "disable", "--now", UNIT),),
        (reload,),
        (*tool, "is-active", "--quiet", UNIT),
        "" if system else "It runs while you are logged in; `loginctl enable-linger` removes that limit.",
    )


@click.group()
def service() -> None:
    """Keep a worker running as a service: systemd on Linux, launchd on macOS."""


@service.command()
def install() -> None:
    """Write the service file with the current settings, and start the service."""
    settings, its = Settings(), manager()
    if not settings.enabled:
        raise UserError(f"{PREFIX}ENABLED is false, which switches everything off: unset it")
    new = described(own_command.find(), settings, os.environ)
    tool = its.status[0]
    if shutil.which(tool) is None:
        raise UserError(f"{tool} is not on this machine, so nothing was installed: {_OTHERWISE}")
    before = {path: path.read_bytes() if path.exists() else None for path in (its.path, new.secrets_file)}
    try:
        _put(new.secrets_file, secrets_text(new.secrets).encode() if new.secrets else None, 0o600)
        _put(its.path, its.text(new), 0o644)
        if sys.platform == "darwin":
            (new.home / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
            _run_all(its.stop)
        problem = _run_all(its.start, tries=5 if sys.platform == "darwin" else 1)
    except OSError as error:
        problem = f"{error.filename}: {error.strerror}"
    if problem:
        if before[its.path] is None:
            _run_all(its.stop)
        for path, content in before.items():
            with suppress(OSError):
                _put(path, content, 0o600 if path == new.secrets_file else 0o644)
        _run_all(its.after)
        raise UserError(f"The service could not be installed ({problem}), nothing was changed: {_OTHERWISE}")
    click.echo(f"Wrote {its.path} and started the worker. To undo this: leo-telemetry service uninstall")
    if its.hint:
        click.echo(its.hint)


@service.command()
def uninstall() -> None:
    """Stop the service and remove its file."""
    its = manager()
    if not its.path.exists():
        click.echo(f"No service is installed: {its.path} does not exist.")
        return
    problem = _run_all(its.stop)
    try:
        secrets = secrets_file(its.path.read_bytes())
        if secrets is not None:
            _put(secrets, None, 0o600)
        its.path.unlink()
    except OSError as error:
        raise UserError(f"{error.filename} cannot be removed: {error.strerror}") from None
    _run_all(its.after)
    click.echo(f"Removed {its.path}." + (f" A worker may still run ({problem})." if problem else ""))


@service.command()
@click.pass_context
def status(context: click.Context) -> None:
    """Print whether the service is installed and its worker running. Exit status 1 if not."""
    its = manager()
    runs = its.path.exists() and not _run_all([its.status])
    click.echo(f"{its.path}: " + ("running" if runs else "not running" if its.path.exists() else "not installed"))
    context.exit(0 if runs else 1)


def _run_all(commands: Sequence[Sequence[str]], tries: int = 1) -> str:
    """Run commands up to the first that fails, and return its error; retries give launchd time to unload."""
    problem = ""
    for command in commands:
        for attempt in range(tries):
            time.sleep(0.5 if attempt else 0)
            problem = _run(command)
            if not problem:
                break
        else:
            return problem
    return ""


def _run(command: Sequence[str]) -> str:
    try:
        process = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"`{shlex.join(command)}`: {error}"
    if process.returncode == 0:
        return ""
    lines = (process.stderr or process.stdout).strip().splitlines() or [f"status {process.returncode}"]
    return f"`{shlex.join(command)}`: {lines[0]}"


def _put(path: Path, content: bytes | None, mode: int) -> None:
    """Write a file atomically, or remove it if ``content`` is None."""
    if content is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
    part.replace(path)

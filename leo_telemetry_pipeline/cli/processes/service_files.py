"""Text of service files: a systemd unit or launchd property list, and the file with secrets.

Belongs here: these texts, from the current settings. Does not: writing them, running systemctl or launchctl (service).
"""

import plistlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from leo_telemetry_pipeline.settings import PREFIX, SETTINGS, Settings

LABEL = "leo-telemetry.worker"
URL_VARIABLES = (PREFIX + "DATABASE_URL", PREFIX + "DAGSTER_DATABASE_URL")
SECRET_VARIABLES = (PREFIX + "SERVE_TOKEN", PREFIX + "ALERT_URLS")


@dataclass(frozen=True)
class Service:
    """Description of the service: its program, environment, and the secret part of the environment."""

    program: Path
    environment: Mapping[str, str]
    home: Path
    secrets: Mapping[str, str]

    @property
    def secrets_file(self) -> Path:
        """Path of the file with the secret part of the environment; only its owner may read it."""
        return self.home / "service.env"


def described(where: Path, settings: Settings, environ: Mapping[str, str]) -> Service:
    """Return the service with the current settings."""
    environment = {setting.variable: environ[setting.variable] for setting in SETTINGS if environ.get(setting.variable)}
    # The default depends on variables that a service manager does not have.
    environment[PREFIX + "HOME"] = str(settings.home)
    secrets = {name: environment.pop(name) for name in list(environment) if _is_secret(name, environment[name])}
    return Service(where, environment, settings.home, secrets)


def unit_text(service: Service, *, system: bool) -> str:
    """Return the systemd unit."""
    lines = [f"Environment={_quoted(f'{name}={value}')}" for name, value in sorted(service.environment.items())]
    if service.secrets:
        lines.append("EnvironmentFile=" + str(service.secrets_file).replace("%", "%%"))
    environment = "\n".join(lines)
    return f"""\
# Written by `leo-telemetry service install`, and removed by `leo-telemetry service uninstall`.
[Unit]
Description=leo-telemetry worker: runs the analyses that sessions and schedules request
StartLimitIntervalSec=0

[Service]
Type=exec
# Wait while a `dev` runs in a terminal; a worker that exits would be restarted every 30 seconds.
ExecStart={_quoted(str(service.program))} worker --wait
{environment}
# Dagster would read a .env file in its working directory.
WorkingDirectory=/
Restart=on-failure
RestartSec=30
Nice=10
# The worker ends its own children, and the database only if nobody else uses it, so systemd must not kill them.
KillMode=process
TimeoutStopSec=60

[Install]
WantedBy={"multi-user.target" if system else "default.target"}
"""


def plist_text(service: Service) -> bytes:
    """Return the launchd property list."""
    command = [str(service.program), "worker", "--wait"]
    if service.secrets:
        command = ["/bin/sh", "-c", 'set -a; . "$0"; exec "$@"', str(service.secrets_file), *command]
    log = str(service.home / "logs" / "worker.log")
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": command,
            "EnvironmentVariables": dict(sorted(service.environment.items())),
            "WorkingDirectory": "/",
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 30,
            "Nice": 10,
            "StandardOutPath": log,
            "StandardErrorPath": log,
        },
        sort_keys=False,
    )


def secrets_text(secrets: Mapping[str, str]) -> str:
    """Format variables so that both systemd and a shell can read them."""
    # The characters that both interpret between double quotes.
    return "".join(
        name + '="' + re.sub(r'(["\\`$])', r"\\\1", value) + '"\n' for name, value in sorted(secrets.items())
    )


def secrets_file(written: bytes) -> Path | None:
    """Return the path of the secrets file that a unit or property list of ours names."""
    if written.startswith(b"<?xml"):
        command = plistlib.loads(written)["ProgramArguments"]
        return Path(command[3]) if command[0] == "/bin/sh" else None
    named = re.search(r"^EnvironmentFile=(.+)$", written.decode(), re.MULTILINE)
    return Path(named.group(1).replace("%%", "%")) if named else None


def _quoted(text: str) -> str:
    """Quote one word for systemd, which expands ``%``."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{escaped}"'


def _is_secret(name: str, value: str) -> bool:
    return name in SECRET_VARIABLES or (name in URL_VARIABLES and _has_password(value))


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return True  # An unreadable URL may contain a password.
    return bool(parts.password or "password" in parse_qs(parts.query))

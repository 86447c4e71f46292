"""Service files and their installation, also if the service manager refuses."""

import os
import plistlib
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from leo_telemetry_pipeline.cli.processes import service as commands
from leo_telemetry_pipeline.cli.processes import service_files
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings

SECRET_URL = 'postgresql://leo:pa$s"w\\or`d%40@db.example/telemetry'


def made(environ: dict[str, str], program: str = "/opt/my env/bin/leo-telemetry") -> service_files.Service:
    """Return the service for an environment."""
    environ = {"LEO_TELEMETRY_HOME": "/srv/leo"} | environ
    return service_files.described(Path(program), Settings(environ), environ)


def test_the_unit_runs_the_worker_with_the_current_settings():
    """Lost: the service uses another database or home than the person who installed it."""
    service = made({"LEO_TELEMETRY_STALE_AFTER": "3d", "LEO_TELEMETRY_DAGSTER_URL": "not a setting", "PATH": "/bin"})
    lines = service_files.unit_text(service, system=False).splitlines()
    assert 'ExecStart="/opt/my env/bin/leo-telemetry" worker --wait' in lines
    assert [line for line in lines if line.startswith("Environment")] == [
        'Environment="LEO_TELEMETRY_HOME=/srv/leo"',
        'Environment="LEO_TELEMETRY_STALE_AFTER=3d"',
    ]
    assert {"Restart=on-failure", "Nice=10", "WantedBy=default.target"} <= set(lines)
    assert "WantedBy=multi-user.target" in service_files.unit_text(service, system=True).splitlines()


def test_the_home_is_set_explicitly():
    """Lost: without XDG_DATA_HOME, the service uses another home, without history."""
    service = service_files.described(Path("/bin/leo-telemetry"), Settings({}), {})
    assert service.environment == {"LEO_TELEMETRY_HOME": str(Settings({}).home)}


@pytest.mark.parametrize("url", [SECRET_URL, "postgresql://db.example/telemetry?user=leo&password=x", "postgresql://["])
def test_a_password_is_only_in_a_file_that_others_cannot_read(url: str):
    """Lost: all users of the machine can read the database's password."""
    service = made({"LEO_TELEMETRY_DATABASE_URL": url})
    for text in (service_files.unit_text(service, system=True), service_files.plist_text(service).decode()):
        assert "DATABASE_URL" not in text
        assert service_files.secrets_file(text.encode()) == Path("/srv/leo/service.env")
    assert service.secrets == {"LEO_TELEMETRY_DATABASE_URL": url}


def test_no_secrets_file_is_needed_without_a_password():
    """Lost: an installation writes an unnecessary file."""
    service = made({"LEO_TELEMETRY_DATABASE_URL": "postgresql://leo@db.example/telemetry"})
    assert service_files.secrets_file(service_files.unit_text(service, system=False).encode()) is None
    assert service_files.secrets_file(service_files.plist_text(service)) is None
    assert service.environment["LEO_TELEMETRY_DATABASE_URL"] == "postgresql://leo@db.example/telemetry"


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["C", "Zl", "Zp"]), max_size=20))
def test_a_secret_reaches_the_worker_unchanged_through_a_shell(value: str):
    """Lost: on macOS, the database refuses a password with a dollar sign."""
    text = service_files.secrets_text({"SECRET": value})
    words = shlex.split(text.replace("\\$", "$").replace("\\`", "`"))
    assert words == [f"SECRET={value}"]


def test_launchd_passes_settings_and_secret_to_the_worker(tmp_path: Path):
    """Lost: on macOS, the worker starts without the address of its database."""
    secret = made({"LEO_TELEMETRY_DATABASE_URL": SECRET_URL, "LEO_TELEMETRY_HOME": str(tmp_path)}, "/usr/bin/env")
    (tmp_path / "service.env").write_text(service_files.secrets_text(secret.secrets))
    written = plistlib.loads(service_files.plist_text(secret))
    assert written["EnvironmentVariables"] == {"LEO_TELEMETRY_HOME": str(tmp_path)}
    assert written["KeepAlive"] == {"SuccessfulExit": False}
    # The program `env` takes the place of the worker and prints its environment.
    command = [word for word in written["ProgramArguments"] if word not in ("worker", "--wait")]
    printed = subprocess.run(command, env={}, capture_output=True, text=True, check=True).stdout
    assert f"LEO_TELEMETRY_DATABASE_URL={SECRET_URL}\n" in printed


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_accepts_the_unit(tmp_path: Path):
    """Lost: a unit fails only on the user's machine."""
    program = tmp_path / "my 100% env" / "leo-telemetry"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    service = made({"LEO_TELEMETRY_DATABASE_URL": SECRET_URL, "LEO_TELEMETRY_HOME": str(program.parent)}, str(program))
    unit = tmp_path / commands.UNIT
    unit.write_text(service_files.unit_text(service, system=False))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if commands.UNIT in line] == []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Simulate the machine of a normal user; its systemctl records its arguments and succeeds."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    for name, value in {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "LEO_TELEMETRY_HOME": str(tmp_path / "home"),
        "LEO_TELEMETRY_DATABASE_URL": SECRET_URL,
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "bin").mkdir()
    script(tmp_path, "leo-telemetry", "exit 0")
    script(tmp_path, "systemctl", f'echo "$*" >> {tmp_path}/recorded')
    return tmp_path


def script(place: Path, name: str, body: str) -> None:
    """Put a program on the PATH of a simulated machine."""
    (place / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
    (place / "bin" / name).chmod(0o755)


def invoke(command: str) -> str:
    """Run ``leo-telemetry service ...`` and return what it prints; its errors are raised."""
    return CliRunner().invoke(commands.service, [command], catch_exceptions=False).output


def files(place: Path) -> list[str]:
    """Return the files of a simulated machine, without its programs."""
    found = (path for path in place.rglob("*") if path.is_file() and path.parent.name != "bin")
    return sorted(str(path.relative_to(place)) for path in found)


def test_install_writes_the_unit_starts_it_and_names_the_undo_command(place: Path):
    """Lost: the worker is not running after `service install`."""
    said = invoke("install")
    assert files(place) == ["config/systemd/user/leo-telemetry-worker.service", "home/service.env", "recorded"]
    assert stat.S_IMODE((place / "home" / "service.env").stat().st_mode) == 0o600
    unit = "leo-telemetry-worker.service"
    assert (place / "recorded").read_text().splitlines() == [
        "--user daemon-reload",
        f"--user enable {unit}",
        f"--user restart {unit}",
    ]
    assert "leo-telemetry service uninstall" in said
    assert invoke("status").endswith(": running\n")


def test_uninstall_removes_unit_and_secret_even_if_the_home_has_changed(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: a password stays on disk after the service is removed."""
    invoke("install")
    monkeypatch.setenv("LEO_TELEMETRY_HOME", str(place / "another"))
    assert "Removed" in invoke("uninstall")
    assert files(place) == ["recorded"]
    assert "--user disable --now leo-telemetry-worker.service" in (place / "recorded").read_text()
    assert "No service is installed" in invoke("uninstall")
    assert invoke("status").endswith(": not installed\n")


def test_a_password_removed_from_the_settings_is_removed_from_disk(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: an old password stays on disk, and the old database in use."""
    invoke("install")
    monkeypatch.delenv("LEO_TELEMETRY_DATABASE_URL")
    invoke("install")
    assert "home/service.env" not in files(place)


def test_a_failed_installation_leaves_no_file_and_names_the_remedy(place: Path):
    """Lost: half of an installation stays, and the message names no alternative."""
    script(place, "systemctl", "echo 'Failed to connect to bus: No medium found' >&2; exit 1")
    with pytest.raises(UserError, match=r"Failed to connect to bus.*worker --once"):
        invoke("install")
    assert files(place) == []


def test_a_failed_installation_restores_the_previous_one(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: a working service, by trying to change it."""
    invoke("install")
    before = {name: (place / name).read_bytes() for name in files(place) if name != "recorded"}
    script(place, "systemctl", "exit 1")
    monkeypatch.setenv("LEO_TELEMETRY_DATABASE_URL", "postgresql://leo:other@db.example/telemetry")
    with pytest.raises(UserError, match="status 1"):
        invoke("install")
    assert {name: (place / name).read_bytes() for name in files(place) if name != "recorded"} == before


def test_nothing_is_written_without_a_service_manager(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: in a container, a unit that nothing reads is silently written."""
    (place / "bin" / "systemctl").unlink()
    monkeypatch.setenv("PATH", str(place / "bin"))
    with pytest.raises(UserError, match="systemctl is not on this machine"):
        invoke("install")
    assert files(place) == []


def test_no_service_is_installed_while_everything_is_switched_off(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: a worker starts and exits every 30 seconds forever."""
    monkeypatch.setenv("LEO_TELEMETRY_ENABLED", "false")
    with pytest.raises(UserError, match="ENABLED is false"):
        invoke("install")


def test_launchd_gets_its_own_commands(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: `service install` on macOS."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "getuid", lambda: 501)
    monkeypatch.setenv("HOME", str(place))
    script(place, "launchctl", f'echo "$*" >> {place}/recorded')
    plist = place / "Library" / "LaunchAgents" / "leo-telemetry.worker.plist"
    invoke("install")
    assert plistlib.loads(plist.read_bytes())["Label"] == "leo-telemetry.worker"
    invoke("uninstall")
    assert files(place) == ["recorded"]
    assert (place / "recorded").read_text().splitlines() == [
        "bootout gui/501/leo-telemetry.worker",
        f"bootstrap gui/501 {plist}",
        "bootout gui/501/leo-telemetry.worker",
    ]

"""Settings: name, default, environment variable and meaning of each.

Belongs here: settings of an operator, and the location of our files.
Does not: thresholds, which are in the database because people change them at run time.
"""

from __future__ import annotations

import os
import sys

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.setting_values import (
    addresses,
    application,
    count,
    hours,
    kept_days,
    names,
    networks,
    optional_seconds,
    port,
    ratio,
    seconds,
    size,
    switch,
    time_of_day,
    unquoted,
)

# The measured program reads a setting without importing these.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import time
    from ipaddress import IPv4Network, IPv6Network
    from pathlib import Path

PREFIX = "LEO_TELEMETRY_"


class Setting:
    """One setting: environment variable ``LEO_TELEMETRY_<NAME>``, default text, meaning."""

    __slots__ = ("default", "meaning", "name", "parse")

    def __init__(self, name: str, default: str, parse, meaning: str) -> None:
        self.name = name
        self.default = default
        self.parse = parse
        self.meaning = meaning

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return PREFIX + self.name.upper()


def user_folder() -> Path:
    """Return the user's home folder, or / for a user id without an account."""
    from pathlib import Path

    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def _default_home() -> str:
    from pathlib import Path

    if os.geteuid() == 0 if hasattr(os, "geteuid") else False:
        # PostgreSQL does not run as root, and its user cannot enter root's private folder.
        return "/var/lib/leo-telemetry"
    if sys.platform == "darwin":
        return str(user_folder() / "Library" / "Application Support" / "leo-telemetry")
    base = os.environ.get("XDG_DATA_HOME") or str(user_folder() / ".local" / "share")
    return str(Path(base) / "leo-telemetry")


SETTINGS = (
    Setting("home", "", str, "everything kept on disk: database, logs, Dagster's files"),
    Setting("database_url", "", str, "an outside PostgreSQL 15 or newer instead of the embedded one"),
    Setting("dagster_database_url", "", str, "a direct address for Dagster's tables if the other one is a pooler's"),
    Setting("dagster_schema", "dagster", str, "schema for Dagster's own tables in an outside database"),
    Setting("enabled", "true", switch, "false switches everything off: collection, hook, analyses"),
    Setting("stale_after", "7d", seconds, "if the last analysis is older than this, the next trigger starts one"),
    Setting("deadline", "900s", seconds, "an analysis that runs longer ends TIMED_OUT"),
    Setting("exact_spans", "500000", count, "up to this many spans in a window, P50s are exact"),
    Setting("min_samples", "10", count, "a dimension with fewer spans in the window is not judged"),
    Setting("keep", "90d", kept_days, "how long spans are kept after their day and their import; at least 35d"),
    Setting("archive", "", str, "folder to which spans are archived as Parquet before they are dropped"),
    Setting("ui_port", "3000", port, "port of the Dagster UI, on 127.0.0.1"),
    Setting("project", "", str, "the project of spans that do not name one"),
    Setting("durable", "false", switch, "true writes each span to disk as it ends, before anything else"),
    Setting("queue_spans", "20000", count, "how many spans may wait in a program's memory; further ones are dropped"),
    Setting("spool_bytes", "256m", size, "how much may wait on disk while the database is away"),
    Setting("open_after", "2s", seconds, "an operation open for this long appears in `leo-telemetry running`"),
    Setting("serve_host", "127.0.0.1", str, "address of the OTLP receiver; any other than loopback needs a token"),
    Setting("serve_port", "4318", port, "port of the OTLP receiver"),
    Setting("serve_token", "", str, "what clients of the receiver must send as `Authorization: Bearer ...`"),
    Setting("serve_read_token", "", str, "what browsers must give to see the dashboard; needed beyond loopback"),
    Setting("serve_act_token", "", str, "what browsers must give to see the dashboard and act on it"),
    Setting("serve_clients", "4000", count, "how many clients may be connected to the receiver at once"),
    Setting("keep_keys", "", names, "more attributes to keep from OpenTelemetry: gen_ai.prompt,shop.*"),
    Setting("apply_suggestions", "false", switch, "true lets each run tune the thresholds that people wrote for a key"),
    Setting("directive_ratio", "1.5", ratio, "from which severity ratio on an item gets a directive, as a draft"),
    Setting("directive_analyses", "2", count, "on how many days analyses must have seen an item that gets one"),
    Setting("directive_lost", "5m", seconds, "how much time per week an item that gets one must cost"),
    Setting("directive_application", "", application, "what a directive asks to change, instead of the item's project"),
    Setting("keep_identity", "false", switch, "true keeps attributes that name a person or an account"),
    Setting("alert_urls", "", addresses, "channels of alerts: URLs separated by blanks; else the file `alert_urls`"),
    Setting("alert_hosts", "", names, "the only hosts that webhooks may call: hooks.example.com,*.example.org"),
    Setting("alert_networks", "", networks, "private networks that webhooks may call: 10.0.0.0/8,127.0.0.1"),
    Setting("alert_high", "3", ratio, "from this multiple of its baseline, an alert is high"),
    Setting("alert_critical", "5", ratio, "from this multiple of its baseline, an alert is critical"),
    Setting("alerts_per_run", "10", count, "how many alerts an analysis may send; the others become one digest"),
    Setting("alerts_per_day", "30", count, "how many alerts the analyses of one day may send"),
    Setting("alert_quiet", "", hours, "quiet hours, in which only critical alerts are sent: 22:00-07:00 Europe/Berlin"),
    Setting("alert_digest", "08:00", time_of_day, "when the daily digest is sent, in UTC; `off` for none"),
    Setting("alert_remind_after", "", optional_seconds, "how often to remind of what is still slow: 7d"),
)


class Settings:
    """Effective settings: one attribute per entry of SETTINGS, ``home`` as an absolute Path."""

    home: Path
    database_url: str
    dagster_database_url: str
    dagster_schema: str
    enabled: bool
    stale_after: int
    deadline: int
    exact_spans: int
    min_samples: int
    keep: int
    archive: str
    ui_port: int
    project: str
    durable: bool
    queue_spans: int
    spool_bytes: int
    open_after: int
    serve_host: str
    serve_port: int
    serve_token: str
    serve_read_token: str
    serve_act_token: str
    serve_clients: int
    keep_keys: tuple[str, ...]
    apply_suggestions: bool
    directive_ratio: float
    directive_analyses: int
    directive_lost: int
    directive_application: str
    keep_identity: bool
    alert_urls: tuple[str, ...]
    alert_hosts: tuple[str, ...]
    alert_networks: tuple[IPv4Network | IPv6Network, ...]
    alert_high: float
    alert_critical: float
    alerts_per_run: int
    alerts_per_day: int
    alert_quiet: tuple[time, time] | None
    alert_digest: time | None
    alert_remind_after: int | None

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        from pathlib import Path

        environ = os.environ if environ is None else environ
        for setting in SETTINGS:
            text = unquoted(environ.get(setting.variable, "")) or setting.default
            try:
                setattr(self, setting.name, setting.parse(text))
            except ValueError as error:
                raise UserError(f"{setting.variable} is {text!r}: it takes {error}") from None
        named = unquoted(environ.get(PREFIX + "HOME", ""))
        try:
            home = Path(named or _default_home()).expanduser()
        except RuntimeError:
            raise UserError(f"{PREFIX}HOME is {named!r}: no such user; give an absolute path") from None
        if not home.is_absolute():
            raise UserError(f"{PREFIX}HOME is {str(home)!r}: give an absolute path")
        self.home = home

    def check_home(self) -> None:
        """Raise UserError (exit 3) if the home exists but is not ours; see ``refuse_others_home``."""
        try:
            refuse_others_home(self.home, may_be_volume=bool(self.database_url))
        except OSError:
            return  # missing, or make_home will report why it cannot be used


def make_home(home: Path, *, inside: str = "") -> Path:
    """Create a home with its missing parents and a folder ``inside`` it; return the innermost folder.

    Only the owner has access, but root's home can be traversed, since the database server runs as another user.
    Raises UserError (exit 3) if it cannot be created or belongs to another user.
    """
    try:
        if home.exists():
            refuse_others_home(home, may_be_volume=True)
        for path in (*reversed(home.parents), home):
            if not path.exists():
                path.mkdir(exist_ok=True)
                path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        folder = home / inside
        folder.mkdir(mode=0o700, exist_ok=True)
        if inside:
            _refuse_others_folder(folder)
    except OSError as error:
        raise UserError(
            f"{PREFIX}HOME ({home}) cannot be used: {error.strerror}; choose a folder you can write to", NO_DATABASE
        ) from None
    return folder


def _refuse_others_folder(folder: Path) -> None:
    """Raise UserError (exit 3) if another user created the folder in our home, OSError if it is missing."""
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise UserError(f"{folder} belongs to somebody else or is writable by others: remove it", NO_DATABASE)


def refuse_others_home(home: Path, *, may_be_volume: bool) -> None:
    """Raise UserError (exit 3) if a home belongs to another user or is writable by others, OSError if it is missing.

    The embedded database trusts its home. With an outside one, a mounted volume is accepted too (owned by root or
    writable by others, if we may write), since its data folders have their own modes.
    """
    status = home.stat()
    is_ours = status.st_uid == os.geteuid()
    if not is_ours and not (may_be_volume and status.st_uid == 0 and os.access(home, os.W_OK | os.X_OK)):
        why = "belongs to somebody else:"
    elif status.st_mode & 0o022 and not may_be_volume:
        why = f"is writable by others (mode {status.st_mode & 0o7777:04o}): `chmod go-w` it, or"
    else:
        return
    raise UserError(f"{PREFIX}HOME ({home}) {why} choose a folder of your own", NO_DATABASE)


def bundled(name: str) -> Path:
    """Return the path of ``migrations``, ``workspace.yaml``, ``dagster.yaml`` or ``examples``.

    They are inside the package in a wheel, next to it in a clone.
    """
    from pathlib import Path

    package = Path(__file__).resolve().parent
    inside = package / "_bundle" / name
    return inside if inside.exists() else package.parent / name

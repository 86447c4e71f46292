"""Backup of settings files as they were before our hooks, if removing the hooks would not restore them exactly.

Belongs here: the backup file in the home, by which uninstalling restores every byte and deletes only files that the
installation created. Does not: editing settings (claude_settings, hook_commands).
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from leo_telemetry_pipeline.settings import Settings, make_home

_NAME = "hook-files.json"
_PART = ".part"


@dataclass(frozen=True)
class Original:
    """Settings file before our hooks: its text, None if it did not exist, and whether its folder existed.

    ``left`` is the digest of the text without our hooks, which differs once someone else changes the file.
    """

    text: str | None
    folder: bool
    left: str


def remember(file: Path, original: Original | None) -> None:
    """Record the original of a file; None removes the record. Raises OSError and UserError."""
    known = _read()
    before = dict(known)
    known.pop(str(file), None)
    if original is not None:
        known[str(file)] = asdict(original)
    if known != before:
        _write(known)


def recall(file: Path) -> Original | None:
    """Return the recorded original of a file, None if there is none."""
    record = _read().get(str(file))
    try:
        return Original(**record) if isinstance(record, dict) else None
    except TypeError:
        return None


def digest(text: str) -> str:
    """Return a digest that identifies a text without revealing it."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _path() -> Path:
    return Settings().home / _NAME


def _read() -> dict:
    try:
        known = json.loads(_path().read_text("utf-8"))
    except (OSError, ValueError):
        # Without a backup, uninstalling leaves behind a file that we created; nothing is lost.
        return {}
    return known if isinstance(known, dict) else {}


def _write(known: dict) -> None:
    if not known:
        return _path().unlink(missing_ok=True)
    settings = Settings()
    settings.check_home()
    make_home(settings.home)
    part = _path().with_name(_NAME + _PART)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
        json.dump(known, file, indent=1)
    part.replace(_path())
    return None

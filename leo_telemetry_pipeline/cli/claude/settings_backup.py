"""Settings files as they were before our hooks came, where taking the hooks out does not make them so again.

Belongs here: the file in the home that remembers them, so that uninstalling gives back every byte, and takes away a
file only if the installation made it.
Does not: editing settings (claude_settings, hook_commands).
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
class Made:
    """A settings file before our hooks: its text, None where it was not there, and whether its folder was.

    ``left`` is the digest of what is left without our hooks as long as nobody else changes the file.
    """

    text: str | None
    folder: bool
    left: str


def remember(file: Path, made: Made | None) -> None:
    """Note what a file was before we wrote to it, or with None forget it. Raises OSError and UserError."""
    known = _read()
    before = dict(known)
    known.pop(str(file), None)
    if made is not None:
        known[str(file)] = asdict(made)
    if known != before:
        _write(known)


def recall(file: Path) -> Made | None:
    """Return what a file was before, where that is known."""
    found = _read().get(str(file))
    try:
        return Made(**found) if isinstance(found, dict) else None
    except TypeError:
        return None


def digest(text: str) -> str:
    """Return what tells a text from others, without a word of it."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _path() -> Path:
    return Settings().home / _NAME


def _read() -> dict:
    try:
        known = json.loads(_path().read_text("utf-8"))
    except (OSError, ValueError):
        # Without it a file that we made stays, empty: too much is kept, and nothing is lost.
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

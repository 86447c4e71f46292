"""Packages of Dagster's launchers for Celery and Kubernetes, in the exact versions of a lock file.

Belongs here: installing them beside the packages of this environment. Does not: launching anything.
"""

import os
import subprocess
import sys
from pathlib import Path

from leo_telemetry_pipeline_tests.processes import ROOT, need

LOCK = Path(__file__).with_name("launchers.lock")
# uv takes a third of pip's time, but only pip reads pip's configuration on this machine.
_INSTALLERS = (
    (sys.executable, "-m", "uv", "pip", "install", "--quiet", "--system-certs", "--python", sys.executable),
    (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"),
)


def install(folder: Path) -> dict[str, str]:
    """Install the packages in a folder, and return the variables with which programs find them."""
    options = ("--no-deps", "--require-hashes", "--target", str(folder), "-r", str(LOCK))
    said = ""
    for installer in _INSTALLERS:
        done = subprocess.run([*installer, *options], capture_output=True, text=True)
        if done.returncode == 0:
            return {
                "PATH": os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]),
            }
        said = (done.stderr.strip().splitlines() or [""])[-1]
    need(False, f"the packages of Dagster's launchers cannot be installed: {said}")
    raise AssertionError

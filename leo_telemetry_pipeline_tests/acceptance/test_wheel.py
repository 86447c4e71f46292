"""The wheel in a clean environment and an empty folder does everything that a clone does."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from leo_telemetry_pipeline_tests.processes import ROOT, Done, environment, finished


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the clone and return the script that it installs."""
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns(".git", ".venv", "dist", ".*_cache", "__pycache__", ".hypothesis")
    shutil.copytree(ROOT, folder / "clone", ignore=ignored)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist")]
    subprocess.run(build, cwd=folder / "clone", check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder / "clone")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    (wheel,) = (folder / "dist").glob("*.whl")
    # The pip of this environment: installing another would take longer than everything below.
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    # Using this environment's libraries saves a download. The .pth files beside them are not processed,
    # so an editable install of the clone is not visible.
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv"), "platbase": str(folder / "venv")}))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + os.linesep)
    return folder / "venv" / "bin" / "leo-telemetry"


def run(program: Path, home: Path, folder: Path, *arguments: str) -> Done:
    """Run an installed program in a folder, without the clone on its path."""
    clean = environment(home)
    del clean["PYTHONPATH"]
    return finished([str(program), *arguments], clean, cwd=folder)


def test_the_wheel_runs_the_whole_loop_in_an_empty_folder(installed: Path, home: Path, tmp_path: Path) -> None:
    """Lost: after `pip install`, the command lacks its migrations, its samples or Dagster's files."""
    where = "import leo_telemetry_pipeline as p; print(p.__file__)"
    found = run(installed.with_name("python"), home, tmp_path, "-c", where)
    assert str(installed.parents[1]) in found.out, "the clone is in the way"
    demo = run(installed, home, tmp_path, "demo")
    assert demo.code == 0, demo.err
    assert "bottleneck(s) detected" in demo.out
    for arguments in (["migrate"], ["findings"], ["analyze", "--dry-run"], ["env"], ["thresholds", "list"], ["items"]):
        done = run(installed, home, tmp_path, *arguments)
        assert done.code == 0, (arguments, done.err)
    assert list(tmp_path.iterdir()) == []

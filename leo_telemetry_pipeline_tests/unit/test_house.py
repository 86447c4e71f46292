"""Rules of this repository that no linter checks."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "leo_telemetry_pipeline"
LONGEST = 350


def ours() -> list[Path]:
    """List the files that git tracks or would add."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git clone")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def python_files(folder: Path) -> list[Path]:
    """List the Python files below a folder."""
    return sorted(folder.rglob("*.py"))


def names(paths: list[Path]) -> list[str]:
    """Return paths relative to the repository, so that a failed test shows where to look."""
    return [str(path.relative_to(ROOT)) for path in paths]


def test_every_module_says_what_belongs_in_it():
    silent = [path for path in python_files(PACKAGE) if not ast.get_docstring(ast.parse(path.read_text()))]
    assert names(silent) == []


def test_every_file_can_be_read_in_one_sitting():
    long = [path for path in python_files(PACKAGE) if len(path.read_text().splitlines()) > LONGEST]
    assert names(long) == []


def test_only_ci_refers_to_files_outside_the_clone():
    outside = b"../" + b"shared"
    knowing = [path for path in ours() if outside in path.read_bytes()]
    assert set(names(knowing)) <= {".ci/run"}


def test_dagster_can_read_the_annotations_of_its_definitions():
    def postpones(path: Path) -> bool:
        return any(
            isinstance(node, ast.ImportFrom) and node.module == "__future__"
            for node in ast.walk(ast.parse(path.read_text()))
        )

    assert names([path for path in python_files(PACKAGE / "defs") if postpones(path)]) == []


LOCKS = (ROOT / "requirements.lock", ROOT / "leo_telemetry_pipeline_tests" / "launchers.lock")


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_names_no_registry(path: Path):
    lock = path.read_text()
    options = [line for line in lock.splitlines() if line.startswith("-")]
    assert "://" not in lock
    assert options == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_pins_every_package_by_its_hash(path: Path):
    lines = path.read_text().splitlines()
    packages = [line for line in lines if line[0] not in " #"]
    assert packages
    assert [line for line in packages if "==" not in line or not line.endswith("\\")] == []


def test_no_block_in_pyproject_overrides_the_workspace():
    assert "dagster" not in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def test_dagsters_launchers_are_locked_for_the_dagster_that_is_locked():
    """Lost: the launchers are tested with a Dagster that nobody installs."""
    packages, launchers = [dict(re.findall(r"^([\w-]+)==(\S+)", path.read_text(), re.MULTILINE)) for path in LOCKS]
    assert launchers["dagster-celery"] == launchers["dagster-k8s"] == packages["dagster-postgres"]
    assert not packages.keys() & launchers.keys()

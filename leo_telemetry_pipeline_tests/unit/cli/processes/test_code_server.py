"""Where Dagster's command lines and `leo-telemetry dev` find our code location, and that it is the same one."""

import tomllib
from pathlib import Path

from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, ManagedGrpcPythonEnvCodeLocationOrigin
from dagster._core.workspace.load_target import WorkspaceFileTarget, get_origins_from_toml

from leo_telemetry_pipeline.cli.processes.code_server import MODULE, CodeServer

ROOT = Path(__file__).resolve().parents[4]


def test_dg_finds_the_location_that_dagster_finds() -> None:
    """Lost: `dg dev` and `dagster dev` keep two histories of one code location, or one of them finds none."""
    [of_dg] = get_origins_from_toml(str(ROOT / "pyproject.toml"))
    [of_dagster] = WorkspaceFileTarget([str(ROOT / "workspace.yaml")]).create_origins()
    assert isinstance(of_dagster, ManagedGrpcPythonEnvCodeLocationOrigin)
    assert of_dg.location_name == of_dagster.location_name
    assert of_dg.loadable_target_origin.module_name == of_dagster.loadable_target_origin.module_name


def test_dev_finds_the_location_that_dagster_finds(tmp_path: Path) -> None:
    """Lost: the history of runs and sensors, for a user who goes from `dagster dev` to `leo-telemetry dev`."""
    [of_dagster] = WorkspaceFileTarget([str(ROOT / "workspace.yaml")]).create_origins()
    code = CodeServer(tmp_path / 'the "home" of: {Anna} 😀')
    code.folder.mkdir()
    [of_dev] = WorkspaceFileTarget([str(code.workspace())]).create_origins()
    assert isinstance(of_dev, GrpcServerCodeLocationOrigin)
    assert of_dev.location_name == of_dagster.location_name
    assert of_dagster.loadable_target_origin.module_name == MODULE
    assert of_dev.socket in code.arguments
    assert not code.is_up()


def test_dg_is_told_what_its_own_commands_need() -> None:
    """Lost: `dg list defs` ends with a question about folders that nobody here can answer."""
    written = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    assert "dagster" not in written, "it would silently override workspace.yaml"
    assert written["dg"] == {
        "directory_type": "project",
        "project": {
            "root_module": "leo_telemetry_pipeline",
            "code_location_name": "leo_telemetry_pipeline",
            "code_location_target_module": "leo_telemetry_pipeline.definitions",
        },
    }

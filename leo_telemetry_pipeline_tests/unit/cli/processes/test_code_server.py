"""Code location: the same for Dagster's command lines and `leo-telemetry dev`."""

import tomllib
from pathlib import Path

from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, ManagedGrpcPythonEnvCodeLocationOrigin
from dagster._core.workspace.load_target import WorkspaceFileTarget, get_origins_from_toml

from leo_telemetry_pipeline.cli.processes.code_server import MODULE, CodeServer

ROOT = Path(__file__).resolve().parents[4]


def test_dg_uses_the_location_that_dagster_uses() -> None:
    """Lost: `dg dev` and `dagster dev` keep separate histories, or one finds no code location."""
    [of_dg] = get_origins_from_toml(str(ROOT / "pyproject.toml"))
    [of_dagster] = WorkspaceFileTarget([str(ROOT / "workspace.yaml")]).create_origins()
    assert isinstance(of_dagster, ManagedGrpcPythonEnvCodeLocationOrigin)
    assert of_dg.location_name == of_dagster.location_name
    assert of_dg.loadable_target_origin.module_name == of_dagster.loadable_target_origin.module_name


def test_dev_uses_the_location_that_dagster_uses(tmp_path: Path) -> None:
    """Lost: the history of runs and sensors after a change from `dagster dev` to `leo-telemetry dev`."""
    [of_dagster] = WorkspaceFileTarget([str(ROOT / "workspace.yaml")]).create_origins()
    code = CodeServer(tmp_path / 'the "home" of: {Anna} 😀')
    code.folder.mkdir()
    [of_dev] = WorkspaceFileTarget([str(code.workspace())]).create_origins()
    assert isinstance(of_dev, GrpcServerCodeLocationOrigin)
    assert of_dev.location_name == of_dagster.location_name
    assert of_dagster.loadable_target_origin.module_name == MODULE
    assert of_dev.socket in code.arguments
    assert not code.is_up()


def test_dg_has_the_configuration_for_its_own_commands() -> None:
    """Lost: `dg list defs` asks about folders that the project does not have."""
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

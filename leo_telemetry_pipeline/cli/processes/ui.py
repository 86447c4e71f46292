"""``leo-telemetry ui``: the Dagster UI, as a part of ``dev``. Does not belong here: serving it (web.ui)."""

from pathlib import Path

import click

from leo_telemetry_pipeline.cli import signals
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import PREFIX
from leo_telemetry_pipeline.web import listen


@click.command(hidden=True)
@click.option("--port", type=click.IntRange(1, 65535), required=True)
@click.option("-w", "--workspace", type=click.Path(path_type=Path), required=True)
def ui(port: int, workspace: Path) -> None:
    """Serve the Dagster UI on 127.0.0.1, in the environment that ``dev`` has prepared."""
    try:
        opened = listen.listening(*listen.address("127.0.0.1", port))
    except OSError as error:
        raise UserError(
            f"The UI cannot listen on port {port} ({error.strerror}): choose another with --port or {PREFIX}UI_PORT"
        ) from None
    # Until the UI serves, a signal ends this process immediately; its children end with the process group.
    from leo_telemetry_pipeline.web import ui as served

    with opened, served.application(workspace) as app, signals.recorded():
        served.run(app, opened, signals.end_requested)

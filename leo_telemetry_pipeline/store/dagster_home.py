"""What Dagster needs to know of this place: its home folder and the address of its own tables.

Belongs here: the environment of a Dagster process, for whoever starts one. Does not: importing Dagster.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from leo_telemetry_pipeline.settings import PREFIX, Settings, bundled, make_home
from leo_telemetry_pipeline.store import own_connection
from leo_telemetry_pipeline.store.database import Target, prepare_for_dagster

URL = PREFIX + "DAGSTER_URL"
# Dagster's daemons beat every half minute; one that is silent for longer is gone.
_DAEMON_ALIVE_S = 60


def environment(target: Target, settings: Settings) -> dict[str, str]:
    """Return the variables that every Dagster process of this home needs; its folder is made if it is missing."""
    folder = make_home(settings.home, inside="dagster")
    _put(bundled("dagster.yaml"), folder / "dagster.yaml")
    prepare_for_dagster(target, settings.dagster_schema)
    return {
        "DAGSTER_HOME": str(folder),
        URL: target.dagster_url,
        PREFIX + "HOME": str(settings.home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }


def inherited(environ: Mapping[str, str], target: Target) -> dict[str, str]:
    """Return what a Dagster process that we start takes from ``environ``: nothing that is meant for another Dagster.

    ``DAGSTER_MODULE_NAME``, ``DAGSTER_WEBSERVER_READ_ONLY`` and the like stand for options of its commands; its time
    limits stay, since they are about the machine.
    """
    kept = own_connection.child_environment(environ, target.embedded)
    return {name: value for name, value in kept.items() if not name.startswith("DAGSTER_") or "TIMEOUT" in name}


def has_tables(target: Target) -> bool:
    """Tell whether Dagster's own tables were made."""
    return _ask(target, "SELECT to_regclass('daemon_heartbeats') IS NOT NULL AND to_regclass('runs') IS NOT NULL")


def has_ended(target: Target, dagster_run_id: str) -> bool:
    """Tell whether a Dagster run has recorded its end, which it does a moment after our row."""
    return _ask(
        target,
        "SELECT count(*) > 0 FROM runs WHERE run_id = %s AND status IN ('SUCCESS', 'FAILURE', 'CANCELED')",
        dagster_run_id,
    )


def daemon_lives(target: Target) -> bool:
    """Tell whether a Dagster daemon that runs sensors has beaten within the last minute."""
    # Dagster keeps this time without a zone, in UTC.
    return has_tables(target) and _ask(
        target,
        "SELECT count(*) > 0 FROM daemon_heartbeats WHERE daemon_type = 'SENSOR'"
        " AND timestamp > (clock_timestamp() AT TIME ZONE 'UTC') - make_interval(secs => %s)",
        _DAEMON_ALIVE_S,
    )


def _ask(target: Target, question: str, *parameters: object) -> bool:
    connection = target.connect_as_dagster()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(question, parameters)
            row = cursor.fetchone()
            return bool(row and row[0])
    finally:
        connection.close()


def _put(source: Path, to: Path) -> None:
    if not to.exists() or to.read_bytes() != source.read_bytes():
        part = to.with_name(f"{to.name}.{os.getpid()}")
        shutil.copyfile(source, part)
        part.replace(to)

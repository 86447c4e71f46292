"""In-process execution of the analysis job, without a daemon.

Belongs here: Dagster's instance of this home, and running its jobs in this process.
Does not: starting other processes, printing (cli).
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager

import dagster as dg

from leo_telemetry_pipeline.definitions import build_definitions, defs
from leo_telemetry_pipeline.defs.assets import insights
from leo_telemetry_pipeline.defs.jobs import analysis_job, insights_job
from leo_telemetry_pipeline.defs.lifecycle import how_it_ended, how_it_failed
from leo_telemetry_pipeline.defs.names import FOLLOWS_TAG, RUN_ID_TAG, TAG
from leo_telemetry_pipeline.defs.resources import Analysis
from leo_telemetry_pipeline.errors import NOT_SUCCEEDED, UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.server import dagster_home
from leo_telemetry_pipeline.store.server.database import Database, Target

# Commands print their own output; the step log is in the UI.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@contextmanager
def instance(target: Target, settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Yield Dagster's instance of this home, after creating its tables."""
    os.environ.update(dagster_home.environment(target, settings))
    with dg.DagsterInstance.from_config(str(settings.home / "dagster")) as dagster:
        yield dagster


def execute(dagster: dg.DagsterInstance, tags: Mapping[str, str]) -> str:
    """Run the analysis job in this process; return its Dagster run id. The outcome is in the row of the run."""
    job = defs.resolve_job_def(analysis_job.name)
    return job.execute_in_process(instance=dagster, tags=dict(tags), run_config=_QUIET, raise_on_error=False).run_id


def execute_queued(dagster: dg.DagsterInstance, target: Target, check: Callable[[], None]) -> int:
    """Run all QUEUED analyses, including those queued meanwhile; return how many.

    ``check`` raises between runs if this process should end, since a signal to Dagster ends only one run.
    """
    connection, executed = Database(target), set()
    try:
        while True:
            runs.reap(connection)
            queued = [run for run in runs.waiting(connection) if run.status == "QUEUED" and run.run_id not in executed]
            if not queued:
                return len(executed)
            for run in queued:
                executed.add(run.run_id)
                connection.close()
                execute(dagster, {RUN_ID_TAG: run.run_id})
                # Nothing else detects that the job could not start.
                runs.fail_unlaunched(connection, run.run_id, "the job ended without claiming the analysis run")
                check()
    finally:
        connection.close()


def follow(dagster: dg.DagsterInstance, target: Target) -> str | None:
    """Run the insights job of the last analysis, unless it was started before; return its error as one line."""
    with closing(Database(target)) as connection:
        run = runs.last_succeeded(connection)
    if run is None or insights.started(dagster, run):
        return None
    job, tags = defs.resolve_job_def(insights_job.name), {FOLLOWS_TAG: run.run_id}
    result = job.execute_in_process(instance=dagster, tags=tags, run_config=_QUIET, raise_on_error=False)
    ending = None if result.success else how_it_ended(dagster, result.run_id)
    return " ".join(ending.error_detail.split()) if ending else None


def analyse(dagster: dg.DagsterInstance, tags: Mapping[str, str]) -> str:
    """Run an analysis without a queued row; return the id of its Dagster run."""
    return execute(dagster, {TAG + "triggered_by": "CLI"} | dict(tags))


def why_not_started(dagster: dg.DagsterInstance, dagster_run_id: str) -> str | None:
    """Return why a Dagster run did not claim its row, as one line; None if it only waited too long."""
    failure = how_it_failed(dagster, dagster_run_id)
    return failure.splitlines()[0] if failure else None


def dry_run(target: Target, settings: Settings, window: Window) -> dict:
    """Return the ``output_ref`` of an analysis of a window, without writing anything."""
    with dg.DagsterInstance.ephemeral() as nowhere, closing(Database(target, read_only=True)) as connection:
        dry = Analysis(connection, settings, dagster_run_id="", dry_window=window)
        definitions = build_definitions(resources={"analysis": dg.ResourceDefinition.hardcoded_resource(dry)})
        job = definitions.resolve_job_def(analysis_job.name)
        result = job.execute_in_process(instance=nowhere, run_config=_QUIET, raise_on_error=False)
        output_ref = dry.progress.output_ref
        if output_ref is None:
            ending = how_it_ended(nowhere, result.run_id)
            reason = ending.error_detail.splitlines()[0] if ending and ending.error_detail else "see the log"
            raise UserError(f"The dry run failed: {reason}", NOT_SUCCEEDED)
        return output_ref

"""Executing the analysis job in this process, where no daemon lives or nobody wants to wait for one.

Belongs here: Dagster's instance of this home, and running the same job through the same assets.
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

# A person reads our own words; whoever wants the log of the steps finds it in the UI.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@contextmanager
def instance(target: Target, settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Yield Dagster's instance of this home, with its tables made."""
    os.environ.update(dagster_home.environment(target, settings))
    with dg.DagsterInstance.from_config(str(settings.home / "dagster")) as made:
        yield made


def execute(of: dg.DagsterInstance, tags: Mapping[str, str]) -> str:
    """Run the analysis job here and now, and return the id of its Dagster run; how it went stands in its row."""
    job = defs.resolve_job_def(analysis_job.name)
    return job.execute_in_process(instance=of, tags=dict(tags), run_config=_QUIET, raise_on_error=False).run_id


def execute_queued(of: dg.DagsterInstance, target: Target, check: Callable[[], None]) -> int:
    """Run every QUEUED analysis, and those that get queued meanwhile; return how many.

    ``check`` raises after one where this process shall end: Dagster takes signals for itself, and ends one run by them.
    """
    connection, done = Database(target), set()
    try:
        while True:
            runs.reap(connection)
            queued = [run for run in runs.waiting(connection) if run.status == "QUEUED" and run.run_id not in done]
            if not queued:
                return len(done)
            for run in queued:
                done.add(run.run_id)
                connection.close()
                execute(of, {RUN_ID_TAG: run.run_id})
                # Nobody else would notice that it could not even begin.
                runs.fail_unlaunched(connection, run.run_id, "the job ended without taking the analysis run")
                check()
    finally:
        connection.close()


def follow(of: dg.DagsterInstance, target: Target) -> str | None:
    """Run what follows from the last analysis, unless somebody began it before; return what broke it, in one line."""
    with closing(Database(target)) as connection:
        run = runs.last_succeeded(connection)
    if run is None or insights.begun(of, run):
        return None
    job, tags = defs.resolve_job_def(insights_job.name), {FOLLOWS_TAG: run.run_id}
    done = job.execute_in_process(instance=of, tags=tags, run_config=_QUIET, raise_on_error=False)
    ending = None if done.success else how_it_ended(of, done.run_id)
    return " ".join(ending.error_detail.split()) if ending else None


def analyse(of: dg.DagsterInstance, tags: Mapping[str, str]) -> str:
    """Run an analysis that nobody queued; return the id of its Dagster run."""
    return execute(of, {TAG + "triggered_by": "CLI"} | dict(tags))


def why_not_begun(of: dg.DagsterInstance, dagster_run_id: str) -> str | None:
    """Say what kept a Dagster run from taking its row, in one line; None when it only waited too long."""
    failure = how_it_failed(of, dagster_run_id)
    return failure.splitlines()[0] if failure else None


def dry_run(target: Target, settings: Settings, window: Window) -> dict:
    """Return the ``output_ref`` that an analysis of a window would have, writing nothing anywhere."""
    with dg.DagsterInstance.ephemeral() as nowhere, closing(Database(target, read_only=True)) as connection:
        dry = Analysis(connection, settings, dagster_run_id="", dry_window=window)
        definitions = build_definitions(resources={"analysis": dg.ResourceDefinition.hardcoded_resource(dry)})
        job = definitions.resolve_job_def(analysis_job.name)
        result = job.execute_in_process(instance=nowhere, run_config=_QUIET, raise_on_error=False)
        output_ref = dry.progress.output_ref
        if output_ref is None:
            ending = how_it_ended(nowhere, result.run_id)
            said = ending.error_detail.splitlines()[0] if ending and ending.error_detail else "see the log"
            raise UserError(f"The dry run failed: {said}", NOT_SUCCEEDED)
        return output_ref

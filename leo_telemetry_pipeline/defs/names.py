"""The names under which a Dagster instance knows us, which others may share, and what in it is ours by them.

Belongs here: jobs, asset keys and tags. Does not: what they stand for. The name of the queue's sensor is in
store.server.dagster_home, which looks for it in Dagster's tables.
"""

import dagster as dg

from leo_telemetry_pipeline.store.server.dagster_home import OURS

# Two locations that have an asset of one key have it in common, so each key of ours begins with this.
PREFIX = OURS.removesuffix("_")
ANALYSIS_JOB = OURS + "analysis_job"
INSIGHTS_JOB = OURS + "insights_job"
MAINTENANCE_JOB = OURS + "maintenance_job"
JOBS = frozenset({ANALYSIS_JOB, INSIGHTS_JOB, MAINTENANCE_JOB})

TAG = PREFIX + "/"
# On the Dagster run that executes a queued analysis run: which.
RUN_ID_TAG = TAG + "run_id"
# On every Dagster run of insights: the analysis run that they follow.
FOLLOWS_TAG = TAG + "follows"

FIRST_ASSET = "workflow_traces"
LAST_ASSET = "continuous_improvements"


def asset_key(asset: str) -> dg.AssetKey:
    """Return the key of an asset of ours."""
    return dg.AssetKey([PREFIX, asset])


def step_key(asset: str) -> str:
    """Return the step that computes an asset of ours."""
    return asset_key(asset).to_python_identifier()


def shown(step: str) -> str:
    """Return a step's name as people know it."""
    return step.removeprefix(PREFIX + "__")


def is_ours(run: dg.DagsterRun, location: str | None) -> bool:
    """Tell whether a Dagster run is of our jobs or assets in a code location, or was executed without any."""
    origin = run.remote_job_origin
    of_assets = bool(run.asset_selection) and all(key.path[0] == PREFIX for key in run.asset_selection or ())
    return (run.job_name in JOBS or of_assets) and (origin is None or origin.location_name == location)

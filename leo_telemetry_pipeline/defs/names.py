"""Names of our jobs, assets, asset groups and tags in a Dagster instance, which other projects may share.

Belongs here: these names, recognizing our runs by them, and the links from there to the dashboard. Does not: the
definitions. The name of the queue sensor is in store.server.dagster_home, which looks it up in Dagster's tables.
"""

import dagster as dg

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server.dagster_home import OURS

# Code locations with equal asset keys would share the asset.
PREFIX = OURS.removesuffix("_")
ANALYSIS_JOB = OURS + "analysis_job"
INSIGHTS_JOB = OURS + "insights_job"
MAINTENANCE_JOB = OURS + "maintenance_job"
ALERTS_JOB = OURS + "alerts_job"
JOBS = frozenset({ANALYSIS_JOB, INSIGHTS_JOB, MAINTENANCE_JOB, ALERTS_JOB})

TAG = PREFIX + "/"
# Tag of the Dagster run that executes a queued analysis run: the id of the analysis run.
RUN_ID_TAG = TAG + "run_id"
# Tag of a Dagster run of the insights job: the id of the analysis run that it follows.
FOLLOWS_TAG = TAG + "follows"

FIRST_ASSET = "workflow_traces"
LAST_ASSET = "continuous_improvements"

# Hosts that mean every address of this machine.
_ALL_ADDRESSES = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  # compared, not bound


def asset_key(asset: str) -> dg.AssetKey:
    """Return the key of one of our assets."""
    return dg.AssetKey([PREFIX, asset])


def step_key(asset: str) -> str:
    """Return the key of the step that computes one of our assets."""
    return asset_key(asset).to_python_identifier()


def shown(step: str) -> str:
    """Return the display name of a step."""
    return step.removeprefix(PREFIX + "__")


def dashboard_page(settings: Settings, path: str) -> dg.UrlMetadataValue:
    """Return the address of a page of the dashboard, as this machine reaches it."""
    host = "127.0.0.1" if settings.serve_host in _ALL_ADDRESSES else settings.serve_host
    return dg.MetadataValue.url(f"http://{f'[{host}]' if ':' in host else host}:{settings.serve_port}{path}")


def is_ours(run: dg.DagsterRun, location: str | None) -> bool:
    """Return whether a Dagster run executes our jobs or assets, in the given code location or without one."""
    origin = run.remote_job_origin
    of_assets = bool(run.asset_selection) and all(key.path[0] == PREFIX for key in run.asset_selection or ())
    return (run.job_name in JOBS or of_assets) and (origin is None or origin.location_name == location)

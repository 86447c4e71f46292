"""Delivery of alerts: channels that fail, and processes that are killed at random.

Belongs here: line 4 of issue 16. Does not: the trial (leo_telemetry_pipeline_tests).
"""

from collections.abc import Iterator
from contextlib import closing

from benchmarks import measure
from benchmarks.figures import Figure
from leo_telemetry_pipeline.settings import PREFIX, Settings
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.alert_trials import trial

LINE = "16.4"


def parts(full: bool) -> list[str]:
    """Return the names of the parts."""
    return [f"kills {number}" for number in range(1, 6)] if full else ["kills 1"]


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:  # noqa: ARG001  # all parts differ by their seed
    """Measure one part."""
    items = 200 if full else 8
    with measure.home() as home, database.ready(Settings({PREFIX + "HOME": str(home)})) as target:
        url = target.dsn
        environ = measure.environment(**{PREFIX + "HOME": str(home)})
        with closing(Database(target)) as connection:
            outcome = trial(connection, environ | {PREFIX + "DATABASE_URL": url}, items, seed)
    what = f"{len(outcome.written)} alerts by mail and by a webhook that fails half the time, killed at random"
    required = "each arrives at least once, keys equal the alerts, none that was rolled back, resolved after its new"
    measured = (
        f"{len(set(outcome.by_web))} and {len(set(outcome.by_mail))} keys, {outcome.repeated} repeated,"
        f" {outcome.kills} kills; {'; '.join(outcome.problems) or 'all hold'}"
    )
    yield Figure(LINE, what, required, measured, not outcome.problems)

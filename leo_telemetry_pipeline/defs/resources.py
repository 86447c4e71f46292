"""Dagster resources: the database, and the analysis run that a Dagster run executes.

Belongs here: claiming the row before the first step, its heartbeat, and ending it if the Dagster run fails.
Does not: the rules of the lifecycle (SQL functions), ending a successful run (the last asset).
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import Any

import dagster as dg
import psycopg2
import psycopg2.extensions

from leo_telemetry_pipeline.defs.lifecycle import LOST, Ending, Heartbeat, how_it_ended, selects
from leo_telemetry_pipeline.defs.names import FIRST_ASSET, LAST_ASSET, RUN_ID_TAG, TAG
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.runs import Run
from leo_telemetry_pipeline.store.server import database
from leo_telemetry_pipeline.store.server.database import Database

WAIT_S = 0.5
_PATIENCE_S = 3


def _nothing_yet() -> dg.Failure:
    return dg.Failure(
        "No analysis has succeeded yet, so there is no window to compute these tables for: "
        "materialize all assets, or run `leo-telemetry analyze`",
        allow_retries=False,
    )


@dataclass
class Progress:
    """Mutable state of an analysis, shared by the steps of a Dagster run, which run in one process.

    ``values``: the values that assets pass on to later ones, by asset (asset.AssetValue). ``errors``: why dimension
    types could not be measured. ``output_ref``: the result in the row. The other fields belong to defs.assets.history.
    """

    values: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    output_ref: dict[str, Any] | None = None
    seen: list[str] | None = None
    uncounted: list[date] | None = None
    marked: bool = False


@dataclass(frozen=True)
class Analysis:
    """The analysis that this Dagster run executes.

    ``run``: its row. ``owned``: the row is RUNNING for this Dagster run and may be written; otherwise the results of
    the last SUCCEEDED run are recomputed. ``gone``: why there is nothing to do. ``dry_window``: the window
    of a dry run, which writes nothing.
    """

    database: Database
    settings: Settings
    dagster_run_id: str
    run: Run | None = None
    owned: bool = False
    gone: str | None = None
    dry_window: Window | None = None
    progress: Progress = field(default_factory=Progress)

    @property
    def is_dry(self) -> bool:
        """Whether nothing may be written."""
        return self.dry_window is not None

    @property
    def window(self) -> Window:
        """Window of the analysis. Raises dg.Failure if no analysis has run yet."""
        if self.dry_window is not None:
            return self.dry_window
        if self.run is None:
            raise _nothing_yet()
        return self.run.window

    @property
    def fence(self) -> str | None:
        """Fence of writes: the Dagster run that the row must still belong to, or None."""
        return self.dagster_run_id if self.owned else None

    @property
    def hold(self) -> Callable[[psycopg2.extensions.cursor], None]:
        """Function that locks an owned row for the transaction of a cursor. It raises LostRun if the row was lost."""
        if not self.owned or self.run is None:
            return runs.no_fence
        return partial(runs.fence, run_id=self.run.run_id, dagster_run_id=self.dagster_run_id)

    def annotate(self, notes: dict[str, Any]) -> None:
        """Store notes in the metadata of an owned row."""
        if self.owned and self.run is not None:
            runs.annotate(self.database, self.run.run_id, self.dagster_run_id, notes)

    def noted(self, name: str) -> Any:
        """Return a note from the metadata of the row, or None."""
        run = runs.get(self.database, self.run.run_id) if self.run else None
        return run.metadata.get(name) if run else None

    @property
    def errors(self) -> list[dict[str, str]]:
        """Dimension types that could not be measured, with the error, as stored in the row."""
        return [{"dimension_type": name, "error": text} for name, text in self.progress.errors.items()]

    def note_error(self, dimension_type: str, error: Exception) -> None:
        """Record that a dimension type could not be measured; the others still count."""
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        self.progress.errors[dimension_type] = text
        self.annotate({"errors": self.errors})

    def forget_error(self, dimension_type: str) -> None:
        """Remove the error of an earlier execution for a dimension type that could be measured now."""
        if self.progress.errors.pop(dimension_type, None) is not None:
            self.annotate({"errors": self.errors})


class AnalysisResource(dg.ConfigurableResource[Analysis]):
    """Resource that claims the row of telemetry_analysis_runs before the first step."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Analysis]:
        """Claim the row, keep its heartbeat while the run lasts, and end the row if the run fails."""
        settings, run, instance, log = Settings(), context.run, context.instance, context.log
        assert run is not None
        assert instance is not None
        assert log is not None
        with database.ready(settings) as target, closing(Database(target)) as connection:
            taken = _take(connection, settings, instance, run, log)
            if not taken.owned or taken.run is None:
                yield taken
                return
            # Logged here, since Dagster's `tail` may lose the last output of a step.
            log.info("Analysis %s began: %s", taken.run.run_id, _shown(taken.window))
            heartbeat = Heartbeat(target, connection, taken.run.run_id, run.run_id)
            heartbeat.start()
            try:
                yield taken
            finally:
                heartbeat.stop()
                _conclude(target, taken, taken.run.run_id, instance, heartbeat.has_lost_row, log)


def _take(
    connection: Database, settings: Settings, instance: dg.DagsterInstance, run: dg.DagsterRun, log: Any
) -> Analysis:
    analysis = Analysis(connection, settings, run.run_id)
    wanted = run.tags.get(RUN_ID_TAG)
    if wanted is not None and run.parent_run_id is None:
        outcome, detail = _patiently(
            lambda: runs.claim(connection, wanted, run.run_id, settings.deadline),
            lambda: runs.beat(connection, wanted, run.run_id),
            settings.deadline,
            log,
        )
        if outcome == "WAIT":
            runs.fail_unlaunched(connection, wanted, f"{detail} for over {settings.deadline} s")
        if outcome != "CLAIMED":
            return replace(analysis, gone=detail)
        return replace(analysis, run=runs.get(connection, wanted), owned=True)
    if not selects(instance, run, LAST_ASSET):
        return replace(analysis, run=runs.last_succeeded(connection))
    outcome, run_id = _patiently(lambda: _begin(connection, settings, instance, run), None, settings.deadline, log)
    if outcome != "CLAIMED" or run_id is None:
        gone = (
            f"another analysis of this scope ran for over {settings.deadline} s"
            if outcome == "WAIT"
            else f"this Dagster run has already executed analysis run {run_id}"
        )
        return replace(analysis, gone=gone)
    begun = runs.get(connection, run_id)
    # "Re-execute from failure" does not repeat measurements that failed.
    noted = (begun.metadata.get("errors") or ()) if begun else ()
    analysis.progress.errors.update({error["dimension_type"]: error["error"] for error in noted})
    return replace(analysis, run=begun, owned=True)


def _begin(
    connection: Database, settings: Settings, instance: dg.DagsterInstance, run: dg.DagsterRun
) -> tuple[str, str | None]:
    project, days, end = (run.tags.get(TAG + name) for name in ("project", "window_days", "window_end"))
    parent = run.parent_run_id
    if parent is None and not selects(instance, run, FIRST_ASSET):
        # The run materializes only some assets, so the last analysis provides the values of the others.
        last = runs.last_succeeded(connection, project)
        if last is None:
            raise _nothing_yet()
        parent = last.dagster_run_id
    return runs.begin(
        connection,
        run.run_id,
        settings.deadline,
        triggered_by=run.tags.get(TAG + "triggered_by", "MANUAL"),
        project=project,
        window_days=int(days) if days else None,
        window_end=datetime.fromisoformat(end) if end else None,
        re_executes=parent,
    )


def _patiently(take, beat, limit_s: int, log: Any) -> tuple[str, str | None]:
    """Claim the row; wait at most ``limit_s`` seconds for another analysis of the scope to end."""
    give_up, is_logged = time.monotonic() + limit_s, False
    while True:
        outcome, detail = take()
        if outcome != "WAIT" or time.monotonic() > give_up:
            return outcome, detail
        if not is_logged:
            log.info("Another analysis of this scope is running: waiting for it to end")
            is_logged = True
        if beat is not None:
            beat()
        threading.Event().wait(WAIT_S)


def _conclude(
    target: database.Target, analysis: Analysis, run_id: str, instance: dg.DagsterInstance, has_lost_row: bool, log: Any
) -> None:
    """End the row of a failed run, and log the outcome."""
    ending, output_ref = how_it_ended(instance, analysis.dagster_run_id), analysis.progress.output_ref
    if ending is not None and ending.reason_code == LOST and output_ref is None:
        # The heartbeat has stopped: in half a minute the row counts as lost, and is retried.
        if not has_lost_row:
            # The database may answer although one node of a cluster does not.
            with suppress(psycopg2.Error, UserError):
                _note(target, analysis, ending.error_detail)
            log.error("Analysis %s was interrupted and will be retried: %s", run_id, ending.error_detail)
    elif ending is not None and _end(target, run_id, analysis.dagster_run_id, ending):
        detail = " ".join(ending.error_detail.split()) or "no further details"
        log.error("Analysis %s did not succeed (%s): %s", run_id, ending.reason_code, detail)
    elif output_ref is not None:
        found, opened = len(output_ref["bottlenecks"]), output_ref["items_created"]
        log.info("Analysis %s SUCCEEDED: %d bottleneck(s), %d new item(s)", run_id, found, opened)


def _note(target: database.Target, analysis: Analysis, detail: str) -> None:
    with closing(Database(target, timeout_s=_PATIENCE_S)) as connection:
        replace(analysis, database=connection).annotate({"interrupted_by": detail})


def _end(target: database.Target, run_id: str, dagster_run_id: str, ending: Ending) -> bool:
    with closing(Database(target)) as connection:
        return runs.fail(connection, run_id, dagster_run_id, ending.reason_code, ending.error_detail)


def _shown(window: Window) -> str:
    of = f" of {window.project}" if window.project else ""
    return f"spans{of} from {window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"


class TelemetryDatabase(dg.ConfigurableResource):
    """Resource of sensors and schedules: a database connection per tick."""

    @contextmanager
    def session(self) -> Iterator[tuple[Database, Settings]]:
        """Yield a connection and the settings."""
        settings = Settings()
        with database.ready(settings) as target, closing(Database(target)) as connection:
            yield connection, settings

"""Past of a Dagster instance: real runs of real jobs, cloned over some weeks.

Belongs here: jobs, running them in an instance with SQLite storage, moving and stretching their clones in time.
Does not: expectations.
"""

import json
import random
import shutil
import sqlite3
import time
import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

# A clone takes this many times as long as its original, which is too short to wait for.
STRETCH = 60.0
_EVENTS = "SELECT id, event, timestamp, dagster_event_type, step_key FROM event_logs ORDER BY id"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dg.op
def extract() -> int:
    time.sleep(0.05)
    return 1


@dg.op
def transform(rows: int) -> int:
    time.sleep(0.08)
    return rows


@dg.op
def load(rows: int) -> None:
    time.sleep(0.03)


@dg.op(retry_policy=dg.RetryPolicy(max_retries=1))
def fetch(context: dg.OpExecutionContext) -> int:
    time.sleep(0.04)
    if context.retry_number == 0:
        raise ValueError("a page was missing")
    return 1


@dg.op
def fail(rows: int) -> None:
    raise ValueError("the disk is full")


@dg.op(out=dg.DynamicOut())
def split():
    for shard in ("north", "south"):
        yield dg.DynamicOutput(1, mapping_key=shard)


@dg.op(out={"late": dg.Out(is_required=False)})
def nothing_late():
    yield from ()


@dg.job(executor_def=dg.in_process_executor)
def etl() -> None:
    load(transform(extract()))


@dg.job(executor_def=dg.multiprocess_executor)
def in_processes() -> None:
    load(extract())


@dg.job(executor_def=dg.in_process_executor)
def flaky() -> None:
    load(fetch())


@dg.job(executor_def=dg.in_process_executor)
def failing() -> None:
    fail(extract())


@dg.job(executor_def=dg.in_process_executor)
def shards() -> None:
    split().map(transform)
    load(nothing_late())


DAILY = dg.DailyPartitionsDefinition("2026-01-01")


@dg.asset(partitions_def=DAILY)
def orders() -> int:
    time.sleep(0.06)
    return 1


@dg.asset(partitions_def=DAILY, key_prefix="marts")
def report(orders: int) -> int:
    time.sleep(0.04)
    return orders


@dg.asset
def leo_telemetry__own() -> None:
    """Stand for one of our assets, whose steps are named like this."""


def run_all(folder: Path, database_url: str = "") -> dict[str, str]:
    """Run each job once in an instance at a new folder, with SQLite storage or in a database; return run ids by job."""
    folder.mkdir(parents=True)
    if database_url:
        url = database_url.replace("postgresql://", "postgresql+psycopg2://", 1)
        (folder / "dagster.yaml").write_text(f"storage: {{postgres: {{postgres_url: {json.dumps(url)}}}}}\n")
        opened = dg.DagsterInstance.from_config(str(folder))
    else:
        opened = dg.DagsterInstance.local_temp(str(folder))
    with opened as instance:
        done = [
            job.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False)
            for job in (etl, flaky, failing, shards)
        ]
        done.append(dg.materialize([leo_telemetry__own], instance=instance, run_config=QUIET))
        assets = dg.materialize([orders, report], instance=instance, partition_key="2026-10-05", run_config=QUIET)
        processes = dg.execute_job(dg.reconstructable(in_processes), instance=instance, run_config=QUIET)
        assert processes.success
        known = {result.job_def.name: result.run_id for result in done}
        return known | {"assets": assets.run_id, "in_processes": processes.run_id}


@dataclass(frozen=True)
class Clones:
    """How clones differ from the original; steps in ``slow`` take that many times as long in the last days."""

    seed: int
    days: int = 35
    per_day: int = 9
    slow: Mapping[str, float] = field(default_factory=dict)
    slow_days: int = 6


def clone(folder: Path, run_ids: list[str], clones: Clones, now: datetime) -> int:
    """Replace the runs of an instance by clones of some of them; return how many there are."""
    draw = random.Random(clones.seed)
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    logs, made = folder / "history" / "runs", 0
    with closing(sqlite3.connect(folder / "history" / "runs.db")) as runs:
        runs.row_factory = sqlite3.Row
        originals = [
            dict(runs.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()) for run_id in run_ids
        ]
        runs.execute("DELETE FROM run_tags")
        runs.execute("DELETE FROM runs")
        for back in range(clones.days, 0, -1):
            slow = clones.slow if back <= clones.slow_days else {}
            for number in range(clones.per_day):
                for place, original in enumerate(originals):
                    start = midnight - timedelta(days=back) + timedelta(hours=2.3 * number, minutes=25 * place)
                    made += 1
                    _clone_run(runs, logs, original, start + timedelta(seconds=draw.uniform(0, 900)), draw, slow)
        runs.commit()
    for run_id in run_ids:
        (logs / f"{run_id}.db").unlink()
    return made


def _clone_run(
    runs: sqlite3.Connection,
    logs: Path,
    original: dict[str, Any],
    start: datetime,
    draw: random.Random,
    slow: Mapping[str, float],
) -> None:
    run_id = str(uuid.UUID(int=draw.getrandbits(128), version=4))
    shutil.copy(logs / f"{original['run_id']}.db", logs / f"{run_id}.db")
    with closing(sqlite3.connect(logs / f"{run_id}.db")) as log:
        at, before, noise, begun = start, None, {}, set()
        for number, text, was, kind, step in log.execute(_EVENTS).fetchall():
            moment = datetime.fromisoformat(was).replace(tzinfo=UTC)
            # Only the work of a step is slower, not the start of its process.
            longer = slow.get(step, 1.0) if step in begun else 1.0
            at += (
                (moment - (before or moment)) * STRETCH * noise.setdefault(step, draw.lognormvariate(0, 0.15)) * longer
            )
            before = moment
            if kind in ("STEP_START", "STEP_RESTARTED"):
                begun.add(step)
            event = json.loads(text.replace(original["run_id"], run_id)) | {"timestamp": at.timestamp()}
            log.execute(
                "UPDATE event_logs SET run_id = ?, event = ?, timestamp = ? WHERE id = ?",
                (run_id, json.dumps(event), f"{at:%Y-%m-%d %H:%M:%S.%f}", number),
            )
        log.commit()
    created = start - timedelta(seconds=draw.uniform(1, 3))
    row = original | {
        "id": None,
        "run_id": run_id,
        "run_body": original["run_body"].replace(original["run_id"], run_id),
        "create_timestamp": f"{created:%Y-%m-%d %H:%M:%S.%f}",
        "update_timestamp": f"{at:%Y-%m-%d %H:%M:%S.%f}",
        "start_time": start.timestamp(),
        "end_time": at.timestamp(),
    }
    runs.execute(f"INSERT INTO runs ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))

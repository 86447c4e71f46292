"""Exactly one item, naming the model, for a slow model of a user with 15 prompts per day: line 14.2.

Belongs here: one part per use of models and way of measuring. Does not: the weeks (model_sessions).
"""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import Any

from benchmarks import generate
from benchmarks.accept_sessions import ask_in
from benchmarks.figures import Figure
from benchmarks.model_sessions import MODEL, MODELS, weeks
from leo_telemetry_pipeline.store import spans
from leo_telemetry_pipeline.store.server.database import Database

LINE = "14.2"
_HOOKS, _OPENTELEMETRY = "hooks", "OpenTelemetry"


def parts(full: bool) -> list[str]:
    """Return all combinations; a small run has only one."""
    found = [f"{models}, {way}" for models in MODELS for way in (_HOOKS, _OPENTELEMETRY)]
    return found if full else found[:1]


def run(part: str, seed: int, full: bool) -> list[Figure]:  # noqa: ARG001  # the interface of a trial
    """Analyse weeks whose last one has a slow model, and check the items."""
    with generate.server() as (home, target), closing(Database(target)) as database:
        return judged(part, seed, database, partial(ask_in, home))


def judged(part: str, seed: int, database: Database, ask: Callable[..., Any]) -> list[Figure]:
    """Store weeks and check the items; ``ask`` runs a command and returns its JSON."""
    models, way = part.split(", ")
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    stored = spans.insert(database, weeks(seed, midnight, models, hooks=way == _HOOKS))
    found = ask("analyze", "--json")["bottlenecks"]
    titles = [item["title"] for item in ask("items", "--json")]
    slow = [f"{one['dimension_type']}:{one['dimension_key']}" for one in found]
    return [
        Figure(
            LINE,
            f"a model 2 x slower, {part}, {stored:,} spans",
            f"one item, which names {MODEL}",
            f"found: {', '.join(slow) or 'nothing'}; items: {'; '.join(titles) or 'none'}",
            len(titles) == 1 and MODEL in titles[0],
        )
    ]

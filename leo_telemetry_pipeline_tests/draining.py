"""Draining a spool into functions of a test instead of a database."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.spool.drain import Drained, OpenDrain, opened


def drain(
    folder: str,
    store: Callable[[list[Span], dict[str, int]], Any],
    *,
    at_most_s: float | None = None,
    note: Callable[[Drained], object] | None = None,
) -> Drained:
    """Store every batch by ``store(spans, removed)``, and record the result by ``note``, also after an error."""
    with opened(folder, at_most_s=at_most_s) as drain:
        try:
            for batch in drain.batches:
                batch.stored = store(batch.spans, batch.removed)
        except BaseException:
            with suppress(Exception):
                _record(drain, note)
            raise
        _record(drain, note)
        return drain.drained


def _record(drain: OpenDrain, note: Callable[[Drained], object] | None) -> None:
    if note is not None and not drain.drained.busy:
        with drain.counted():
            note(drain.drained)

"""A recorder in memory, and a tracer that writes to it."""

import pytest

from leo_telemetry_pipeline.tracing.recorder import InMemoryRecorder
from leo_telemetry_pipeline.tracing.tracer import Tracer


@pytest.fixture
def memory() -> InMemoryRecorder:
    return InMemoryRecorder()


@pytest.fixture
def tracer(memory: InMemoryRecorder) -> Tracer:
    return Tracer(memory)

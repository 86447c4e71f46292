"""Registry of sources with a past: ours, and those that installed packages declare.

Belongs here: names and order. Does not: any source.
"""

from importlib.metadata import entry_points

from leo_telemetry_pipeline.sources.dagster.instance import DagsterInstances
from leo_telemetry_pipeline.sources.github.files import GitHubFiles
from leo_telemetry_pipeline.sources.past import Source

# A package declares a source of its own as an entry point of this group, which names a class without arguments.
GROUP = "leo_telemetry_pipeline.sources"


def sources() -> list[Source]:
    """Return every source, ours first."""
    return [DagsterInstances(), GitHubFiles(), *(declared.load()() for declared in entry_points(group=GROUP))]

"""Declaration of analysis assets, and the values that they pass on.

Belongs here: what all assets share in Dagster, and where their values are kept. Does not: any asset.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar, cast

import dagster as dg

from leo_telemetry_pipeline.defs.names import OURS, PREFIX, asset_key
from leo_telemetry_pipeline.defs.resources import Analysis

T = TypeVar("T")

OWNERS = ["team:workflow-telemetry"]
FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=7), warn_window=timedelta(days=6))


@dataclass(frozen=True)
class AssetValue(Generic[T]):
    """Value that an asset passes on to later ones: in memory within its Dagster run, in the database for others.

    ``write`` stores it with the analysis run, behind the fence; ``read`` loads what an earlier Dagster run stored.
    """

    asset: str
    write: Callable[[Analysis, T], None]
    read: Callable[[Analysis], T]

    def put(self, analysis: Analysis, value: T) -> None:
        """Keep a value. Raises LostRun if the row no longer belongs to this run."""
        analysis.progress.values[self.asset] = value
        if analysis.run is not None:
            self.write(analysis, value)

    def get(self, analysis: Analysis) -> T:
        """Return the value. Raises dg.Failure if no analysis has run yet."""
        if self.asset not in analysis.progress.values:
            # Raises a failure that names the remedy.
            _ = analysis.window
            analysis.progress.values[self.asset] = self.read(analysis)
        return analysis.progress.values[self.asset]


def analysis_asset(
    group: str, description: str, kinds: set[str], after: Sequence[str] = ()
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Declare an asset of the analysis. It yields nothing if another Dagster run has taken the analysis run.

    ``after`` names the assets that it reads. They are deps, not inputs, for each of which Dagster stores two events.
    """
    decorator = dg.asset(
        key_prefix=PREFIX,
        deps=[asset_key(name) for name in after],
        group_name=OURS + group,
        description=description,
        kinds=kinds,
        owners=OWNERS,
        freshness_policy=FRESH,
        output_required=False,
    )
    return cast("Callable[[Callable[..., Any]], dg.AssetsDefinition]", decorator)

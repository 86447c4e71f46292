"""How every asset of an analysis is declared.

Belongs here: what they have in common in Dagster's eyes. Does not: any asset.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, cast

import dagster as dg

from leo_telemetry_pipeline.defs.names import PREFIX, inputs

OWNERS = ["team:workflow-telemetry"]
FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=7), warn_window=timedelta(days=6))


def analysis_asset(
    group: str, description: str, kinds: set[str], takes: Sequence[str] = (), name: str | None = None
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Declare an asset of the analysis, which may have nothing to do where its run was taken by another.

    ``takes`` names the assets that its parameters of the same names are.
    """
    decorator = dg.asset(
        name=name,
        key_prefix=PREFIX,
        ins=inputs(takes),
        group_name=group,
        description=description,
        kinds=kinds,
        owners=OWNERS,
        freshness_policy=FRESH,
        output_required=False,
    )
    return cast("Callable[[Callable[..., Any]], dg.AssetsDefinition]", decorator)

"""How every asset of an analysis is declared.

Belongs here: what they have in common in Dagster's eyes. Does not: any asset.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import dagster as dg

OWNERS = ["team:workflow-telemetry"]
FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=7), warn_window=timedelta(days=6))


def analysis_asset(
    group: str, description: str, kinds: set[str], **more: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Declare an asset of the analysis, which may have nothing to do where its run was taken by another."""
    decorator = dg.asset(
        group_name=group,
        description=description,
        kinds=kinds,
        owners=OWNERS,
        freshness_policy=FRESH,
        output_required=False,
        **more,
    )
    return cast("Callable[[Callable[..., Any]], dg.AssetsDefinition]", decorator)

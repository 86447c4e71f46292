"""Everything that the dashboard offers: its pages, steps and downloads.

Belongs here: one line for each. Does not: what they are (pages), serving them (app).
"""

from leo_telemetry_pipeline.web.dashboard import overview
from leo_telemetry_pipeline.web.dashboard.page import Download, Page, Step
from leo_telemetry_pipeline.web.dashboard.pages import (
    dimension,
    dimensions,
    directive,
    directives,
    item,
    items,
    run,
    runs,
    threshold,
    thresholds,
    trace,
)

PAGES: tuple[Page, ...] = (
    Page("/", "overview.html", overview.read, "Overview"),
    Page("/dimensions", "dimensions.html", dimensions.read, "Dimensions", dimensions.QUERY, dimensions.TABLE),
    Page("/dimension", "dimension.html", dimension.read, query=dimension.QUERY),
    Page("/trace/{trace_id}", "trace.html", trace.read, query=trace.QUERY),
    *(items.PAGE, directives.PAGE, runs.PAGE, thresholds.PAGE),
    *(item.PAGE, directive.PAGE, run.PAGE, threshold.PAGE),
)
STEPS: tuple[Step, ...] = (item.STEP, directive.STEP, runs.STEP, run.STEP, threshold.STEP)
DOWNLOADS: tuple[Download, ...] = (directive.DOWNLOAD,)
NAVIGATION = tuple((page.path, page.link) for page in PAGES if page.link)

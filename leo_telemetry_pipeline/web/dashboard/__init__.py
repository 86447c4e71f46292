"""Dashboard: pages for those who do the work: what is slow, since when, why, and what is being done about it.

Belongs here: routes, page models, templates, the live stream. Does not: queries (store), decisions (actions), spans
that arrive (web.receiver). Pages are complete without scripts, and read results and daily history, not raw spans.
"""

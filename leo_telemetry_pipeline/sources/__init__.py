"""Everything else that becomes a Span: files, OTLP, Claude Code. Knows nothing of the spool and the database.

Belongs here: one file or folder per source. Does not: storing (store), waiting on disk (spool), the trace API
(tracing).
"""

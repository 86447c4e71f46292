"""Sources of spans other than the trace API: files, OTLP, Claude Code.

Belongs here: one file or folder per source. Does not: storing (store), the spool (spool), the trace API (tracing).
"""

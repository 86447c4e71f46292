"""Spans of Claude Code sessions, from its hooks and its OpenTelemetry export.

Each prompt, tool and sub-agent is one span, with the same id from either source.
Belongs here: notes of hook events (hook_notes) and of OpenTelemetry records (otel_notes, otlp_logs), span ids (ids),
sorting the notes of a session (evidence, runs) and building spans from them (assembler).
Does not: when spans are built (cli.claude.hook_spans, web.receiver.claude), other instrumentation (otlp).
"""

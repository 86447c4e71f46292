"""OpenTelemetry SDK span exporter: stores a program's spans without a receiver.

Belongs here: OTelSpanExporter, for a BatchSpanProcessor or a SimpleSpanProcessor.
Does not: converting OTLP spans (sources.otlp.otlp_span), queue and spool (writer.writer).
Needs the extra ``otel``; nothing else in this package imports this module.
"""

import base64
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

try:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
except ImportError as error:
    raise ImportError(
        "OTelSpanExporter needs the OpenTelemetry SDK: pip install 'leo-telemetry-pipeline[otel]'"
    ) from error

from leo_telemetry_pipeline import redact, trace
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.sources.otlp.conventions import KINDS
from leo_telemetry_pipeline.sources.otlp.otlp_span import MAX_ATTRIBUTES, Decoded, Reading, Resource
from leo_telemetry_pipeline.span import InvalidSpan, Span

_SHUTDOWN_MS = 1000
_MOST_LOGGED = 100
_STATUS = {"OK": "OK", "ERROR": "ERROR"}
_KINDS = {kind.upper(): kind for kind in KINDS.values()}
_log = logging.getLogger(__name__)


class SpanWriter(Protocol):
    """Where spans go: this process's writer or another one."""

    def submit(self, spans: list[Span], removed: dict[str, int], /) -> int:
        """Queue spans and the counts of removed attributes without waiting for a database; return how many it drops."""
        ...

    def flush(self, timeout_s: float, /) -> bool:
        """Return whether all queued spans are stored or on disk within ``timeout_s`` seconds."""
        ...


class OTelSpanExporter(SpanExporter):
    """Pass ended spans to the trace API's writer in this process, with its queue and spool.

    ``project`` defaults to the setting; which attributes are kept is a setting too. ``rejected`` and ``reasons`` say
    how many spans could not be stored, and why; each reason is logged once.
    """

    def __init__(self, *, project: str | None = None, writer: SpanWriter | None = None) -> None:
        settings = Settings()
        self._policy = redact.Policy(settings.keep_keys, settings.keep_identity)
        self._project = settings.project if project is None else project
        self._enabled = settings.enabled
        self._given = writer
        self._ended = False
        self._logged: set[str] = set()
        self.rejected = 0
        self.reasons: list[str] = []
        if self._enabled and writer is None:
            # Start it now: a short program exports all its spans at exit.
            trace.writer()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Queue spans; never raise. SUCCESS if the writer took all, FAILURE if any was rejected or dropped."""
        if self._ended:
            return SpanExportResult.FAILURE
        if not self._enabled:
            return SpanExportResult.SUCCESS
        try:
            are_taken = self._submit(spans)
        except Exception:  # noqa: BLE001 the SDK would log a traceback into the measured program for each batch
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS if are_taken else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until exported spans are stored or on disk; False on timeout, or if any span was lost."""
        seconds = timeout_millis / 1000
        are_kept = trace.flush(seconds) if self._given is None else self._given.flush(seconds)
        return are_kept and not self.rejected

    def shutdown(self) -> None:
        """Stop accepting spans and wait at most a second for those queued; the writer keeps the rest."""
        if not self._ended:
            self._ended = True
            self.force_flush(_SHUTDOWN_MS)

    def _submit(self, spans: Sequence[ReadableSpan]) -> bool:
        policy = self._policy
        reading = Reading(self._project, foreign=policy.foreign, own=policy.own, resource=policy.resource)
        resources: dict[int, Resource] = {}
        converted = []
        for span in spans:
            try:
                # A program's spans nearly always share one resource.
                known = resources.get(id(span.resource))
                if known is None:
                    known = resources[id(span.resource)] = reading.resource(_plain(span.resource.attributes))
                converted.append(reading.make(_decoded(span), known))
            except InvalidSpan as error:
                reading.reject(error)
        refused = reading.take()
        self.rejected += refused.rejected
        self.reasons = refused.reasons or self.reasons
        for reason in refused.rejections.keys() - self._logged if len(self._logged) < _MOST_LOGGED else ():
            self._logged.add(reason)
            _log.warning("%d span(s) rejected: %s (logged once)", refused.rejections[reason], reason)
        writer = self._given or trace.writer()
        return writer is not None and not writer.submit(converted, refused.removed) and not refused.rejected


def _decoded(span: ReadableSpan) -> Decoded:
    context, parent, given = span.context, span.parent, span.attributes or {}
    if context is None:
        raise InvalidSpan("a span has no context")
    return Decoded(
        name=span.name or "",
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=f"{parent.span_id:016x}" if parent else "",
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        attributes=_plain(given),
        status=_STATUS.get(span.status.status_code.name),
        message=span.status.description or "",
        error_type=_error_type(span),
        cut=max(0, len(given) - MAX_ATTRIBUTES),
        kind=_KINDS.get(span.kind.name),
    )


def _plain(attributes: Mapping[str, Any]) -> dict:
    pairs = list(attributes.items())[:MAX_ATTRIBUTES]
    return {key: base64.b64encode(value).decode() if isinstance(value, bytes) else value for key, value in pairs}


def _error_type(span: ReadableSpan) -> str:
    for event in span.events:
        kind = (event.attributes or {}).get("exception.type") if event.name == "exception" else None
        if isinstance(kind, str):
            return kind
    return ""

"""Web application of ``serve``: the OTLP receiver and the dashboard at one address.

Belongs here: which of the two answers a request. Does not: either of them.
"""

from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store.server.database import Target
from leo_telemetry_pipeline.web.dashboard import app as dashboard
from leo_telemetry_pipeline.web.receiver import app as receiver

_OF_RECEIVER = ("/v1/", "/healthz", "/readyz", "/metrics")


class Site:
    """Passes requests of OTLP clients and of monitoring to the receiver, and all others to the dashboard."""

    def __init__(
        self,
        settings: Settings,
        target: Target,
        *,
        host: str,
        is_local: bool,
        away: bool,
        shall_end: Callable[[], bool],
    ) -> None:
        self.receiver = receiver.build_app(settings, target, host=host, away=away)
        self.metrics, self.notices = self.receiver.metrics, self.receiver.notices
        self._dashboard = dashboard.build_app(settings, target, host=host, is_local=is_local, shall_end=shall_end)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        app = self.receiver if scope["type"] != "http" or _is_for_receiver(scope) else self._dashboard
        await app(scope, receive, send)


def _is_for_receiver(scope: Scope) -> bool:
    # A client with a wrong endpoint sends spans to any path: the receiver's answer says which one is right.
    media_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    sends_spans = scope["method"] == "POST" and media_type.partition(b";")[0].strip().lower() in receiver.MEDIA_TYPES
    return scope["path"].startswith(_OF_RECEIVER) or (sends_spans and not scope["path"].startswith("/api/"))

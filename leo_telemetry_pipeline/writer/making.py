"""Writer factory: the settings of a measured program, and the writer they configure.

Belongs here: creating the writer, and whether the first span waits for it.
Does not: when it is created (bootstrap), how it works (writer), the database, which is passed in.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from leo_telemetry_pipeline.settings import Settings
    from leo_telemetry_pipeline.writer.writer import Writer


class WriterFactory:
    """Creates writers; ``load_store`` imports a module with ``connect(settings)``, ``chosen`` overrides variables."""

    def __init__(self, load_store: Callable[[], Any]) -> None:
        self.chosen: dict[str, str] = {}
        self._load_store = load_store

    def writer(self) -> Writer | None:
        """Create the writer; None if collection is disabled or a setting is invalid."""
        if self.is_set("ENABLED", False):
            return None
        try:
            from leo_telemetry_pipeline.settings import Settings

            settings = Settings(os.environ | self.chosen)
            return self._writer_of(settings) if settings.enabled else None
        except Exception as error:  # noqa: BLE001 an invalid setting must not stop the measured program
            import logging

            logging.getLogger("leo_telemetry_pipeline").warning("nothing is collected: %s", error)
            return None

    def _writer_of(self, settings: Settings) -> Writer:
        from leo_telemetry_pipeline import redact
        from leo_telemetry_pipeline.spool.spool import folder_of
        from leo_telemetry_pipeline.writer.writer import Writer

        # With an outside database, only the spool needs the home, and checks it itself.
        if not settings.database_url:
            settings.check_home()
        load_store = self._load_store
        return Writer(
            lambda: load_store().connect(settings),
            folder=folder_of(str(settings.home)),
            project=settings.project,
            durable=settings.durable,
            queue_spans=settings.queue_spans,
            spool_bytes=settings.spool_bytes,
            open_after_s=settings.open_after,
            policy=redact.Policy(settings.keep_keys, settings.keep_identity),
            prepare=load_store,
        )

    def is_urgent(self) -> bool:
        """Return whether the first span must wait for its writer: if durable, disabled, or in a child process."""
        process = sys.modules.get("multiprocessing.process")
        # Such a child ends without calling atexit functions; only the writer handles that.
        is_child = process is not None and process.parent_process() is not None
        return is_child or self.is_set("DURABLE", True) or self.is_set("ENABLED", False)

    def is_set(self, name: str, value: bool) -> bool:
        """Return whether a switch is set to a value; ``name`` is its variable without ``LEO_TELEMETRY_``."""
        variable = f"LEO_TELEMETRY_{name}"
        text = self.chosen.get(variable) or os.environ.get(variable)
        if not text:
            return False
        from leo_telemetry_pipeline.setting_values import switch

        try:
            return switch(text) is value
        except ValueError:  # reported when all settings are read
            return False

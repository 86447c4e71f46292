"""Which writer the settings ask for, and whether the first span has to wait for it.

Belongs here: reading the settings of a measured program, making its writer. Does not: when that is done (bootstrap),
how a writer works (writer), the database, which is handed in. Imported by the program that is measured.
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


class Making:
    """Makes writers for a database: ``load_store`` imports the module whose ``connect(settings)`` opens it.

    ``chosen`` are settings that the program sets in code, by their variables; they go before the environment.
    """

    def __init__(self, load_store: Callable[[], Any]) -> None:
        self.chosen: dict[str, str] = {}
        self._load_store = load_store

    def writer(self) -> Writer | None:
        """Make the writer that the settings ask for; None where collecting is off or a setting is wrong."""
        if self.is_set("ENABLED", False):
            return None
        try:
            from leo_telemetry_pipeline.settings import Settings

            settings = Settings(os.environ | self.chosen)
            return self._writer_of(settings) if settings.enabled else None
        except Exception as error:  # noqa: BLE001 a wrong setting must not stop the program that is measured
            import logging

            logging.getLogger("leo_telemetry_pipeline").warning("nothing is collected: %s", error)
            return None

    def _writer_of(self, settings: Settings) -> Writer:
        from leo_telemetry_pipeline import redact
        from leo_telemetry_pipeline.spool.spool import folder_of
        from leo_telemetry_pipeline.writer.writer import Writer

        # Where the database is elsewhere, only the spool needs the home, and looks for itself.
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
        """Say whether the first span waits for its writer: to be on disk when it ends, or not to be at all."""
        process = sys.modules.get("multiprocessing.process")
        # Such a child ends without what a program's end calls; only the writer knows how to be called there.
        is_child = process is not None and process.parent_process() is not None
        return is_child or self.is_set("DURABLE", True) or self.is_set("ENABLED", False)

    def is_set(self, name: str, value: bool) -> bool:
        """Say whether a switch has been set to a value, by its variable without ``LEO_TELEMETRY_``."""
        variable = f"LEO_TELEMETRY_{name}"
        text = self.chosen.get(variable) or os.environ.get(variable)
        if not text:
            return False
        from leo_telemetry_pipeline.settings import switch

        try:
            return switch(text) is value
        except ValueError:  # told when all settings are read
            return False

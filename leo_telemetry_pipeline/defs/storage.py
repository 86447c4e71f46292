"""Dagster's own storage, which says in one line what is missing when nobody named its database.

Belongs here: what ``dagster.yaml`` loads. Does not: the database's address (store.dagster_home).
"""

import os
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres.storage import DagsterPostgresStorage

from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import own_connection
from leo_telemetry_pipeline.store.dagster_home import URL


class Storage(DagsterPostgresStorage):
    """PostgreSQL at the address that the environment names."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Take nothing from the file: a password does not belong there."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "Storage":  # noqa: ARG003
        """Make the storage. Ends the process with one line where Dagster would print a page."""
        url = os.environ.get(URL)
        if not url:
            raise SystemExit('Run eval "$(leo-telemetry env)" first: it names the database and Dagster\'s home.')
        try:
            address = own_connection.for_sqlalchemy(url, URL)
        except UserError as error:
            raise SystemExit(error.message) from None
        return cls(address, inst_data=inst_data)

"""Code server of `dev` and `worker`, shared by daemon and UI, which would otherwise start servers of their own.

Belongs here: its command line, its readiness, and the workspace file that names it. Does not: ending it (supervise).
"""

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from leo_telemetry_pipeline.errors import UserError

# The name in workspace.yaml, since Dagster keys the state of sensors and runs by it.
LOCATION = "leo_telemetry_pipeline"
MODULE = "leo_telemetry_pipeline.definitions"


@dataclass(frozen=True)
class CodeServer:
    """Code server that listens on a Unix socket in ``folder``; the system limits the length of the socket's path."""

    folder: Path

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of ``dagster`` that start it."""
        place = ("--socket", str(self._socket), "--location-name", LOCATION, "--empty-working-directory")
        return ("api", "grpc", *place, "--log-level", "warning", "--inject-env-vars-from-instance", "-m", MODULE)

    def is_up(self) -> bool:
        """Return whether it accepts connections, which means that it has loaded our definitions."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._socket)) == 0

    def workspace(self) -> Path:
        """Write the workspace file for daemon and UI, and return its path."""
        path = self.folder / "workspace.yaml"
        location = {"socket": str(self._socket), "location_name": LOCATION}
        # JSON is valid YAML, except for surrogate pairs, which ensure_ascii would write.
        text = json.dumps({"load_from": [{"grpc_server": location}]}, ensure_ascii=False)
        try:
            path.write_bytes(os.fsencode(text))
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}; make room there") from None
        return path

    @property
    def _socket(self) -> Path:
        return self.folder / "code"

"""The code server that `dev` and `worker` start: it imports our definitions for their daemon and UI.

Belongs here: its command line, whether it is up, and the workspace that names it. Does not: its end (supervise).

With ``workspace.yaml``, daemon and UI would each start a server, and the daemon another one every minute.
"""

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from leo_telemetry_pipeline.errors import UserError

# As in workspace.yaml: what a home remembers of its sensors and runs goes by the name.
LOCATION = "leo_telemetry_pipeline"
MODULE = "leo_telemetry_pipeline.definitions"


@dataclass(frozen=True)
class CodeServer:
    """A code server that listens in a folder, which must be short enough for a socket."""

    folder: Path

    @property
    def arguments(self) -> tuple[str, ...]:
        """Return the arguments of ``dagster`` that start it."""
        place = ("--socket", str(self._socket), "--location-name", LOCATION, "--empty-working-directory")
        return ("api", "grpc", *place, "--log-level", "warning", "--inject-env-vars-from-instance", "-m", MODULE)

    def is_up(self) -> bool:
        """Tell whether it answers. It listens once it has imported our definitions."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._socket)) == 0

    def workspace(self) -> Path:
        """Write the workspace file that names it, for daemon and UI, and return its path."""
        path = self.folder / "workspace.yaml"
        location = {"socket": str(self._socket), "location_name": LOCATION}
        # JSON is YAML, but for characters that it escapes as two.
        text = json.dumps({"load_from": [{"grpc_server": location}]}, ensure_ascii=False)
        try:
            path.write_bytes(os.fsencode(text))
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}; make room there") from None
        return path

    @property
    def _socket(self) -> Path:
        return self.folder / "code"

"""Where our own command lies, for whoever has to name it to another program.

Belongs here: finding it. Does not: running it.
"""

import shutil
import sys
from pathlib import Path

from leo_telemetry_pipeline.errors import UserError

NAME = "leo-telemetry"


def find() -> Path:
    """Return the absolute path of ``leo-telemetry``, that of this Python before any other. Raises UserError."""
    # Not resolved: the interpreter of a virtual environment is a link out of it.
    beside = Path(sys.executable).absolute().with_name(NAME)
    if beside.exists():
        return beside
    found = shutil.which(NAME)
    if found is None:
        raise UserError(f"{NAME} is neither beside {sys.executable} nor on PATH: install the package with pip")
    return Path(found).absolute()

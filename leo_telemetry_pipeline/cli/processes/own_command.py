"""Path of our own command, for configuration files of other programs.

Belongs here: finding it. Does not: running it.
"""

import shutil
import sys
from pathlib import Path

from leo_telemetry_pipeline.errors import UserError

NAME = "leo-telemetry"


def find() -> Path:
    """Return the absolute path of ``leo-telemetry``, preferring that of this Python. Raises UserError."""
    # Links are not resolved: the interpreter of a virtual environment is a link out of it.
    sibling = Path(sys.executable).absolute().with_name(NAME)
    if sibling.exists():
        return sibling
    on_path = shutil.which(NAME)
    if on_path is None:
        raise UserError(f"{NAME} is neither next to {sys.executable} nor on PATH: install the package with pip")
    return Path(on_path).absolute()

"""Runs a program of Dagster's: it starts and ends in two thirds of the time, and is ended by one signal.

Belongs here: what comes before such a program. Does not: which programs run (commands).
"""

import importlib
import os
import runpy
import signal
import sys
import threading
from typing import Any

from leo_telemetry_pipeline.cli.processes import garbage

# What Dagster's signal handlers raise, by name: importing it takes longer than all else here.
_INTERRUPTS = ("KeyboardInterrupt", "DagsterExecutionInterruptedError")
_AGAIN_S = 0.05


def run(arguments: list[str]) -> None:
    """Run a module with its arguments as ``python -m`` does, and end without a word on a signal."""
    # Before Dagster's handlers are there, since an import of C code may lose what they raise.
    if "-m" in arguments:
        importlib.import_module(arguments[arguments.index("-m") + 1])
    sys.unraisablehook = _send_again
    sys.argv = arguments
    try:
        runpy.run_module(arguments[0], run_name="__main__")
    except BaseException as error:
        if type(error).__name__ not in _INTERRUPTS:
            raise
        sys.exit(128 + signal.SIGTERM)


def _send_again(dropped: Any) -> None:
    """Send a signal again whose exception Python drops, as in a callback of a weak reference or in ``__del__``."""
    if getattr(dropped.exc_type, "__name__", "") not in _INTERRUPTS:
        sys.__unraisablehook__(dropped)
        return
    # Not from here: what is raised in this function would be dropped as well.
    again = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), signal.SIGTERM))
    again.daemon = True
    again.start()


# Also in the process of a run: multiprocessing imports the main module of the process that starts it under that name.
if __name__ in ("__main__", "__mp_main__"):
    garbage.look_seldom()
if __name__ == "__main__":
    run(sys.argv[1:])

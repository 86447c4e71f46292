"""Launcher for Dagster's programs: they start and exit in two thirds of the usual time, and one signal ends them.

Belongs here: the setup before such a program. Does not: which programs run (commands).
"""

import importlib
import os
import runpy
import signal
import sys
import threading
from typing import Any

from leo_telemetry_pipeline.cli.processes import garbage

# The exceptions of Dagster's signal handlers, by name: importing their classes takes longer than all else here.
_INTERRUPTS = ("KeyboardInterrupt", "DagsterExecutionInterruptedError")
_AGAIN_S = 0.05


def run(arguments: list[str]) -> None:
    """Run a module with its arguments as ``python -m`` does, and exit silently on a signal."""
    # Import before Dagster installs its handlers: the import of a C extension may lose their exception.
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
    """Resend a signal whose exception Python dropped, as it does in a weak reference callback or ``__del__``."""
    if getattr(dropped.exc_type, "__name__", "") not in _INTERRUPTS:
        sys.__unraisablehook__(dropped)
        return
    # Resent from a timer, because an exception raised here would be dropped as well.
    timer = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()


# The processes of runs need this setup too: multiprocessing imports their parent's main module as __mp_main__.
if __name__ in ("__main__", "__mp_main__"):
    garbage.collect_rarely()
if __name__ == "__main__":
    run(sys.argv[1:])

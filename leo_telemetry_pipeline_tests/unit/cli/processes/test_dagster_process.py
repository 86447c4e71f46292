"""Launcher for Dagster's programs."""

import os
import sys
from pathlib import Path

from leo_telemetry_pipeline_tests.processes import environment, finished

# Python drops the exception of a handler like Dagster's here.
LOSES_A_SIGNAL = """
import os, signal, time
def raises(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, raises)
class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
try:
    Dying()
    while True:
        time.sleep(0.1)
except KeyboardInterrupt:
    print("ended")
"""


def test_a_signal_whose_exception_was_dropped_is_sent_again(tmp_path: Path):
    """Lost: `dev` or `worker` sometimes needs 15 seconds to end, and prints a traceback."""
    (tmp_path / "deaf.py").write_text(LOSES_A_SIGNAL)
    variables = environment(tmp_path / "home")
    variables["PYTHONPATH"] = os.pathsep.join((str(tmp_path), variables["PYTHONPATH"]))
    done = finished(
        [sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli.processes.dagster_process", "deaf"], variables
    )
    assert (done.code, done.out, done.err) == (0, "ended\n", "")

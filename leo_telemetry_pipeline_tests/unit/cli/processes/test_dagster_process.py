"""What comes before a program of Dagster's."""

import os
import sys
from pathlib import Path

from leo_telemetry_pipeline_tests.processes import environment, finished

# A handler that raises, as Dagster's does, is called where Python drops exceptions.
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


def test_a_signal_that_falls_on_deaf_ears_is_sent_again(tmp_path: Path):
    """Lost: a quarter of a minute, now and then, until `dev` or `worker` ends; and a traceback in the terminal."""
    (tmp_path / "deaf.py").write_text(LOSES_A_SIGNAL)
    variables = environment(tmp_path / "home")
    variables["PYTHONPATH"] = os.pathsep.join((str(tmp_path), variables["PYTHONPATH"]))
    done = finished(
        [sys.executable, "-P", "-m", "leo_telemetry_pipeline.cli.processes.dagster_process", "deaf"], variables
    )
    assert (done.code, done.out, done.err) == (0, "ended\n", "")

"""Runs a program of Dagster's, which starts and ends in two thirds of the time that ``python -m`` alone needs.

Belongs here: what comes before such a program. Does not: which programs run (processes).
"""

import runpy
import sys

from leo_telemetry_pipeline.cli import garbage

# Also in the process of a run: multiprocessing imports the main module of the process that starts it under that name.
if __name__ in ("__main__", "__mp_main__"):
    garbage.look_seldom()
if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__")

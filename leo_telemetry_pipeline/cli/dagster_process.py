"""Runs a program of Dagster's, which starts and ends in two thirds of the time that ``python -m`` alone needs.

Belongs here: how such a process looks for garbage. Does not: which programs run (processes).
"""

import atexit
import gc
import runpy
import sys


def look_for_garbage_seldom() -> None:
    """Keep Python from looking for garbage among all that is imported: every 700 objects, and again in the end."""
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)


# Also in the process of a run: multiprocessing imports the main module of the process that starts it under that name.
if __name__ in ("__main__", "__mp_main__"):
    look_for_garbage_seldom()
if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__")

"""Call chains through the package while a program runs: the path a value takes.

Belongs here: recording them. Does not: expectations.
"""

import _thread
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import leo_telemetry_pipeline

PACKAGE = Path(leo_telemetry_pipeline.__file__).parent
# Module names within the package, outermost first; consecutive calls within one module are merged.
Chain = tuple[str, ...]


class _Recorder:
    """Records each distinct call chain of our functions, for `sys.setprofile`."""

    def __init__(self) -> None:
        self.chains: dict[Chain, None] = {}
        self._names: dict[CodeType, str] = {}

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event != "call" or not self._name(frame.f_code):
            return
        chain: list[str] = []
        place: FrameType | None = frame
        while place is not None:
            if name := self._name(place.f_code):
                if place.f_code.co_name == "<module>":
                    return
                if not chain or chain[-1] != name:
                    chain.append(name)
            place = place.f_back
        self.chains[tuple(reversed(chain))] = None

    def _name(self, code: CodeType) -> str:
        """Return the module of a function, empty if it is not ours."""
        if code not in self._names:
            path = Path(code.co_filename)
            parts = path.relative_to(PACKAGE).with_suffix("").parts if path.is_relative_to(PACKAGE) else ()
            self._names[code] = ".".join(parts)
        return self._names[code]


@contextmanager
def followed() -> Iterator[dict[Chain, None]]:
    """Yield the call chains of this thread and of threads started meanwhile, in order, without imports."""
    record, start = _Recorder(), _thread.start_new_thread

    def start_followed(function: Callable[..., object], arguments: tuple, *more: dict) -> int:
        def run(*given: object, **named: object) -> None:
            sys.setprofile(record)
            function(*given, **named)

        return start(run, arguments, *more)

    threading.setprofile(record)
    # The trace API starts a thread without `threading`, which is slow to import.
    _thread.start_new_thread = start_followed
    sys.setprofile(record)
    try:
        yield record.chains
    finally:
        sys.setprofile(None)
        _thread.start_new_thread = start
        threading.setprofile(None)  # type: ignore[arg-type]

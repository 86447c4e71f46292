"""How a process leaves the embedded server: none runs here, since its life is in acceptance/."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from leo_telemetry_pipeline.store.server.embedded import Embedded
from leo_telemetry_pipeline.store.server.postmaster import Postmaster


def test_two_threads_that_leave_the_server_at_once_leave_it_once(home: Path) -> None:
    """Lost: a traceback instead of an end, on Ctrl-C while a statement hangs."""
    home.mkdir(mode=0o711)
    (home / "pgpass").touch()
    server = Embedded(home)
    server.acquire(lambda database: True, "leo", lambda: None)
    # A process of a server that died: whoever stops the server waits for it, and the others come meanwhile.
    orphan = Postmaster(home / "database", home / "run", home / "server.lock").take_lock()
    assert orphan is not None
    try:
        with ThreadPoolExecutor(4) as threads:
            for left in [threads.submit(server.release) for _ in range(4)]:
                left.result(60)
    finally:
        os.close(orphan)
    assert server.users_fd is None

"""Releasing the embedded server, without a running one; acceptance/ tests real servers."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from leo_telemetry_pipeline.store.server.embedded import Embedded
from leo_telemetry_pipeline.store.server.postmaster import Postmaster


def test_threads_that_release_the_server_at_once_release_it_once(home: Path) -> None:
    """Lost: Ctrl-C while a statement hangs ends in a traceback."""
    home.mkdir(mode=0o711)
    (home / "pgpass").touch()
    server = Embedded(home)
    server.acquire(lambda database: True, "leo", lambda: None)
    # A process of a dead server: the thread that stops the server waits for it, and the others arrive meanwhile.
    orphan = Postmaster(home / "database", home / "run", home / "server.lock").take_lock()
    assert orphan is not None
    try:
        with ThreadPoolExecutor(4) as threads:
            for left in [threads.submit(server.release) for _ in range(4)]:
                left.result(60)
    finally:
        os.close(orphan)
    assert server.users_fd is None

"""Waiting: for a condition, with a deadline, and never for a fixed time; and work beside the test until it has seen enough."""

import os
import threading
import time
from contextlib import contextmanager

SLOW = float(os.environ.get("SLUICE_TEST_SLOW", "1"))  # sanitizer builds get more patience
DEADLINE = 10.0 * SLOW
POLL_SECONDS = 0.005


def wait_until(condition, what, seconds=DEADLINE):
    """Returns the first truthy value of condition(); fails at the deadline, naming `what` (a text, or a function of none)."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:.0f} s: {what() if callable(what) else what}")
        time.sleep(POLL_SECONDS)


def milliseconds(count):
    """A short duration for a configuration under test, longer where everything is slower."""
    return f"{int(count * max(1.0, SLOW / 2))}ms"


@contextmanager
def in_background(count, work):
    """While the block runs, `count` threads do `work(over)`, which ends soon after `over` is set. A failure in one of them is
    the block's, at its end."""
    over = threading.Event()
    failures = []

    def guarded():
        try:
            work(over)
        except Exception as failure:  # noqa: BLE001 raised again below
            failures.append(failure)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]

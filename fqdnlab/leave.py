"""How a process of a lab ends: at once, when all that must be done is done."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

__all__ = ["leave"]


def leave(status: int) -> NoReturn:
    """End this process with `status`, whatever threads are still there.

    Python waits for the threads of executors at its exit, and gRPC's may be blocked in a call whose
    client is gone; a process that was asked to end would then have to be killed.  Everything that
    has to be closed is closed before this is called.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)

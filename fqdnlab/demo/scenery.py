"""What makes the demo worth looking at: steady traffic, and a record of every address's life.

Neither is looked at by any claim.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pandas as pd

from fqdnlab.demo import clients
from fqdnlab.errors import FqdnlabError
from fqdnlab.lab import Lab
from fqdnlab.patience import patiently

__all__ = ["Scenery"]

_INTERVAL = 0.25


class Scenery:
    """While it is entered: an endpoint that keeps trying addresses, and a look at all mappings.

    Parameters
    ----------
    lab : Lab
    refused : str
        A name that policy refuses, looked up now and then: nothing can be learned from it.
    addresses : sequence of str
        Each is tried four times a second, by address: nothing is learned from that either.
    """

    def __init__(self, lab: Lab, refused: str, addresses: tuple[str, ...]) -> None:
        self._lab = lab
        self._refused = refused
        self._addresses = addresses
        self._samples: list[dict[str, Any]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="scenery", daemon=True)

    def __enter__(self) -> Scenery:
        shop = self._lab.endpoint("shop", labels={"app": "web"})
        every = str(patiently(_INTERVAL))
        shop.popen(["python3", "-c", clients.KNOCK, every, self._refused, *self._addresses])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(patiently(15.0))

    def _look(self) -> None:
        while not self._over.wait(patiently(_INTERVAL)):
            try:
                seen = self._lab.mappings()
            except FqdnlabError:  # the agent is late: as good as dead, for a look
                continue
            now = time.time()
            rows = zip(seen["name"], seen["ip"], seen["state"], strict=True)
            self._samples += [{"time": now, "name": n, "ip": i, "state": s} for n, i, s in rows]

    def mappings(self) -> pd.DataFrame:
        """``time`` (Unix seconds), ``name``, ``ip``, ``state`` of each mapping at each look."""
        return pd.DataFrame(self._samples, columns=["time", "name", "ip", "state"])

"""Small things that several notebooks use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import pandas as pd

from fqdnlab.lab.backends import backend
from fqdnlab.model.names import dns_matcher, fqdn_matcher, normalise
from fqdnlab.model.policy import FQDNSelector
from fqdnlab.patience import patience, patiently

__all__ = ["busy_agent", "first_packets", "labs_left", "matches", "paced", "wait_until"]

#: Seconds for a first packet; at most what leaves out the second one, sent after a second.
_ARRIVES, _ARRIVES_AT_MOST = 0.6, 0.8

#: argv: port seconds name...  As source text: an endpoint's user need not read this package.
_FIRST_PACKETS = """
import socket, sys, time
for name in sys.argv[3:]:
    s = socket.socket()
    s.settimeout(float(sys.argv[2]))
    start = time.monotonic()
    address = socket.gethostbyname(name)
    took = time.monotonic() - start
    try:
        s.connect((address, int(sys.argv[1])))
        arrived = "yes"
    except OSError:
        arrived = "no"
    s.close()
    print(name, round(took * 1000, 3), arrived)
"""


def matches(
    selectors: Sequence[str],
    names: Sequence[str],
    use: Literal["toFQDNs", "rules.dns"] = "toFQDNs",
) -> pd.DataFrame:
    """Which selector matches which name: a row a name, a column a selector, ``yes`` or ``·``.

    Parameters
    ----------
    selectors : sequence of str
        With a star: as ``matchPattern``; without: as ``matchName``.
    names : sequence of str
    use : {"toFQDNs", "rules.dns"}
        The two differ for names with odd characters.
    """
    columns: dict[str, list[str]] = {}
    for selector in selectors:
        if use == "rules.dns":
            test = dns_matcher(selector)
        else:
            key = "match_pattern" if "*" in selector else "match_name"
            test = fqdn_matcher(FQDNSelector(**{key: selector}))
        columns[selector] = ["yes" if test(normalise(name)) else "·" for name in names]
    return pd.DataFrame(columns, index=pd.Index(names))


def first_packets(endpoint: Any, names: Sequence[str], port: int) -> pd.DataFrame:
    """Look each name up and send a SYN at once: which first packets arrived.

    Returns
    -------
    DataFrame
        A row a name: ``name``, ``look_up_ms``, ``arrived`` (whether it was connected in 0.6 s, on a
        slow machine 0.8 s; a SYN that was dropped is sent again only after a second).
    """
    seconds = min(patiently(_ARRIVES), _ARRIVES_AT_MOST)
    ran = endpoint.run(["python3", "-c", _FIRST_PACKETS, str(port), str(seconds), *names])
    rows = [line.split() for line in ran.stdout.splitlines()]
    return pd.DataFrame(
        [{"name": n, "look_up_ms": float(ms), "arrived": ok == "yes"} for n, ms, ok in rows],
        columns=["name", "look_up_ms", "arrived"],
    )


@contextmanager
def busy_agent(lab: Any, seconds: float) -> Iterator[None]:
    """Let the lab's agent hang for `seconds` (wall), again and again, until the block ends.

    In between it has a tenth of that; on a slow machine as much longer as it needs for the same.
    """
    done = threading.Event()

    def body() -> None:
        while not done.is_set():
            lab.agent.stop()
            done.wait(seconds)
            lab.agent.cont()
            done.wait(patiently(seconds / 10))

    thread = threading.Thread(target=body, name="busy-agent")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def wait_until(look: Callable[[], Any], seconds: float = 10.0) -> bool:
    """Call `look` until it returns something true, at most `seconds` (on a slow machine: as much
    longer as `fqdnlab.patience` says); whether it did.
    """
    deadline = time.monotonic() + patiently(seconds)
    while not (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(seen)


def paced(rate: float) -> float:
    """A rate or a speed of this machine: `rate`, or as much less as `fqdnlab.patience` says.

    Never less than 1 (nor than `rate`): lab time no slower than the wall's.
    """
    return max(min(rate, 1.0), rate / patience())


def labs_left(prefix: str) -> list[str]:
    """Names of living labs that begin with `prefix`."""
    return [one["name"] for one in backend().list() if one["name"].startswith(prefix)]

"""Several nodes' tables as one, several nodes' streams as one.  One node's stay as they are."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from fqdnlab.pb import observer_pb2

__all__ = ["followed", "sorted_flows", "together"]


def together(frames: Mapping[str, pd.DataFrame], by: str = "") -> pd.DataFrame:
    """One table of the nodes'; with several, the last column ``node`` says whose a row is.

    Parameters
    ----------
    frames : dict of str to DataFrame
        By node; alike.
    by : str
        A column to sort by, if given; rows of the same value stay in their order.
    """
    (first, *rest) = frames.values()
    if not rest:
        return first
    full = [frame.assign(node=node) for node, frame in frames.items() if len(frame)]
    whole = pd.concat(full, ignore_index=True) if full else first.assign(node="")
    if by and len(whole):
        whole = whole.sort_values(by, kind="stable", ignore_index=True)
    whole.attrs.clear()
    whole.attrs.update(_attrs(frames))
    return whole


def _attrs(frames: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Dictionaries are united, texts and lists told by node."""
    found: dict[str, Any] = {}
    for node, frame in frames.items():
        for key, value in ((str(k), v) for k, v in frame.attrs.items()):
            if isinstance(value, dict):
                found[key] = {**found.get(key, {}), **value}
            elif isinstance(value, list):
                found[key] = [*found.get(key, []), *(f"{node}: {v}" for v in value)]
            else:
                found[key] = "; ".join(filter(None, (found.get(key, ""), f"{node}: {value}")))
    return found


def sorted_flows(
    streams: Iterable[Iterator[observer_pb2.GetFlowsResponse]],
    request: observer_pb2.GetFlowsRequest,
) -> list[observer_pb2.GetFlowsResponse]:
    """What several observers have on a request that does not follow, in order of time."""
    found = sorted(
        (r for stream in streams for r in stream), key=lambda r: (r.time.seconds, r.time.nanos)
    )
    if not request.number:
        return found
    return found[: request.number] if request.first else found[-request.number :]


def followed(
    streams: Iterable[Callable[[], Iterator[observer_pb2.GetFlowsResponse]]],
) -> Iterator[observer_pb2.GetFlowsResponse]:
    """What several observers send, as it comes; the first that fails ends it with its error."""
    arrived: queue.Queue[Any] = queue.Queue(maxsize=1000)
    over = threading.Event()

    def put(what: Any) -> None:
        while not over.is_set():
            try:
                arrived.put(what, timeout=0.2)
            except queue.Full:
                continue
            return

    def follow(stream: Callable[[], Iterator[observer_pb2.GetFlowsResponse]]) -> None:
        try:
            for response in stream():
                put(response)
                if over.is_set():
                    return
            put(None)
        except Exception as error:  # told to whoever reads
            put(error)

    threads = [threading.Thread(target=follow, args=(s,), daemon=True) for s in streams]
    for thread in threads:
        thread.start()
    left = len(threads)
    try:
        while left:
            what = arrived.get()
            if isinstance(what, Exception):
                raise what
            if what is None:
                left -= 1
            else:
                yield what
    finally:
        over.set()

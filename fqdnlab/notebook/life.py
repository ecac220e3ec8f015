"""The life of every name's addresses, as agent and proxy tell it.  Pure: time is an argument.

An address is *enforced* while the agent lists it, a *zombie* when it has expired and lives for its
connections alone, and *waits* when it was resolved while the agent was away.  While the agent is
away the kernel keeps what it holds: open spans stay open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["Held", "Lives", "Span"]

_KEPT_SECONDS = 600.0
_KEPT_LANES = 2000
_MARK_SECONDS = 0.4  # refusals nearer than this are one cross
_GRACE_SECONDS = 3.0  # an agent that is back has taken what waited by then


class Held(NamedTuple):
    """A mapping as the agent lists it."""

    name: str
    address: str
    state: str
    lookup_time: float
    identity: int


class Span(NamedTuple):
    """An address of a name in one state; `stop` None: still."""

    start: float
    stop: float | None
    state: str


@dataclass
class _Lane:
    spans: list[Span] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The open span's, or nothing."""
        return self.spans[-1].state if self.spans and self.spans[-1].stop is None else ""

    def close(self, at: float) -> None:
        if self.state:
            last = self.spans[-1]
            self.spans[-1] = last._replace(stop=max(at, last.start))

    def turn(self, state: str, at: float) -> None:
        """Be in `state` from `at` on; a lane that was in another one until then is."""
        if self.state != state:
            self.close(at)
            self.spans.append(Span(at, None, state))


class Lives:
    """Takes what is seen, gives the lanes to draw."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._refused: dict[str, deque[float]] = {}
        self._back: float | None = None

    # ------------------------------------------------------------ what is seen

    def take_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """DNS rows (`fqdnlab.model.flows`): refusals, and what waits."""
        for row in rows:
            if row["kind"] != "dns":
                continue
            if row["result"] == "REFUSED":
                self._refuse(row["name"], row["time"].timestamp())
            elif row["result"] == "WAITS":
                for address in row["ips"]:
                    self._wait(row["name"], address, row["time"].timestamp())

    def _refuse(self, name: str, at: float) -> None:
        marks = self._refused.setdefault(name, deque(maxlen=256))
        if not marks or at - marks[-1] >= _MARK_SECONDS:
            marks.append(at)

    def _wait(self, name: str, address: str, at: float) -> None:
        lane = self._lanes.setdefault((name, address), _Lane())
        if not lane.state:
            lane.turn("waits", at)

    def take_mappings(self, held: Iterable[Held] | None, now: float) -> None:
        """All mappings there are; None: the agent does not say."""
        if held is None:
            self._back = None
            return
        self._back = now if self._back is None else self._back
        states: dict[tuple[str, str], tuple[str, float]] = {}
        for one in held:
            state = _state(one)
            known = states.get((one.name, one.address))
            if known is None or _RANK[state] > _RANK[known[0]]:
                states[(one.name, one.address)] = (state, one.lookup_time)
        for key, (state, looked_up) in states.items():
            lane = self._lanes.setdefault(key, _Lane())
            lane.turn(state, now if lane.state else min(now, max(looked_up, _end(lane))))
        for key, lane in self._lanes.items():
            given_up = lane.state != "waits" or now - self._back > _GRACE_SECONDS
            if key not in states and given_up:
                lane.close(now)
        self._forget(now)

    def _forget(self, now: float) -> None:
        edge = now - _KEPT_SECONDS
        for key, lane in list(self._lanes.items()):
            lane.spans = [s for s in lane.spans if s.stop is None or s.stop > edge]
            if not lane.spans:
                del self._lanes[key]
        for key in list(self._lanes)[: max(0, len(self._lanes) - _KEPT_LANES)]:
            del self._lanes[key]
        for name, marks in list(self._refused.items()):
            if not marks or marks[-1] < edge:
                del self._refused[name]

    # ------------------------------------------------------------ what is drawn

    @property
    def waiting(self) -> tuple[tuple[str, str], ...]:
        """Names and addresses that wait for the agent."""
        return tuple(key for key, lane in self._lanes.items() if lane.state == "waits")

    def picture(self, since: float, now: float, most: int = 14) -> dict[str, Any]:
        """Lanes between `since` and `now` by name, those that moved last first when cut to `most`.

        Returns
        -------
        dict
            ``names``: list of ``{"name", "lanes": [{"address", "spans"}], "refused": [time]}``,
            spans being ``[start, stop, state]``; ``hidden``: how many lanes were cut.
        """
        rows: dict[str, list[tuple[str, list[Span]]]] = {}
        for (name, address), lane in self._lanes.items():
            spans = [s for s in lane.spans if s.stop is None or s.stop > since]
            if spans:
                rows.setdefault(name, []).append((address, spans))
        refused = {
            name: marks
            for name, all_of_it in self._refused.items()
            if (marks := [t for t in all_of_it if t > since])
        }
        names = {**dict.fromkeys(rows), **dict.fromkeys(refused)}
        order = sorted(names, key=lambda n: _moved(rows.get(n, []), refused.get(n, [])))
        shown: list[str] = []
        left = most
        for name in reversed(order):
            need = max(1, len(rows.get(name, [])))
            if shown and need > left:
                break
            shown.append(name)
            left -= need
        drawn = [_drawn(n, rows.get(n, []), refused.get(n, []), now, most) for n in sorted(shown)]
        total = sum(max(1, len(rows.get(n, []))) for n in names)
        return {"names": drawn, "hidden": total - sum(max(1, len(d["lanes"])) for d in drawn)}


_RANK = {"resolved": 0, "zombie": 1, "enforced": 2}


def _state(held: Held) -> str:
    if held.state == "zombie":
        return "zombie"
    return "enforced" if held.identity else "resolved"


def _end(lane: _Lane) -> float:
    return (lane.spans[-1].stop or 0.0) if lane.spans else 0.0


def _moved(lanes: list[tuple[str, list[Span]]], refused: list[float]) -> float:
    return max([*(s.stop or s.start for _, spans in lanes for s in spans), *refused[-1:]])


def _drawn(
    name: str, lanes: list[tuple[str, list[Span]]], refused: list[float], now: float, most: int
) -> dict[str, Any]:
    order = sorted(lanes, key=lambda lane: lane[1][0].start)[-most:]
    return {
        "name": name,
        "lanes": [
            {
                "address": address,
                "spans": [[s.start, now if s.stop is None else s.stop, s.state] for s in spans],
            }
            for address, spans in order
        ],
        "refused": refused,
    }

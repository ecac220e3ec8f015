"""The way of a flow as a picture: places, and between them what went, waits or never came.  Pure.

A flow in the table has up to two ways: its look-up (way 2) and its packet (way 3).  What was
reached is *lit*, what is kept for a process that is away *waits*, the rest is *pale*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fqdnlab.explain import Explanation
from fqdnlab.notebook.seen import Proc, Seen

__all__ = ["Counts", "count", "picture"]

_OPEN = {"enforced", "expired"}
_DEAD = {"dead", "stopped"}
_UNSEEN = {"result": "", "server": "", "ips": ()}


@dataclass(frozen=True)
class Counts:
    """Of one endpoint's flows: how many went where; `passed` and `dropped` to one address."""

    asked: int = 0
    refused: int = 0
    answered: int = 0
    resolved: int = 0
    packets: int = 0
    passed: int = 0
    dropped: int = 0


def count(views: Iterable[Sequence[Any]], endpoint: str, address: str) -> Counts:
    """Count views of rows (`fqdnlab.notebook.rows.view`)."""
    asked: list[str] = []
    packets: list[str] = []
    host = f"[{address}]" if ":" in address else address
    for _, _, who, _, detail, _, word, *_ in views:
        if who != endpoint:
            continue
        if detail.startswith("DNS "):
            asked.append(word)
        elif detail.partition(" ")[0].rpartition(":")[0] == host or detail.startswith(f"{host} "):
            packets.append(word)
    return Counts(
        len(asked),
        asked.count("REFUSED"),
        sum(w in ("RESOLVED", "NODATA", "NXDOMAIN") for w in asked),
        asked.count("RESOLVED"),
        len(packets),
        packets.count("FORWARDED"),
        packets.count("DROPPED"),
    )


def picture(
    row: Mapping[str, Any], explanation: Explanation, seen: Seen, counts: Counts
) -> dict[str, Any]:
    """What the view draws of a row that was explained.

    Returns
    -------
    dict
        ``nodes`` (id, title, kind, state: ok, away or pale), ``edges`` (id, from, to, state: lit,
        waits or pale, step: 1 … n or 0, text, count, way: as in docs/architecture.md), ``cross``
        (at, text, count) or None, ``note`` and ``told``, the same in words.
    """
    way = _Way(row, explanation, seen, counts)
    edges = _numbered([*way.look_up(), *way.packet()])
    cross = way.cross()
    made = {"nodes": way.nodes(edges), "edges": edges, "cross": cross, "note": way.note()}
    steps = [f"{e['step']} {e['text']}" for e in edges if e["step"]]
    end = [f"stopped at the {cross['at']}: {cross['text']}"] if cross else []
    return {**made, "told": "; ".join([*steps, *end])}


def _numbered(edges: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Number what was gone, in its order."""
    step = 0
    for edge in edges:
        step += edge["state"] != "pale"
        edge["step"] = step if edge["state"] != "pale" else 0
    return edges


class _Way:
    """One row's way."""

    def __init__(
        self, row: Mapping[str, Any], explanation: Explanation, seen: Seen, counts: Counts
    ) -> None:
        self.row, self.seen, self.counts = row, seen, counts
        data = {s.key: s.data for s in explanation.steps}
        self.query: Mapping[str, Any] = data.get("query") or _UNSEEN
        self.states = {m["state"] for m in data.get("mapping", {}).get("mappings", ())}
        self.reason = explanation.reason_text or "dropped"
        self.now = data.get("now", {}).get("verdict", "")
        self.dns = row["kind"] == "dns"
        self.inward = not self.dns and row.get("direction") == "INGRESS"
        self.verdict = str(self.now or row["verdict"])
        if self.dns:
            self.query = {"result": row["result"], "server": row["address"], "ips": row["ips"]}

    # ------------------------------------------------------------ places

    def nodes(self, edges: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        reached = {e[end] for e in edges if e["state"] != "pale" for end in ("from", "to")}
        proxy, agent = self.seen.process("proxy"), self.seen.process("agent")
        address = self._address()
        return [
            {"id": key, "title": title, "kind": kind, "state": self._state(key, reached, process)}
            for key, title, kind, process in (
                ("endpoint", self.row["endpoint"], "endpoint", None),
                ("enforcer", "enforcer", "kernel", None),
                ("proxy", "DNS proxy", _kind(proxy), proxy),
                ("agent", "agent", _kind(agent), agent),
                ("server", self.query["server"] or "DNS server", "DNS server, world", None),
                ("address", address or "no address", "world", None),
            )
        ]

    def _state(self, key: str, reached: set[str], process: Proc | None) -> str:
        if process is not None and process.state in _DEAD:
            return "away"
        return "ok" if key in reached else "pale"

    def _address(self) -> str:
        if not self.dns:
            return str(self.row["address"])
        return str(self.query["ips"][0]) if self.query["ips"] else ""

    # ------------------------------------------------------------ way 2

    def look_up(self) -> list[dict[str, Any]]:
        """The look-up that gave the address, or that the row is."""
        result, n = str(self.query["result"]), self.counts
        seen = bool(result)
        forth = seen and result not in ("REFUSED", "INVALID")
        back = forth and result not in ("FAILED", "ASKED")
        mapped = bool(self.query["ips"]) and back
        return [
            _edge("query", "endpoint", "enforcer", "2.1", seen, "query", n.asked),
            _edge("redirect", "enforcer", "proxy", "2.2–2.3", seen, "redirected", n.asked),
            _edge("ask", "proxy", "server", "2.5", forth, "asked", n.asked - n.refused),
            _edge("answer", "server", "proxy", "2.6", back, _answer(result), n.answered),
            *self._mapping(mapped),
            _edge("release", "proxy", "endpoint", "2.10", seen, _released(result), n.asked),
        ]

    def _mapping(self, mapped: bool) -> list[dict[str, Any]]:
        waits = mapped and "waits" in self.states and not self.states & _OPEN
        open_ = mapped and bool(self.states & _OPEN)
        text, kept = "mapping", self.counts.resolved
        if waits:
            text, kept = f"mapping kept: agent {_away(self.seen)}", len(self.seen.waiting)
        told = _edge("mapping", "proxy", "agent", "2.7", mapped, text, kept)
        if waits:
            told["state"] = "waits"
        return [told, _edge("entries", "agent", "enforcer", "2.8", open_, "map entries", 0)]

    # ------------------------------------------------------------ way 3

    def packet(self) -> list[dict[str, Any]]:
        """The packet, as far as it came."""
        n, sent = self.counts, not self.dns
        passed = sent and self.verdict != "DROPPED"
        if self.inward:
            return [
                _edge("packet", "address", "enforcer", "3.1", True, self._kind_of_packet(), 0),
                _edge("deliver", "enforcer", "endpoint", "3.5", passed, "delivered", 0),
            ]
        out = [_edge("packet", "endpoint", "enforcer", "3.1", sent, self._kind_of_packet(), 0)]
        out[0]["count"] = n.packets
        if sent and self.verdict == "REDIRECTED":
            return [*out, _edge("taken", "enforcer", "proxy", "3.5", True, "redirected", 0)]
        word = "would pass now" if self.now and passed else "forwarded"
        return [*out, _edge("forward", "enforcer", "address", "3.5", passed, word, n.passed)]

    def _kind_of_packet(self) -> str:
        flags = str(self.row.get("tcp_flags") or "")
        return flags or str(self.row.get("protocol") or "packet")

    # ------------------------------------------------------------ the end

    def cross(self) -> dict[str, Any] | None:
        """Where it ended, in a word."""
        if self.dns:
            if self.row["verdict"] != "DROPPED" or self.now == "FORWARDED":
                return None
            return {"at": "proxy", "text": "no DNS rule allows it", "count": self.counts.refused}
        if self.verdict != "DROPPED":
            return None
        waits = "waits" in self.states and not self.states & _OPEN
        text = f"{self.reason}: no entry yet" if waits else self.reason
        return {"at": "enforcer", "text": text, "count": self.counts.dropped}

    def note(self) -> str:
        """What the picture is of, where that is not what was chosen."""
        was = str(self.row["verdict"])
        if self.now and self.now != was:
            return f"it was {was}; this is what would become of it now"
        return "and of the look-up before it" if not self.dns and self.query["result"] else ""


def _edge(
    key: str, start: str, end: str, way: str, lit: bool, text: str, number: int
) -> dict[str, Any]:
    state = "lit" if lit else "pale"
    made = {"id": key, "from": start, "to": end, "way": way, "state": state}
    return {**made, "text": text, "count": number}


def _answer(result: str) -> str:
    return {"NXDOMAIN": "no such name", "NODATA": "no address"}.get(result, "answered")


def _released(result: str) -> str:
    return {"REFUSED": "refused", "FAILED": "failed", "INVALID": "refused"}.get(result, "released")


def _kind(process: Proc) -> str:
    word = {"dead": "killed" if "SIGKILL" in process.last_exit else "dead", "stopped": "hung"}
    state = word.get(process.state, "")
    return f"process, {state}" if state else "process"


def _away(seen: Seen) -> str:
    return {"dead": "down", "stopped": "hung"}.get(seen.process("agent").state, "behind")

"""The world as a table: names, addresses and TTLs to edit, behaviours to set, seeded churn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import traitlets

from fqdnlab.errors import FqdnlabError, UsageError
from fqdnlab.lab.reach import Reach
from fqdnlab.notebook.base import Panel, script
from fqdnlab.notebook.seen import Seen
from fqdnlab.notebook.ticker import Ticker
from fqdnlab.notebook.world_edit import (
    BEHAVIOURS,
    Churn,
    moved,
    next_address,
    number,
    read_addresses,
    words_of,
)

if TYPE_CHECKING:
    from fqdnlab.lab import Lab

__all__ = ["WorldTable"]

_LOOK_SECONDS = 1.0
_CALL_SECONDS = 3.0
_MOST_TTL = 0x7FFFFFFF
_QUIET: dict[str, Any] = {"on": False, "seconds": 5.0, "seed": 1, "steps": 0, "last": ""}

#: Lab → what changes its world now; one, however often a cell is run.
_churning: dict[str, Ticker] = {}


class WorldTable(Panel):
    """What the internet of the lab answers, to be changed.

    Parameters
    ----------
    lab : Lab
    """

    _esm = script("world")
    names: Any = traitlets.List().tag(sync=True)
    faults: Any = traitlets.List().tag(sync=True)
    churn: Any = traitlets.Dict(_QUIET).tag(sync=True)

    def __init__(self, lab: Lab, **traits: Any) -> None:
        # its own client, which ends with the panel: `lab.world` ends with the object
        self._reach = Reach(lab.name)
        self._world = self._reach.world(_CALL_SECONDS)
        self._mine: Ticker | None = None
        super().__init__(lab, **traits)
        self._look = Ticker(f"world-{lab.name}", _LOOK_SECONDS, self._read_faults)

    # ------------------------------------------------------------ shown

    def show(self, seen: Seen) -> None:
        """Draw the names anew, as far as they changed."""
        self.names = [
            {
                "name": w.name,
                "addresses": ", ".join(w.addresses),
                "ttl": w.ttl,
                "n": len(w.addresses),
            }
            for w in seen.world
        ]
        if self.churn["on"] and (seen.down or not self._churns()):
            self._stop_churn()

    def _read_faults(self) -> None:
        if not self.is_looked_at():
            return
        try:
            found = self._world.faults()
        except FqdnlabError:
            return  # the world is away: what was seen last stays
        self.faults = [
            {"name": name, "server": server, "words": words_of(behaviour)}
            for name, server, behaviour in found
        ]

    # ------------------------------------------------------------ names

    def do_edit(self, content: Mapping[str, Any]) -> None:
        """A cell was edited; a text that cannot be changes nothing."""
        name, field, text = (str(content.get(key, "")) for key in ("name", "field", "text"))
        edit = {"name": self._rename, "addresses": self._set_addresses, "ttl": self._set_ttl}
        if field in edit:
            self.act(partial(edit[field], name, text.strip()), f"edit:{name}:{field}")

    def _rename(self, name: str, new: str) -> str:
        if new.rstrip(".").lower() == name:
            return f"{name} keeps its name."
        if not new:
            raise UsageError(f"no new name for {name} is given", "expected one, as api.example.com")
        if new in self._world:
            raise UsageError(f"{new} is there already", "take another name")
        for one in self._world.records(name):
            self._world.put(new, one.type, one.values, one.ttl, server=one.server)
        self._world.delete(name)
        return f"{name} is {new} now."

    def _set_addresses(self, name: str, text: str) -> str:
        try:
            addresses = read_addresses(text)
        except UsageError:
            if text and any(r.type == "CNAME" for r in self._world.records(name)):
                self._world.cname(name, text)
                return f"{name} is an alias of {text}."
            raise
        self._world.set(name, addresses)
        return f"{name} has {', '.join(addresses)}."

    def _set_ttl(self, name: str, text: str) -> str:
        ttl = int(number("TTL in seconds", text, 0, _MOST_TTL))
        self._world.set_ttl(name, ttl)
        return f"{name} has TTL {ttl} s."

    def do_add(self, content: Mapping[str, Any]) -> None:
        """The form for a new name."""

        def add() -> str:
            name = str(content.get("name", "")).strip()
            if not name:
                raise UsageError("no name is given", "expected one, as api.example.com or *.x.com")
            if name in self._world:
                raise UsageError(f"{name} is there already", "edit it in the table")
            addresses = read_addresses(str(content.get("addresses", "")))
            ttl = int(number("TTL in seconds", content.get("ttl", ""), 0, _MOST_TTL))
            self._world.set(name, addresses, ttl)
            return f"{name} is new: {', '.join(addresses)}, TTL {ttl} s."

        self.act(add, "add")

    def do_name(self, content: Mapping[str, Any]) -> None:
        """A button of a name: move, rotate, one more address, remove."""
        name, action = str(content.get("name", "")), str(content.get("action", ""))
        what: dict[str, Callable[[str], str]] = {
            "move": self._move,
            "rotate": self._rotate,
            "more": self._more,
            "remove": self._remove,
        }

        def do() -> str:
            if not name:
                raise UsageError("no name is chosen", "choose one in the list beside the button")
            return what[action](name)

        if action in what:
            self.act(do, f"{action}:{name}")

    def _addresses(self, name: str) -> list[str]:
        try:
            found = self._world[name]
        except KeyError:
            found = []
        if not found:
            raise UsageError(f"{name} has no address of its own", "edit the table's cell")
        return found

    def _taken(self) -> set[str]:
        return {a for r in self._world.records() if r.type in ("A", "AAAA") for a in r.values}

    def _move(self, name: str) -> str:
        addresses = moved(self._addresses(name), self._taken())
        self._world.set(name, addresses)
        return f"{name} moved to {', '.join(addresses)}."

    def _rotate(self, name: str) -> str:
        self._addresses(name)
        self._world.rotate(name)
        return f"{name} rotated: {self._world[name][0]} comes first."

    def _more(self, name: str) -> str:
        fresh = next_address(self._addresses(name)[-1], self._taken())
        self._world.add(name, [fresh])
        return f"{name} has {fresh} too."

    def _remove(self, name: str) -> str:
        self._world.delete(name)
        return f"{name} is gone."

    # ------------------------------------------------------------ behaviours

    def do_behave(self, content: Mapping[str, Any]) -> None:
        """A behaviour for a name, or (with none) for every question to the resolver."""
        name, how = str(content.get("name", "")), str(content.get("how", ""))
        if how not in BEHAVIOURS:
            return

        def behave() -> str:
            if how == "normal" and name:
                self._world.clear_faults(name)
            else:
                self._world.fault(name, **BEHAVIOURS[how])
            self._read_faults()
            said = words_of(BEHAVIOURS[how]) or "normal"
            return f"{name or 'The resolver, for every name,'} is {said}."

        self.act(behave, f"behave:{how}")

    # ------------------------------------------------------------ churn

    def _churns(self) -> bool:
        return self._mine is not None and self._mine.running

    def do_churn(self, content: Mapping[str, Any]) -> None:
        """Start or stop changes by themselves."""

        def start() -> str:
            seconds = number("seconds", content.get("seconds", ""), 0.1, 3600, whole=False)
            seed = int(number("seed", content.get("seed", ""), 0, 2**32 - 1))
            before = _churning.pop(self.lab_name, None)
            if before is not None:
                before.stop()
            step = partial(self._step, Churn(seed))
            # first: `show`, on the reader's thread, puts out what is on and has no ticker
            self._mine = _churning[self.lab_name] = Ticker(f"churn-{self.lab_name}", seconds, step)
            self.churn = {**_QUIET, "on": True, "seconds": seconds, "seed": seed}
            return f"The world changes every {seconds:g} s, seed {seed}."

        def stop() -> str:
            self._stop_churn()
            return f"The world stays as it is, after {self.churn['steps']} changes."

        self.act(start if content.get("on") else stop, "churn")

    def _step(self, churn: Churn) -> bool:
        """One change; the world may be away, and comes back."""
        if self._hub.seen.down:
            return False
        try:
            world: dict[str, list[str]] = {}
            for one in self._world.records():
                if one.type in ("A", "AAAA") and not one.server:
                    world.setdefault(one.name, []).extend(one.values)
            change = churn.step(world)
            if change is not None:
                self._world.set(*change)
        except FqdnlabError as error:
            self.send({"type": "told", "text": f"Churn: {error}", "well": False, "what": ""})
            return True
        if change is not None:
            said = f"{change[0]} has {', '.join(change[1])}"
            self.churn = {**self.churn, "steps": self.churn["steps"] + 1, "last": said}
        return True

    def _stop_churn(self) -> None:
        if self._mine is not None:
            self._mine.stop()
        self.churn = {**self.churn, "on": False}

    def close(self) -> None:
        """Take the panel away; its churn ends."""
        self._look.stop()
        self._stop_churn()
        self._world.close()
        self._reach.close()
        super().close()

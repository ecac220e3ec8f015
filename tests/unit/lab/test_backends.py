"""Which backend is chosen; what is held; whose times are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fqdnlab.errors import UsageError
from fqdnlab.lab.backends import Backend, NodeSockets, backend, backend_of, remember
from fqdnlab.lab.vm import Vm


class Counted(Backend):
    """Says what it is asked for."""

    name = "counted"

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def up(self, lab: str, settings: dict[str, Any]) -> bool:
        raise NotImplementedError

    def down(self, lab: str) -> None:
        raise NotImplementedError

    def clean(self) -> list[str]:
        raise NotImplementedError

    def list(self) -> list[dict[str, Any]]:
        return [{"name": "here"}]

    def node_names(self) -> tuple[str, ...]:
        return ("node",)

    def sockets(self, lab: str, node: str) -> NodeSockets:
        raise NotImplementedError

    def world_socket(self, lab: str) -> Path:
        raise NotImplementedError

    def open(self, lab: str) -> None:
        self.said.append(f"open {lab}")

    def shut(self, lab: str) -> None:
        self.said.append(f"shut {lab}")

    def suspend(self, node: str) -> None:
        self.said.append(f"suspend {node}")


def test_by_name_else_by_the_environment_else_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FQDNLAB_BACKEND", raising=False)
    assert backend().name == "netns"
    assert backend() is backend("netns"), "one object a process"
    monkeypatch.setenv("FQDNLAB_BACKEND", "cloud")
    with pytest.raises(UsageError, match=r"'cloud' \(FQDNLAB_BACKEND\) \(one of netns, vagrant\)"):
        backend()
    assert backend("netns").name == "netns"
    with pytest.raises(UsageError, match="no backend 'aws'"):
        backend("aws")
    own = Counted()
    assert backend(own) is own


def test_what_reached_a_lab_last_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FQDNLAB_BACKEND", raising=False)
    own = Counted()
    assert backend_of("remembered").name == "netns"
    remember("remembered", own)
    assert backend_of("remembered") is own
    assert backend_of("another").name == "netns"


def test_sockets_are_there_as_long_as_somebody_holds_them() -> None:
    one = Counted()
    one.hold("x")
    one.hold("x")
    one.hold("y")
    one.release("x")
    assert one.said == ["open x", "open y"]
    one.release("x")
    one.release("x")  # once too often is no matter
    assert one.said == ["open x", "open y", "shut x"]
    one.hold("x")
    assert one.said[-1] == "open x"
    assert (one.exists("here"), one.exists("there")) == (True, False)


def test_a_machine_notes_what_was_done_to_it() -> None:
    one = Counted()
    vm = Vm(one, "node")
    vm.suspend()
    with pytest.raises(UsageError, match=r"'counted' has no machines of its own \(with virtual"):
        vm.resume()
    assert one.said == ["suspend node"]
    assert [(f.process, f.action, f.note) for f in one.noted] == [("vm", "suspend", "node")]


def test_what_comes_back_is_noted_once_and_only_after_it_was_away() -> None:
    one = Counted()
    node = Vm(one, "node")
    one.note_back("node", "vm")
    assert one.noted == []
    node.suspend()
    one.note_back("node2", "vm")
    for _ in range(2):
        one.note_back("node", "vm")
    assert [f.action for f in one.noted] == ["suspend", "resume"]

"""Machines that are halted, made more, and removed; nothing is left of them."""

from __future__ import annotations

import re

import pytest

from fqdnlab.errors import SetupError
from fqdnlab.lab import Lab
from fqdnlab.lab.backends.vagrant import VagrantBackend
from fqdnlab.testing import eventually
from tests.vm.test_c_labs import API, POLICY
from tests.vm.vm_kit import Host, qemus

pytestmark = pytest.mark.timeout(900)


def test_two_nodes_hold_one_policy_and_die_apart(
    machines: VagrantBackend, vms: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines.machines.halt("node")
    eventually(lambda: set(qemus(vms.folder)) == {"internet"}, 10, "the node's end")
    # what follows wakes the first node, and makes the second
    monkeypatch.setenv("FQDNLAB_NODES", "2")
    with Lab("two", vms.backend()) as lab:
        for number, node in enumerate(lab.nodes, 1):
            lab.endpoint(f"web{number}", {"app": "web"}, node=node)
        lab.world[API] = ["198.51.100.7"]
        lab.apply(POLICY)
        assert [e.connect(API, 443, timeout=2.0).ok for e in lab.endpoints()] == [True, True]
        denied = [e.connect("203.0.113.9", 443, timeout=1.0).ok for e in lab.endpoints()]
        assert denied == [False, False]
        lab.nodes["node2"].agent.kill()
        lab.world[API] = ["198.51.100.8"]
        after = {e.node: e.connect(API, 443, timeout=2.0).ok for e in lab.endpoints()}
        assert after == {"node": True, "node2": False}
        assert lab.nodes["node"].agent.state().state == "running"
        lab.nodes["node2"].agent.restart()
        eventually(
            lambda: all(e.connect(API, 443, timeout=2.0).ok for e in lab.endpoints()), 20, "both"
        )


def test_destroyed_nothing_is_left(machines: VagrantBackend, vms: Host) -> None:
    machines.machines.halt()
    eventually(lambda: qemus(vms.folder) == {}, 10, "their end")
    vms.restart()
    assert "fqdnlab-node" in vms.inside("virsh", "list", "--all", "--name"), "they outlive libvirtd"
    machines.machines.destroy()
    eventually(lambda: qemus(vms.folder) == {}, 10, "their end")
    assert vms.inside("virsh", "list", "--all", "--name").strip() == ""
    assert "fqdnlab" not in vms.inside("virsh", "net-list", "--all", "--name")
    volumes = vms.inside("virsh", "vol-list", "default")
    assert "fqdnlab-VAGRANTSLASH-bookworm" in volumes, (
        "the box's own, which stays for the next time"
    )
    assert not re.search(r"fqdnlab-(node2?|internet|client)\.img", volumes), volumes
    assert set(machines.machines.vagrant.status().values()) == {"not_created"}


def test_a_missing_box_is_named(
    machines: VagrantBackend, monkeypatch: pytest.MonkeyPatch, vms: Host
) -> None:
    monkeypatch.setenv("FQDNLAB_BOX", "fqdnlab/no-such-box")
    with pytest.raises(SetupError, match="the box is not here"):
        vms.backend().machines.up()

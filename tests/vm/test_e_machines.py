"""What can be done to the machines: be put back, stand still, be an endpoint, lose their power."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from fqdnlab.errors import FqdnlabError, LateError, UnavailableError, UsageError
from fqdnlab.lab import Lab
from fqdnlab.lab.backends.vagrant import VagrantBackend
from fqdnlab.notebook.hub import hub
from fqdnlab.notebook.sentence import say
from fqdnlab.testing import eventually
from tests.vm.test_c_labs import API, counted, policed, reaches
from tests.vm.vm_kit import Host

pytestmark = pytest.mark.timeout(900)


def test_restored_to_a_snapshot_all_is_as_it_was_and_on_time(
    lab: Lab, machines: VagrantBackend, vms: Host
) -> None:
    policed(lab)
    before = {p.name: p.pid for p in lab.status().process}
    lab.snapshot("clean")
    assert "clean" in machines.snapshots()
    lab.agent.kill()
    lab.world[API] = ["203.0.113.5"]
    begin = time.monotonic()
    lab.restore("clean")
    vms.figures.note("restore of a snapshot", time.monotonic() - begin, 15, "s")
    after = {p.name: p.pid for p in lab.status().process}
    assert after == before, "the same processes, the agent alive"
    assert reaches(lab, "198.51.100.7")
    assert reaches(lab, API), "the world is as it was"
    for name in machines.machines.site.machines:
        assert abs(machines.machines.offset(name)) < 2.0, "its clock was set"
    newest = lab.flows()["time"].max().timestamp()
    assert abs(newest - time.time()) < 60, "flows are told in our time"
    with pytest.raises(UsageError, match="no snapshot"):
        lab.restore("none")


def test_two_who_set_a_clock_at_once_set_it_right(machines: VagrantBackend, vms: Host) -> None:
    other = vms.backend(lambda _: None)  # links and locks of its own, as another process has them
    back = "import time; time.clock_settime(time.CLOCK_REALTIME, time.time() - 40)"
    for _ in range(3):
        machines.machines.link("node").run("sudo", "python3", "-I", "-S", "-c", back)
        assert machines.machines.offset("node") < -30.0
        with ThreadPoolExecutor(4) as pool:
            two = (machines.machines, other.machines)
            list(pool.map(lambda one: one.set_clock("node"), two * 2))
        assert abs(machines.machines.offset("node")) < 2.0


def on_time(machines: VagrantBackend, name: str) -> bool:
    try:
        return abs(machines.machines.offset(name)) < 2.0
    except (LateError, UnavailableError):  # somebody else woke it: our link is made again
        return False


def card(buttons: Any) -> str:
    """What the machine's card says."""
    return next((str(c["word"]) for c in buttons.cards if c["name"] == "machine"), "none yet")


def test_a_suspended_node_is_late_and_goes_on_as_it_was(
    lab: Lab, machines: VagrantBackend, vms: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    policed(lab)
    buttons = lab.panel("faults")
    buttons.do_fault({"process": "machine", "action": "suspend"})
    eventually(lambda: card(buttons) == "suspended", 60, "its card")
    assert machines.machines.vagrant.status()["node"] in ("saved", "paused")
    with pytest.raises((LateError, UnavailableError)):
        lab.agent.state()
    said = hub(lab.name, "node").seen
    assert "stands still" in say(said).text, said.trouble
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(buttons, "send", told.append)
    buttons.do_fault({"process": "machine", "action": "resume"})
    # the node answers, and the card says so, before the button's work is done
    eventually(lambda: [t for t in told if "goes on" in t.get("text", "")], 60, "the resume")
    eventually(lambda: card(buttons) == "running", 20, "its card")
    eventually(lambda: hub(lab.name, "node").seen.trouble == "", 20, "the node's answer")
    hub(lab.name, "node").stop()
    assert abs(machines.machines.offset("node")) < 2.0, "its clock was set"
    assert lab.agent.state().state == "running"
    eventually(lambda: reaches(lab, API), 20, "the node to go on")
    assert list(lab.faults().query("process == 'vm'")["action"]) == ["suspend", "resume"]
    machines.machines.suspend("internet")
    told: list[str] = []
    again = vms.backend(told.append)
    with closing(Lab("vm", again)) as same:
        assert reaches(same, API), "it was resumed"
    assert "bringing up internet" in told
    eventually(lambda: on_time(machines, "internet"), 30, "the internet's clock")


def test_a_machine_as_an_endpoint_is_policed(lab: Lab, machines: VagrantBackend) -> None:
    policed(lab)
    client = lab.endpoint("client", {"app": "web"}, machine="client")
    assert client.connect(API, 443, timeout=3.0).ok
    assert not client.connect("192.0.2.66", 443, timeout=1.0).ok
    assert client.run(["uname", "-n"]).stdout.strip() == "client"
    with counted(machines, "client") as left:
        curl = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"https://{API}/"]
        assert client.run(curl).stdout == "200"
        assert left() == {"client": 0}, "its way is by the node, whatever its default route says"
    eventually(lambda: "client" in set(lab.flows()["endpoint"]), 10, "its flows")
    lab.delete_endpoint("client")
    machines.machines.let_go("client")
    machines.machines.vagrant.do("destroy", "--force", "client")


def test_after_a_reset_the_node_is_bare_and_the_lab_can_be_made_again(
    lab: Lab, machines: VagrantBackend, vms: Host
) -> None:
    begin = time.monotonic()
    lab.nodes["node"].vm.reset()
    vms.figures.note("reset of a node", time.monotonic() - begin, None, "s")
    assert machines.machine("node").list() == [], "what ran there is dead"
    with pytest.raises(FqdnlabError):
        lab.status()
    again = Lab("vm", machines)  # what is left of it on the internet is found
    policed(again)
    again.close()

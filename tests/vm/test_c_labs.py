"""A lab whose node and internet are machines: the same client, the same things, real ones."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fqdnlab.errors import LateError, UnavailableError
from fqdnlab.lab import Lab
from fqdnlab.lab.backends.vagrant import VagrantBackend
from fqdnlab.testing import eventually
from fqdnlab.vagrant.machines import Machines
from tests.lab_kit import cnp, dns, names
from tests.vm.vm_kit import ROOT, Host, payload_with_packages, python

pytestmark = pytest.mark.timeout(500)

A, B, API = "198.51.100.7", "198.51.100.8", "api.example.com"
POLICY = cnp("names", dns(API), names(API))


#: What must not leave by the link that ssh takes.
COUNTED = """
table netdev fqdnlab_test {
  chain out {
    type filter hook egress device eth0 priority 0;
    udp dport { 53, 4789 } counter
    ip daddr { 198.51.100.0/24, 10.10.0.0/16, 10.96.0.0/16, 172.31.0.0/16 } counter
    ip6 daddr fd00::/8 counter
  }
}
"""


#: What would be a question to a DNS server by that link.
ASTRAY = """
import socket, struct
routes = map(str.split, open("/proc/net/route"))
route = next(words for words in routes if words[0] == "eth0" and words[3] == "0003")
gateway = socket.inet_ntoa(struct.pack("<I", int(route[2], 16)))
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"?", (gateway, 53))
"""


@contextmanager
def counted(machines: VagrantBackend, *names: str) -> Iterator[Callable[[], dict[str, int]]]:
    """Machine → how many packets of a lab left by its management link since the block began."""
    table = ("table", "netdev", "fqdnlab_test")

    def left() -> dict[str, int]:
        found = {}
        for name in names:
            said = machines.machines.link(name).run("sudo", "nft", "list", *table)
            counts = [int(n) for n in re.findall(r"counter packets (\d+)", said)]
            assert len(counts) == 3, said
            found[name] = sum(counts)
        return found

    for name in names:
        machines.machines.link(name).run("sudo", "nft", COUNTED)
    try:
        yield left
    finally:
        for name in names:
            machines.machines.link(name).run("sudo", "nft", "delete", *table)


def policed(lab: Lab) -> None:
    """As each test begins: an address, an endpoint, its policy."""
    lab.world[API] = [A]
    lab.endpoint("web", {"app": "web"})
    lab.apply(POLICY)
    assert reaches(lab, API)


def reaches(lab: Lab, where: str) -> bool:
    return bool(lab.endpoint("web").connect(where, 443, timeout=2.0).ok)


def test_addresses_move_and_the_agent_and_the_proxy_die_under_traffic(lab: Lab) -> None:
    policed(lab)
    web = lab.endpoint("web")
    assert not reaches(lab, "192.0.2.66")
    lab.world[API] = [B]
    assert reaches(lab, API), "a new look-up brings the new address"
    assert lab.agent_status().attach == "clsact", "no tcx before 6.6"
    loop = (
        "for i in $(seq 60); do curl -sk -o /dev/null --max-time 5 "
        f"--resolve {API}:443:{B} https://{API}/ && echo ok || echo no; done"
    )
    traffic = web.popen(["sh", "-c", loop], timeout=0)
    traffic.wait_for_output("ok")
    lab.agent.kill()
    lab.world[API] = ["198.51.100.9"]
    assert not reaches(lab, API), "it resolves, and the new address waits for the agent"
    lab.proxy.kill()
    lab.proxy.start()
    lab.agent.start()
    eventually(lambda: reaches(lab, "198.51.100.9") or reaches(lab, API), 20, "the new address")
    lab.proxy.restart()
    assert reaches(lab, API)
    done = traffic.wait(200)
    assert done.stdout.split() == ["ok"] * 60, "a known flow's address passes through all of it"
    reasons = set(lab.flows().query("verdict == 'DROPPED'")["reason"])
    assert reasons == {"POLICY_DENIED"}, reasons
    faults = [f"{f.action} {f.process}" for f in lab.faults().itertuples()]
    assert faults == ["kill agent", "kill proxy", "start proxy", "start agent", "restart proxy"]


def test_processes_are_scopes_with_no_more_than_they_need(
    lab: Lab, machines: VagrantBackend
) -> None:
    link = machines.machines.link("node")
    units = link.run("systemctl", "list-units", "--type=scope", "--plain", "--no-legend")
    state = {p.name: p for p in lab.status().process}
    for name in ("agent", "proxy", "observer", "node"):
        unit = f"fqdnlab-vm-{name}-g{state[name].generation}.scope"
        assert unit in units, units
        shown = link.run("systemctl", "show", "-p", "KillMode", "-p", "ControlGroup", unit)
        assert "KillMode=process" in shown
        group = link.run("cat", f"/proc/{state[name].pid}/cgroup")
        assert group.strip().endswith(unit)
    status = link.run("sudo", "cat", f"/proc/{state['proxy'].pid}/status")
    fields = dict(ln.split(":\t", 1) for ln in status.splitlines() if ":\t" in ln)
    assert fields["Uid"].split()[0] == "64053", "the proxy's own"
    assert int(fields["CapEff"], 16) == (1 << 10) | (1 << 13), "NET_BIND_SERVICE and NET_RAW"
    service = link.run("systemctl", "show", "-p", "Restart", "-p", "KillMode", "fqdnlab.service")
    assert set(service.split()) == {"Restart=no", "KillMode=process"}
    lab.agent.kill()  # and neither systemd nor the machine service starts it
    link.run("sudo", "systemctl", "restart", "fqdnlab.service")
    eventually(lambda: machines.machine("node").answers(), 20, "the machine service")
    dead = {p.name: p.state for p in lab.status().process}
    assert dead["agent"] == "dead", "until it is asked for"
    assert dead["proxy"] == "running", "labs outlive the machine service"
    lab.agent.restart()


def test_a_call_is_measured_beside_the_links_echo(lab: Lab, vms: Host) -> None:
    echo = lab.nodes["node"].vm.echo_seconds()  # the shortest, as of the calls
    took = []
    for _ in range(30):
        begin = time.perf_counter()
        lab.endpoints()
        took.append(time.perf_counter() - begin)
    call = min(took)
    assert 0 < echo < call
    vms.figures.note("a Lab call ÷ one octet's echo on the link", call / echo, 3, "times")


def test_no_packet_of_a_lab_takes_the_management_link(lab: Lab, machines: VagrantBackend) -> None:
    policed(lab)
    with counted(machines, *machines.machines.site.machines) as left:
        assert reaches(lab, API)
        lab.nodes["node"].vm.cut_link()
        assert not reaches(lab, API), "the link is cut, and there is no other way"
        lab.nodes["node"].vm.mend_link()
        eventually(lambda: reaches(lab, API), 20, "the link again")
        assert left() == {"internet": 0, "node": 0}
        machines.machines.link("node").run("python3", "-c", ASTRAY)
        assert left() == {"internet": 0, "node": 1}, "it counts"
    assert list(lab.faults().query("process == 'link'")["action"]) == ["cut", "mend"]


def test_a_lost_link_says_so_and_comes_back(lab: Lab, machines: VagrantBackend) -> None:
    policed(lab)
    link = machines.machines.link("node")
    with link._lock:  # nobody makes it anew meanwhile
        link.drop()
        with pytest.raises(UnavailableError, match="the ssh link to node"):
            lab.status()
    eventually(lambda: _well(lab), 30, "the link again")
    assert link.lost >= 1
    assert reaches(lab, API)


def _well(lab: Lab) -> bool:
    try:
        return bool(lab.status().sentence)
    except (LateError, UnavailableError):
        return False


def test_a_killed_client_leaves_no_ssh_behind(lab: Lab) -> None:
    code = (
        "from fqdnlab import Lab; l = Lab('vm'); print('up', l.status().lab, flush=True); input()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert child.stdout is not None
    assert child.stdout.readline().split() == ["up", "vm"]
    theirs = _ssh_of(child.pid)
    assert theirs
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    eventually(lambda: not [p for p in theirs if os.path.exists(f"/proc/{p}")], 10, "their end")
    assert lab.status().sentence == "all processes run", "the lab goes on"


def _ssh_of(pid: int) -> list[int]:
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = Path("/proc", entry, "stat").read_text().rpartition(")")[2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(text.split()[1]) == pid:
            found.append(int(entry))
    return found


def test_a_machine_without_its_service_is_provisioned_anew_and_keeps_its_labs(
    lab: Lab, machines: VagrantBackend, vms: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a bundle's payload, which has the packages that a machine without a network may lack."""
    monkeypatch.setattr("fqdnlab.vagrant.machines._SOON_SECONDS", 2.0)
    policed(lab)
    before = {p.name: p.pid for p in lab.status().process}
    link = machines.machines.link("node")
    told: list[str] = []
    link.run("sudo", "systemctl", "stop", "fqdnlab")
    vms.backend(told.append).machines.up()
    assert told == ["node: its machine service does not answer: it is started"]
    path = "find /usr/local/lib -name fqdnlab.pth -delete"
    link.run("sudo", "sh", "-c", f"systemctl stop fqdnlab; dpkg --purge iputils-ping; {path}")
    with payload_with_packages(tmp_path):
        vms.backend(told.append).machines.up()
    assert "node: its machine service does not start: it is provisioned anew" in told
    assert "installing iputils-ping" in "\n".join(told)
    assert link.run("dpkg-query", "-W", "-f", "${Status}", "iputils-ping") == "install ok installed"
    assert {p.name: p.pid for p in lab.status().process} == before
    assert reaches(lab, API)


def test_a_machine_that_runs_other_code_is_told_of(lab: Lab, machines: VagrantBackend) -> None:
    """And left alone while a lab is on it."""
    link = machines.machines.link("node")
    file = "/etc/fqdnlab/environment"
    link.run("sudo", "sh", "-c", f"cp {file} {file}.kept; sed -i s/PAYLOAD=.*/PAYLOAD=old/ {file}")
    link.run("sudo", "systemctl", "restart", "fqdnlab.service")
    told: list[str] = []
    other = Machines(machines.machines.site, told.append)
    try:
        eventually(lambda: other.up() or told, 60, "what is said of it")  # type: ignore[func-returns-value]
    finally:
        other.close()
        link.run("sudo", "mv", f"{file}.kept", file)
        link.run("sudo", "systemctl", "restart", "fqdnlab.service")
    assert set(told) == {
        "node runs another fqdnlab than this one, and does so until its labs (vm) are down"
    }
    eventually(lambda: machines.machine("node").answers(), 20, "the machine service")
    assert lab.status().sentence == "all processes run"


def test_the_command_line_works_there_too(lab: Lab) -> None:
    for words, chosen, wanted in (
        (("up", "vm", "--backend", "vagrant"), "", "lab vm"),
        (("status", "vm"), "vagrant", "all processes run"),
        (("agent", "kill", "--lab", "vm"), "vagrant", ""),
    ):
        env = {"FQDNLAB_BACKEND": chosen}
        status, said = python("-m", "fqdnlab.cli", *words, timeout=100, env=env)
        assert status == 0, said
        assert wanted in said, said
    assert lab.agent.state().state == "dead"
    lab.agent.restart()

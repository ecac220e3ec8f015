"""A living lab recorded, measured and captured; the recording explains as the lab did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fqdnlab
from fqdnlab.demo.policies import WEB_EGRESS
from fqdnlab.errors import UsageError
from fqdnlab.explain import Explanation
from fqdnlab.lab import Lab, machine_service
from fqdnlab.lab.endpoint import Endpoint
from fqdnlab.model.flow_rates import rate_kind
from fqdnlab.testing import eventually

OPEN, MOVED = "198.51.100.7", "198.51.100.8"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with machine_service(), Lab(f"record-{os.getpid()}", time_scale=2.0) as made:
        made.endpoint("web", labels={"app": "web"})
        made.world["api.example.com"] = [OPEN, "2001:db8::7"]
        made.apply(WEB_EGRESS)
        yield made


@pytest.fixture(scope="module")
def web(lab: Lab) -> Endpoint:
    return lab.endpoint("web", labels={"app": "web"})


def last(lab: Lab, address: str) -> pd.Series:
    """The newest packet to an address; its flow comes a moment after it."""

    def rows() -> list[pd.Series]:
        flows = lab.flows()
        return [row for _, row in flows[flows.address == address].tail(1).iterrows()]

    return eventually(rows, 10.0, f"a flow to {address}")[0]


def same(recorded: Explanation, live: Explanation) -> bool:
    """Equal in all but the label."""
    one, other = recorded.to_dict(), live.to_dict()
    assert (one.pop("source"), other.pop("source")) == ("recording", "lab")
    assert one == other
    return True


def test_a_recording_explains_as_the_lab_did(lab: Lab, web: Endpoint, tmp_path: Path) -> None:
    live: list[tuple[float, Any, Explanation]] = []

    def explain(*what: Any) -> None:
        said = lab.explain(*what)
        live.append((time.time(), what, said))

    with lab.record(tmp_path / "run.fqdnlab", seed=7, interval=0.1) as recorder:
        assert web.connect("api.example.com", 443)
        explain(last(lab, OPEN))
        explain("web", "new.cdn.example.com", 443)
        lab.agent.kill()
        lab.world["api.example.com"] = [MOVED]
        assert not web.connect("api.example.com", 443, timeout=0.3)
        drop = last(lab, MOVED)
        explain(drop)
        explain("web", "api.example.com", 443)
        lab.observer.kill()
        explain("web", OPEN, 80)
        lab.observer.start()
        lab.agent.start()
        eventually(lambda: lab.explain("web", MOVED, 443).verdict == "FORWARDED", 10.0, "MOVED")
        explain(drop)
        lab.delete_policy("web-egress")
        explain(drop)
        explain("web", "192.0.2.1", 25)
        lab.apply(WEB_EGRESS)
        flows, queries, faults = lab.flows(), lab.queries(), lab.faults()
        known = set(lab.mappings().ip)
    assert not recorder.running
    recording = fqdnlab.open_recording(tmp_path / "run.fqdnlab")
    for at, what, said in live:
        assert same(recording.explain(*what, at=at), said), f"{what} at {at}"
    assert recording.explain(str(drop["uuid"])).remedy == live[2][2].remedy
    assert set(recording.flows().uuid) >= set(flows.uuid)
    assert set(recording.queries().uuid) >= set(queries.uuid)
    assert list(recording.faults().action) == list(faults.action)
    assert list(recording.policies().name) == ["web-egress"]
    assert set(recording.mappings().ip) == known
    assert recording.mappings().identity.min() > 1 << 24
    assert set(recording.metrics().process) == {"agent", "proxy", "observer", "world"}
    assert {"apply", "learn", "delete"} <= set(recording.operations().kind)
    assert (recording.seed, recording.settings) == (7, lab.settings)
    assert recording.header["kernel"].startswith("Linux ")
    told = (Path(__file__).parents[2] / "docs" / "recording.md").read_text()
    kinds = {json.loads(one)["kind"] for one in recording.path.read_text().splitlines()}
    assert not [kind for kind in kinds if f"| `{kind}` |" not in told]
    figure = recording.timeline()
    assert figure.layout.title.text.startswith("recorded: ")
    flows = recording.flows()
    since = flows[flows.time >= pd.Timestamp(recording.started, unit="s", tz="UTC")]
    counts = Counter(rate_kind(row) for row in since.to_dict("records"))
    assert counts["asked"] > 0, "look-ups, which are no bars"
    width = {t.name: t.width for t in figure.data}["▲ allowed"] / 0.86
    drawn = {t.name: abs(sum(t.y)) * width for t in figure.data if t.name[0] in "▲✕"}
    wanted = {"▲ allowed": counts["allowed"], "✕ dropped": counts["dropped"]}
    assert drawn == pytest.approx(wanted), "as the live ones"


def test_start_and_stop_and_a_file_that_is_there(lab: Lab, web: Endpoint, tmp_path: Path) -> None:
    path = tmp_path / "a.fqdnlab"
    recorder = lab.record(path)
    with pytest.raises(UsageError, match=r"cannot write .*a\.fqdnlab: File exists"):
        lab.record(path)
    assert recorder.running
    assert recorder.stop() == path
    assert recorder.stop() == path
    assert not fqdnlab.open_recording(path).cut_short
    other = Lab.attach(lab.name)
    recorder = other.record(tmp_path / "b.fqdnlab")
    other.close()
    assert not fqdnlab.open_recording(recorder.path).cut_short


def test_one_whose_writer_was_killed_opens_with_what_there_is(
    lab: Lab, web: Endpoint, tmp_path: Path
) -> None:
    path = tmp_path / "killed.fqdnlab"
    code = (
        "import sys, time; from fqdnlab.lab import Lab\n"
        "lab = Lab.attach(sys.argv[1]); lab.record(sys.argv[2], interval=0.05)\n"
        "print('recording', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, lab.name, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "recording\n"
        assert not web.connect("192.0.2.33", 443, timeout=0.2)
        eventually(lambda: "192.0.2.33" in path.read_text(), 10.0, "the flow in the file")
        child.kill()
    with pytest.warns(UserWarning, match="was cut short"):
        recording = fqdnlab.open_recording(path)
    flows = recording.flows()
    said = recording.explain(flows[flows.address == "192.0.2.33"].iloc[-1])
    assert said.reason == "POLICY_DENIED"


def test_a_full_disk_ends_it_with_a_plain_error(lab: Lab, web: Endpoint, tmp_path: Path) -> None:
    path = tmp_path / "full.fqdnlab"
    code = (
        "import resource, sys; from fqdnlab.lab import Lab; from fqdnlab.errors import StateError\n"
        "lab = Lab.attach(sys.argv[1]); recorder = lab.record(sys.argv[2], interval=0.02)\n"
        "size = recorder.path.stat().st_size + 100\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)); sys.stdin.readline()\n"
        "try:\n    recorder.stop()\nexcept StateError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", code, lab.name, str(path)]
    assert not web.connect("192.0.2.34", 443, timeout=0.2)
    done = subprocess.run(command, input="\n", capture_output=True, text=True, timeout=60)
    assert "is cut short: File too large (what was written before opens)" in done.stdout, done
    with pytest.warns(UserWarning, match="was cut short"):
        assert not fqdnlab.open_recording(path).flows().empty


def test_metrics_are_a_table_with_help_and_units(lab: Lab, web: Endpoint) -> None:
    frame = lab.metrics()
    assert list(frame.columns) == ["process", "name", "labels", "value"]
    assert set(frame.process) == {"agent", "proxy", "observer", "world"}
    about = frame.attrs["metrics"]["cilium_fqdn_active_names"]
    assert about["kind"] == "gauge"
    assert about["help"]
    names = frame[(frame.process == "agent") & (frame.name == "cilium_fqdn_active_names")]
    assert names.value.iloc[0] == len(set(lab.mappings().name))
    lab.agent.kill()
    try:
        assert lab.metrics().attrs["silent"] == ["agent"]
    finally:
        lab.agent.start()


def test_a_capture_has_the_look_up_and_the_connection(
    lab: Lab, web: Endpoint, tmp_path: Path
) -> None:
    lab.world["api.example.com"] = [OPEN]
    with web.capture() as capture:
        assert web.connect("api.example.com", 443)
        capture.wait_for(6)
    from scapy.layers.dns import DNS
    from scapy.layers.inet import IP, TCP
    from scapy.utils import rdpcap

    packets = capture.packets()
    answers = [p[DNS] for p in packets if DNS in p and p[DNS].qr == 1]
    assert {a.qd[0].qname for a in answers} == {b"api.example.com."}
    assert all(p[IP].src == "10.96.0.10" for p in packets if DNS in p and p[DNS].qr == 1)
    assert any(TCP in p and p[IP].dst == OPEN and p[TCP].flags == "S" for p in packets)
    assert any(TCP in p and p[IP].src == OPEN and p[TCP].flags == "SA" for p in packets)
    saved = rdpcap(str(capture.save(tmp_path / "web.pcap")))
    assert len(saved) == len(capture) == len(capture.frames())
    assert abs(capture.frames()[0][0] - time.time()) < 60
    assert not capture.running


def test_a_capture_is_bounded_and_says_what_it_misses(lab: Lab, web: Endpoint) -> None:
    with web.capture(limit=200) as capture:
        assert web.connect("api.example.com", 443)
        eventually(lambda: capture.missed, 10.0, "octets that are missed")
    assert len(capture.pcap) <= 200
    capture.packets()
    gone = lab.endpoint("gone", labels={"app": "gone"})
    gone.delete()
    with pytest.raises(UsageError, match="no endpoint"):
        gone.capture()

"""Recordings made by hand: opened whole, cut short, of another version, anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.errors import UsageError
from fqdnlab.model.settings import LabSettings
from fqdnlab.recording import Recording, open_recording
from fqdnlab.recording.format import FORMAT, VERSION, Maps, apply_maps, line, map_changes
from fqdnlab.recording.origin import commit
from fqdnlab.recording.replay import changes_of

POLICY = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web}
spec:
  endpointSelector: {matchLabels: {app: web}}
  egress:
  - toFQDNs: [{matchName: api.example.com}]
    toPorts: [{ports: [{port: "443", protocol: TCP}]}]
"""
DROP = {
    "time": "2026-03-01T12:00:05Z",
    "uuid": "u-1",
    "verdict": "DROPPED",
    "drop_reason_desc": "POLICY_DENIED",
    "IP": {"source": "10.10.0.1", "destination": "198.51.100.7", "ipVersion": "IPv4"},
    "l4": {"TCP": {"source_port": 41000, "destination_port": 443}},
    "source": {"ID": 1, "pod_name": "web"},
    "destination": {"identity": 9},
    "Type": "L3_L4",
    "traffic_direction": "EGRESS",
    "event_type": {"type": 1},
}
T0 = 1772366400.0  # 2026-03-01 12:00:00 UTC
WEB = {"id": 1, "name": "web", "labels": {"app": "web"}, "ip4": "10.10.0.1", "ip6": "fd10::1"}
WAITING = {"endpoint": "web", "fqdn": "api.example.com.", "ip": "198.51.100.7", "state": "waits"}
MAPPING = {**WAITING, "state": "enforced", "lookup_time": T0 + 8, "expiration_time": T0 + 68}


def _header(**changes: Any) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "lab": "intro",
        "seed": 7,
        "settings": vars(LabSettings()),
        "kernel": "Linux 6.18",
        **changes,
    }


def _state(agent: str, **evidence: Any) -> dict[str, Any]:
    policy = {"kind": "CiliumNetworkPolicy", "namespace": "default", "name": "web", "yaml": POLICY}
    return {
        "evidence": {"policy": [{**policy, "file": "p.yaml", "line": 1}], **evidence},
        "status": {
            "process": [{"name": "agent", "state": agent}, {"name": "proxy", "state": "running"}],
            "endpoint": [
                {
                    "id": 1,
                    "name": "web",
                    "labels": {"app": "web"},
                    "ip4": "10.10.0.1",
                    "ip6": "fd10::1",
                }
            ],
            "settings": "{}",
        },
        "queries": True,
    }


def _zone(*addresses: str) -> dict[str, Any]:
    record = {"name": "api.example.com", "type": "A", "ttl": 60, "values": addresses, "server": ""}
    return {"records": [record]}


def _maps(policy: str, identity: int) -> dict[str, Any]:
    put = [
        ["endpoints", "ifindex 3", "endpoint 1 policy 1 identity 257 enforced 1 10.10.0.1 fd10::1"],
        ["policy", "policy 1 identity 16777217 proto 6 port 443/24", policy],
    ]
    if identity:
        put.append(["ipcache_host", "198.51.100.7", f"identity {identity} established {identity}"])
    return {"put": put, "gone": []}


def lines() -> Iterator[str]:
    """The agent dies, a name is resolved and waits, a packet drops, the agent comes back."""
    yield line("header", T0, **_header())
    yield line("state", T0 + 1, **_state("dead", kept=[WAITING]))
    yield line("maps", T0 + 1, **_maps("allow rule 1 bits 24", 0))
    yield line("zones", T0 + 1, **_zone("198.51.100.7"))
    yield line("look", T0 + 1)
    yield line("flow", T0 + 5, response={"flow": DROP})
    yield line("look", T0 + 6)
    yield line("fault", T0 + 7, fault={"time": T0 + 7, "process": "agent", "action": "restart"})
    yield line("state", T0 + 9, **_state("running", mapping=[MAPPING]))
    yield line("maps", T0 + 9, **_maps("allow rule 1 bits 24", 16777217))
    yield line("zones", T0 + 9, **_zone("198.51.100.7", "198.51.100.8"))
    yield line("look", T0 + 9)
    metrics = {"process": [{"process": "agent", "text": "# TYPE a_total counter\na_total 3\n"}]}
    yield line("metrics", T0 + 9, metrics=metrics)
    yield line("end", T0 + 10, lines={"flow": 1})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "run.fqdnlab"
    made.write_text("".join(lines()))
    return made


@pytest.fixture
def recording(path: Path) -> Recording:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return open_recording(path)


def test_tables_are_those_of_a_lab_and_labelled(recording: Recording) -> None:
    flows = recording.flows()
    assert list(flows.verdict) == ["DROPPED"]
    assert flows.attrs["source"] == "recorded"
    assert flows.attrs["units"]["time"] == "wall clock, UTC"
    assert list(recording.faults().process) == ["agent"]
    assert list(recording.mappings().state) == ["enforced"]
    assert list(recording.mappings().identity) == [16777217]
    assert recording.mappings(T0 + 2).empty
    assert list(recording.metrics().value) == [3.0]
    assert len(recording.maps()) == 3
    assert len(recording.maps(T0 + 2)) == 2
    assert (recording.lab, recording.seed, recording.cut_short) == ("intro", 7, False)


def test_a_flow_is_explained_as_it_was_then(recording: Recording) -> None:
    said = recording.explain("u-1")
    assert (said.source, said.verdict) == ("recording", "DROPPED")
    assert said.remedy is not None
    assert (said.remedy.action, said.remedy.restart) == ("restart", ("agent",))
    assert str(said).startswith("[recorded] web → 198.51.100.7")
    assert "recorded" in said._repr_html_()
    later = recording.explain(recording.flows().iloc[0], at=T0 + 10)
    assert "would be FORWARDED now" in later.step("now").detail


def test_a_forecast_is_as_of_the_end_or_of_a_time(recording: Recording) -> None:
    assert recording.explain("web", "198.51.100.7", 443).verdict == "FORWARDED"
    assert recording.explain("web", "198.51.100.7", 443, at=T0 + 2).verdict == "DROPPED"


def test_the_timeline_says_that_it_is_recorded(recording: Recording) -> None:
    figure = recording.timeline()
    assert figure.layout.title.text.startswith("recorded: lab intro, 2026-03-01")
    assert any("api is 198.51.100.7 +1" in str(a.text) for a in figure.layout.annotations)


def test_one_cut_short_opens_with_a_plain_warning(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b'"kind":"metrics"') + 30])
    with pytest.warns(
        UserWarning, match="was cut short: what was written until 2026-03-01"
    ) as told:
        cut = open_recording(path)
    assert told[0].filename == __file__
    assert cut.cut_short
    assert list(cut.flows().verdict) == ["DROPPED"]
    assert cut.explain("u-1").remedy is not None
    assert cut.metrics().empty


@pytest.mark.filterwarnings("ignore:.*cut short")
def test_wherever_it_is_cut_it_opens(path: Path) -> None:
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole), 97):
        path.write_bytes(whole[:end])
        cut = open_recording(path)
        assert cut.cut_short
        cut.mappings()
        cut.policies()
        if not cut.flows().empty:
            cut.explain("u-1")
        cut.timeline()


def test_a_look_that_failed_is_told(path: Path) -> None:
    text = path.read_text().splitlines(keepends=True)
    text.insert(5, line("gap", T0 + 3, error="the node service is dead or unreachable"))
    path.write_text("".join(text))
    (note,) = open_recording(path).warnings
    assert note == (
        "at 2026-03-01 12:00:03 UTC nothing could be read: the node service is dead or unreachable"
    )


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "is no recording"),
        ("no json\n", "is no recording"),
        ('{"kind": "flow", "time": 1}\n', "is no recording"),
        (line("header", T0, **_header(version=99)), "is of version 99, known is 1"),
    ],
)
def test_what_is_no_recording_is_said_to_be_none(tmp_path: Path, content: str, what: str) -> None:
    made = tmp_path / "x"
    made.write_text(content)
    with pytest.raises(UsageError, match=what):
        open_recording(made)
    with pytest.raises(UsageError, match="cannot read"):
        open_recording(tmp_path / "missing")


def test_opening_one_imports_neither_libbpf_nor_pyroute2(path: Path) -> None:
    code = (
        "import sys, fqdnlab; r = fqdnlab.open_recording(sys.argv[1]); r.flows(); r.mappings(); "
        "r.explain('u-1'); r.timeline(); "
        "print([m for m in sys.modules if 'libbpf' in m or 'pyroute2' in m])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr


ROWS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["1", "2"]), max_size=4)
MAPS = st.dictionaries(st.sampled_from(["policy", "ipcache_host"]), ROWS)


@given(st.lists(MAPS, max_size=5))
def test_differences_of_maps_make_the_maps_again(looks: list[Maps]) -> None:
    before: Maps = {}
    made: Maps = {}
    for look in looks:
        put, gone = map_changes(before, look)
        apply_maps(made, json.loads(json.dumps({"put": put, "gone": gone})))
        assert {k: v for k, v in made.items() if v} == {k: v for k, v in look.items() if v}
        before = look


def test_changes_of_the_world_are_told_in_words() -> None:
    def zones(time: float, **names: list[str]) -> dict[str, Any]:
        records = [
            {"name": f"{name}.example.com", "type": "A", "values": values}
            for name, values in names.items()
        ]
        return {"time": time, "records": records}

    looks = [zones(1, api=["1.1.1.1"]), zones(2, api=["1.1.1.2"], b=["2.2.2.2"]), zones(3, b=[])]
    assert changes_of([*looks, {"time": 4, "records": None}]) == [
        {"time": 2, "text": "api is 1.1.1.2"},
        {"time": 2, "text": "b is new: 2.2.2.2"},
        {"time": 3, "text": "api is gone"},
        {"time": 3, "text": "b is no address"},
    ]


def test_the_commit_is_read_from_gits_own_files(tmp_path: Path) -> None:
    assert commit(tmp_path) == ""
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text(f"# pack-refs\n{'a' * 40} refs/heads/main\n")
    assert commit(tmp_path) == "a" * 40
    (git / "refs" / "heads" / "main").write_text(f"{'b' * 40}\n")
    assert commit(tmp_path) == "b" * 40
    (git / "HEAD").write_text(f"{'c' * 40}\n")
    assert commit(tmp_path) == "c" * 40

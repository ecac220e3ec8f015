"""Cilium's own hubble CLI asks our observer, which reads real kernel events."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fqdnlab.model.dnsrecord import Outcome
from fqdnlab.model.hubble_json import from_line, to_dict, to_line
from fqdnlab.pb import observer_pb2
from fqdnlab.testing import eventually
from tests.bpf.packets import ICMP, TCP, icmp, ip, tcp
from tests.observer_data import API, EP4, answer, dns_record, question
from tests.observer_kit import Kit, observer_kit

DENIED = "203.0.113.5"


@pytest.fixture(scope="session")
def hubble(programs: Path) -> Path:
    return programs / "hubble"


@pytest.fixture(scope="module")
def kit() -> Iterator[Kit]:
    """Seven packets and two questions."""
    with observer_kit() as made:
        made.tell(
            dns_record(answer("api.example.com", [API])),
            dns_record(question("evil.example.org"), Outcome.DENIED),
        )
        made.send(ip(EP4, API, TCP, tcp(50000, 443)))
        made.send(ip(EP4, API, TCP, tcp(50001, 80)))
        made.send(ip(EP4, DENIED, TCP, tcp(50002, 25)))
        made.send(ip(EP4, DENIED, ICMP, icmp(8)))
        made.send(ip("10.10.9.9", API, TCP, tcp(50003, 443)))
        made.wait_for(3 + 1 + 2 + 2 + 2 + 1)
        yield made


def run(hubble: Path, kit: Kit, *arguments: str) -> str:
    done = subprocess.run(
        [str(hubble), *arguments, "--server", f"unix://{kit.paths.observer_socket}"],
        capture_output=True,
        text=True,
        timeout=30,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TZ": "UTC"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def observe(hubble: Path, kit: Kit, *arguments: str) -> list[observer_pb2.GetFlowsResponse]:
    lines = run(hubble, kit, "observe", "--last", "100", "-o", "jsonpb", *arguments).splitlines()
    return [from_line(line, observer_pb2.GetFlowsResponse()) for line in lines]


def same(
    seen: list[observer_pb2.GetFlowsResponse], ours: list[observer_pb2.GetFlowsResponse]
) -> bool:
    """Equal as JSON: the octets of a map in an Any have no order of their own."""
    assert [to_dict(r) for r in seen] == [to_dict(r) for r in ours]
    return bool(ours)


def test_status(hubble: Path, kit: Kit) -> None:
    seen = run(hubble, kit, "status")
    assert "Healthcheck" in seen
    assert ": Ok" in seen
    assert "Current/Max Flows: 11/65,536" in seen
    assert "Connected Nodes: 1/1" in seen


def test_list_nodes(hubble: Path, kit: Kit) -> None:
    seen = run(hubble, kit, "list", "nodes")
    assert f"fqdnlab/{kit.lab}" in seen
    assert "Connected" in seen
    (node,) = json.loads(run(hubble, kit, "list", "nodes", "-o", "json"))
    assert int(node["seen_flows"]) == 11


def test_list_namespaces(hubble: Path, kit: Kit) -> None:
    assert run(hubble, kit, "list", "namespaces").split() == ["NAMESPACE", "default"]


def test_observe_prints_every_flow(hubble: Path, kit: Kit) -> None:
    seen = run(hubble, kit, "observe", "--print-policy-names").splitlines()
    assert len(seen) == 11
    (allowed,) = [line for line in seen if "ALLOWED" in line]
    assert "default/web:50000" in allowed
    assert "policy-verdict:L3-L4 EGRESS ALLOWED BY web-egress (CiliumNetworkPolicy)" in allowed
    assert sum("policy-verdict" in line and "DENIED" in line for line in seen) == 3
    assert any("dns-request proxy DROPPED (DNS Query evil.example.org. A)" in s for s in seen)
    assert any(f'DNS Answer "{API}" TTL: 60 (Proxy api.example.com. A)' in s for s in seen)


def test_jsonpb_is_what_we_serve(hubble: Path, kit: Kit) -> None:
    """Every field, the extension too, is the same through hubble as straight from the observer."""
    assert same(observe(hubble, kit), kit.responses())


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("--verdict", "DROPPED"), 1 + 2 + 2 + 2 + 1),
        (("--verdict", "FORWARDED"), 3),
        (("--ip", DENIED), 4),
        (("--to-ip", "198.51.100.0/24"), 4),
        (("--from-ip", "10.10.9.9"), 1),
        (("--fqdn", "api.example.com"), 4),
        (("--to-fqdn", "*.example.com"), 4),
        (("--to-fqdn", "*.example.org"), 0),
        (("--protocol", "tcp"), 6),
        (("--protocol", "icmp"), 2),
        (("--protocol", "dns"), 3),
        (("--port", "443"), 2),
        (("--to-port", "53"), 2),
        (("--type", "drop"), 4),
        (("--type", "policy-verdict"), 4),
        (("--type", "l7"), 3),
        (("--type", "drop:181"), 1),
        (("--drop-reason-desc", "POLICY_DENIED"), 4),
        (("--pod", "default/web"), 11),
        (("--from-pod", "other/web"), 0),
        (("--from-label", "app=web"), 10),
        (("--to-label", "reserved:world-ipv4"), 9),
        (("--to-identity", "16777217"), 3),
        (("--tcp-flags", "SYN"), 6),
        (("--traffic-direction", "egress"), 11),
        (("--ipv6",), 0),
        (("--not", "--verdict", "DROPPED"), 3),
        (("--verdict", "DROPPED", "--protocol", "tcp", "--not", "--port", "80"), 3),
        (("--node-name", "nowhere"), 0),
        (("--last", "2"), 2),
        (("--first", "3"), 3),
        (("--since", "1h"), 11),
        (("--since", "2000-01-01T00:00:00Z", "--until", "2000-01-02T00:00:00Z"), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_filters(hubble: Path, kit: Kit, arguments: tuple[str, ...], count: int) -> None:
    base = ["observe", "-o", "jsonpb"]
    if not {"--last", "--first", "--since"} & set(arguments):
        base += ["--last", "100"]
    lines = run(hubble, kit, *base, *arguments).splitlines()
    summaries = [json.loads(line)["flow"].get("Summary") for line in lines]
    assert len(lines) == count, summaries


def test_a_filter_that_we_do_not_have_is_refused(hubble: Path, kit: Kit) -> None:
    """Hubble's HTTP filters: leaving one out would show more than was asked for."""
    done = subprocess.run(
        [
            str(hubble),
            "observe",
            "--http-method",
            "GET",
            "--server",
            f"unix://{kit.paths.observer_socket}",
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode != 0
    assert "no filter for field" in done.stderr


def test_follow(hubble: Path) -> None:
    """Flows arrive while hubble follows; it ends by our signal."""
    with observer_kit() as kit:
        follower = subprocess.Popen(
            [
                str(hubble),
                "observe",
                "--follow",
                "-o",
                "jsonpb",
                "--server",
                f"unix://{kit.paths.observer_socket}",
            ],
            stdout=subprocess.PIPE,
        )
        try:
            assert follower.stdout is not None
            out = follower.stdout.fileno()
            os.set_blocking(out, False)
            seen = b""

            def one_more() -> bool:
                """Send until the follower, which subscribes when it likes, has shown one."""
                nonlocal seen
                kit.send(ip(EP4, DENIED, ICMP, icmp(8)))
                with contextlib.suppress(BlockingIOError):
                    seen += os.read(out, 1 << 20)
                return seen.count(b"\n") >= 4

            eventually(one_more, 10.0, "flows at the follower")
            first = from_line(seen.decode().splitlines()[0], observer_pb2.GetFlowsResponse())
            assert first.flow.IP.destination == DENIED
        finally:
            follower.terminate()
            follower.wait(10)
            if follower.stdout is not None:
                follower.stdout.close()


def test_input_file(hubble: Path, kit: Kit, tmp_path: Path) -> None:
    """Lines that we write are flows to hubble."""
    file = tmp_path / "flows.jsonl"
    file.write_text("".join(f"{to_line(r)}\n" for r in kit.responses()), encoding="utf-8")
    done = subprocess.run(
        [str(hubble), "observe", "--input-file", str(file), "--last", "100", "-o", "jsonpb"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    read = [from_line(s, observer_pb2.GetFlowsResponse()) for s in done.stdout.splitlines()]
    assert same(read, kit.responses())

"""A real cluster's exports, small and made by hand, explained with no root and no lab."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fqdnlab.cli import main

POLICY = """\
apiVersion: v1
kind: List
items:
- apiVersion: cilium.io/v2
  kind: CiliumNetworkPolicy
  metadata:
    name: shop-egress
    namespace: shop
    resourceVersion: "8731"
  spec:
    endpointSelector:
      matchLabels: {app: cart}
    egress:
    - toEndpoints:
      - matchLabels:
          k8s:io.kubernetes.pod.namespace: kube-system
          k8s-app: kube-dns
      toPorts:
      - ports: [{port: "53", protocol: ANY}]
        rules:
          dns: [{matchPattern: "*"}]
    - toFQDNs: [{matchName: api.example.com}]
      toPorts:
      - ports: [{port: "443", protocol: TCP}]
  status:
    conditions: [{type: Valid, status: "True"}]
"""


def endpoint(number: int, name: str, namespace: str, address: str, *labels: str) -> dict[str, Any]:
    return {
        "id": number,
        "status": {
            "identity": {
                "id": 5000 + number,
                "labels": [
                    *(f"k8s:{label}" for label in labels),
                    f"k8s:io.kubernetes.pod.namespace={namespace}",
                ],
            },
            "external-identifiers": {
                "k8s-namespace": namespace,
                "k8s-pod-name": name,
                "pod-name": f"{namespace}/{name}",
            },
            "networking": {"addressing": [{"ipv4": address}]},
        },
    }


def flow(verdict: str, address: str, **more: Any) -> dict[str, Any]:
    made = {
        "time": "2026-03-01T12:00:30.000000001Z",
        "uuid": "11111111-2222-3333-4444-555555555555",
        "verdict": verdict,
        "IP": {"source": "10.0.1.7", "destination": address, "ipVersion": "IPv4"},
        "l4": {"TCP": {"source_port": 41000, "destination_port": 443, "flags": {"SYN": True}}},
        "source": {
            "ID": 7,
            "identity": 5007,
            "namespace": "shop",
            "labels": ["k8s:app=cart", "k8s:io.kubernetes.pod.namespace=shop"],
            "pod_name": "cart-0",
        },
        "destination": {"identity": 2, "labels": ["reserved:world"]},
        "Type": "L3_L4",
        "node_name": "worker-1",
        "traffic_direction": "EGRESS",
        "event_type": {"type": 1, "sub_type": 133},
        **more,
    }
    return {"flow": made, "node_name": "worker-1", "time": made["time"]}


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """What ``kubectl`` and ``cilium-dbg`` on one node wrote."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "cnp.yaml").write_text(POLICY)
    pods = [
        endpoint(7, "cart-0", "shop", "10.0.1.7", "app=cart"),
        endpoint(9, "coredns-5d", "kube-system", "10.0.1.9", "k8s-app=kube-dns"),
        {"id": 1, "status": {"identity": {"id": 1, "labels": ["reserved:host"]}}},
    ]
    (tmp_path / "endpoints.json").write_text(json.dumps(pods))
    cache = [
        {
            "endpoint-id": 7,
            "fqdn": "api.example.com.",
            "ips": ["198.51.100.7"],
            "ttl": 60,
            "lookup-time": "2026-03-01T12:00:00.123456789Z",
            "expiration-time": "2026-03-01T12:01:00.123456789Z",
            "source": "lookup",
        }
    ]
    (tmp_path / "cache.json").write_text(json.dumps(cache))
    return tmp_path


def explained(
    exports: Path, capsys: pytest.CaptureFixture[str], *more: str, cache: bool = True
) -> list[dict[str, Any]]:
    arguments = ["explain", "--policies", str(exports / "policies")]
    arguments += ["--endpoints", str(exports / "endpoints.json"), "-o", "json"]
    arguments += ["--fqdn-cache", str(exports / "cache.json")] if cache else []
    assert main([*arguments, *more]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def write(exports: Path, *flows: dict[str, Any]) -> list[str]:
    path = exports / "flows.json"
    path.write_text("".join(json.dumps(one) + "\n" for one in flows))
    return ["--flow", str(path)]


def test_a_drop_lacks_a_rule(exports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drop = flow("DROPPED", "192.0.2.66", drop_reason_desc="POLICY_DENIED")
    (said,) = explained(exports, capsys, *write(exports, drop))
    assert (said["source"], said["verdict"]) == ("export", "DROPPED")
    assert said["reason"] == "POLICY_DENIED"
    assert said["remedy"]["action"] == "apply"
    assert "192.0.2.66/32" in said["remedy"]["policy"]
    assert "what the kernel's maps hold, and look-ups of other nodes" in said["unknown"]


def test_a_flow_that_passed_has_its_rule_with_its_line(
    exports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    passed = flow(
        "FORWARDED",
        "198.51.100.7",
        event_type={"type": 5},
        egress_allowed_by=[{"name": "shop-egress", "namespace": "shop"}],
    )
    (said,) = explained(exports, capsys, *write(exports, passed))
    assert said["rule"]["policy"] == "shop/shop-egress"
    assert said["rule"]["text"].startswith("egress[1] matchName api.example.com")
    assert (said["rule"]["file"], said["rule"]["line"]) == ("cnp.yaml", 22)
    assert "told to cart-0 at 12:00:00.123" in said["steps"][2]["detail"]


def test_two_flows_of_one_drop_are_one_and_look_ups_among_them_count(
    exports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = flow(
        "FORWARDED",
        "10.0.1.7",
        Type="L7",
        uuid="7",
        time="2026-03-01T12:00:10Z",
        IP={"source": "10.0.1.9", "destination": "10.0.1.7", "ipVersion": "IPv4"},
        l4={"UDP": {"source_port": 53, "destination_port": 40000}},
        event_type={"type": 129},
        is_reply=True,
        destination=flow("", "")["flow"]["source"],
        source={
            "identity": 5009,
            "labels": ["k8s:k8s-app=kube-dns", "k8s:io.kubernetes.pod.namespace=kube-system"],
            "pod_name": "coredns-5d",
            "namespace": "kube-system",
        },
        l7={
            "type": "RESPONSE",
            "dns": {"query": "new.example.com.", "ips": ["192.0.2.66"], "ttl": 30, "qtypes": ["A"]},
        },
    )
    drop = flow("DROPPED", "192.0.2.66", drop_reason_desc="POLICY_DENIED")
    verdict = flow(
        "DROPPED", "192.0.2.66", drop_reason_desc="POLICY_DENIED", event_type={"type": 5}
    )
    found = explained(exports, capsys, *write(exports, answer, verdict, drop))
    assert len(found) == 2
    said = found[1]
    assert "new.example.com. A at 12:00:10.000" in said["steps"][0]["detail"]
    assert "matchName: new.example.com" in said["remedy"]["policy"]


def test_a_forecast_from_exports(exports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (said,) = explained(exports, capsys, "cart-0", "198.51.100.7", "443")
    assert (said["verdict"], said["forecast"]) == ("FORWARDED", True)
    (said,) = explained(exports, capsys, "--protocol", "udp", "cart-0", "198.51.100.7", "443")
    assert said["verdict"] == "DROPPED"


def test_acns_takes_a_bare_star_for_unsupported(
    exports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (said,) = explained(exports, capsys, "--profile", "acns", "cart-0", "192.0.2.1", "22")
    assert said["verdict"] == "FORWARDED"
    assert any("accepted and not enforced" in s["detail"] for s in said["steps"])


def test_without_a_cache_the_mapping_is_unknown(
    exports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (said,) = explained(exports, capsys, "cart-0", "198.51.100.7", "443", cache=False)
    assert said["steps"][2]["state"] == "unknown"
    assert any("no fqdn cache was given" in what for what in said["unknown"])


def test_a_document_of_another_kind_is_named_and_left_out(
    exports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exports / "policies" / "other.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {}\n")
    (said,) = explained(exports, capsys, "cart-0", "198.51.100.7", "443")
    assert any(what.startswith("other.yaml:2: left out") for what in said["unknown"])


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("endpoints.json", "{", "no JSON"),
        ("endpoints.json", "{}", "a list of objects is expected"),
        ("cache.json", '[{"fqdn": "a."}]', "no entry of an fqdn cache"),
        ("flows.json", '{"flow": {"verdict": 77e}}', "line 1: no flow"),
        ("flows.json", "", "no flow in it"),
    ],
)
def test_bad_exports_are_named(
    exports: Path, capsys: pytest.CaptureFixture[str], file: str, content: str, what: str
) -> None:
    write(exports, flow("DROPPED", "192.0.2.66"))
    (exports / file).write_text(content)
    arguments = ["explain", "--policies", str(exports / "policies")]
    arguments += ["--endpoints", str(exports / "endpoints.json")]
    arguments += [
        "--fqdn-cache",
        str(exports / "cache.json"),
        "--flow",
        str(exports / "flows.json"),
    ]
    assert main(arguments) == 2
    assert what in capsys.readouterr().err


def test_exports_are_explained_without_the_parts_of_linux(exports: Path) -> None:
    arguments = ["--policies", str(exports / "policies")]
    arguments += ["--endpoints", str(exports / "endpoints.json"), "cart-0", "192.0.2.1", "1"]
    code = (
        "import sys; from fqdnlab.cli.explain import explain; "
        f"explain.main({arguments!r}, standalone_mode=False); "
        "print([m for m in sys.modules if 'libbpf' in m or 'pyroute2' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr

"""Facts from a real cluster's exports: policies, ``fqdn cache list``, ``endpoint list``, flows.

Pure: texts in, facts out.  What one node exports is what one node knows; the rest stands in
`Facts.missing` and `Explanation.unknown`.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from fqdnlab.agent.cluster import RESOLVER, RESOLVER_ADDRESSES
from fqdnlab.errors import UsageError
from fqdnlab.explain.facts import Facts, Known, Workload
from fqdnlab.model.flows import Table
from fqdnlab.model.hubble_json import HubbleJsonError, from_line
from fqdnlab.model.names import normalise
from fqdnlab.model.policy import Policy
from fqdnlab.model.policy_parser import check_documents
from fqdnlab.model.settings import LabSettings
from fqdnlab.model.yaml_source import read_documents
from fqdnlab.model.yaml_text import plain, write_documents
from fqdnlab.pb import observer_pb2

__all__ = ["facts_of_exports", "read_flow_lines", "with_flows"]

_KUBE_DNS = ("k8s:k8s-app", "kube-dns")


def facts_of_exports(
    policies: Iterable[tuple[str, str]],
    endpoints: str,
    cache: str | None,
    profile: str = "cilium",
) -> Facts:
    """The facts that three exports hold.

    Parameters
    ----------
    policies : iterable of (file, text)
        YAML or JSON of policies, lists as kubectl writes them among them.
    endpoints : str
        Of ``cilium-dbg endpoint list -o json``.
    cache : str or None
        Of ``cilium-dbg fqdn cache list -o json``; None: not exported.
    profile : {"cilium", "acns"}

    Raises
    ------
    UsageError
        If the endpoints or the cache are no such export.
    """
    missing: list[str] = []
    found = [p for file, text in policies for p in _policies(file, text, missing)]
    workloads = tuple(_workload(item) for item in _items(endpoints, "endpoint list"))
    names = {w.id: w.name for w in workloads}
    mappings = None
    if cache is None:
        missing.append("which names have which addresses: no fqdn cache was given")
    else:
        items = _items(cache, "fqdn cache list")
        mappings = tuple(known for item in items for known in _known(item, names))
    server = next((w.addresses[0] for w in workloads if _KUBE_DNS in w.labels and w.addresses), "")
    peers: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    if not server:
        server = RESOLVER_ADDRESSES[0]
        peers = ((server, RESOLVER.labels),)
        missing.append("which DNS server is asked: kube-dns of kube-system is taken for it")
    return Facts(
        source="export",
        time=0.0,
        settings=LabSettings.from_dict({"profile": profile}),
        endpoints=workloads,
        policies=tuple(found),
        mappings=mappings,
        server=server,
        peers=peers,
        missing=tuple(missing),
    )


def read_flow_lines(text: str) -> list[Any]:
    """Flows of ``hubble observe -o jsonpb``, a line each.

    Raises
    ------
    UsageError
        For a line that is none; it says which.
    """
    flows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            response = from_line(line, observer_pb2.GetFlowsResponse())
        except HubbleJsonError as error:
            hint = "expected hubble observe -o jsonpb"
            raise UsageError(f"line {number}: no flow: {error}", hint) from None
        if response.HasField("flow"):
            flows.append(response.flow)
    return flows


def with_flows(facts: Facts, flows: Sequence[Any]) -> tuple[Facts, list[dict[str, Any]]]:
    """`facts` with what the flows tell of ends and look-ups, and a row for each packet and record.

    Ends of other nodes are in no endpoint list; the flows say what they were.
    """
    table = Table()
    table.add(flows)
    rows, queries = table.rows(), table.queries()
    peers = dict(facts.peers)
    known = {(w.namespace, w.name) for w in facts.endpoints}
    workloads = list(facts.endpoints)
    for flow in flows:
        for end, address in (
            (flow.source, flow.IP.source),
            (flow.destination, flow.IP.destination),
        ):
            labels = tuple(sorted(_label(one) for one in end.labels))
            if not address or not any(key.startswith("k8s:") for key, _ in labels):
                continue
            peers[str(ipaddress.ip_address(address))] = labels
            if end.pod_name and (end.namespace, end.pod_name) not in known:
                known.add((end.namespace, end.pod_name))
                one = Workload(end.ID, end.pod_name, end.namespace, labels, (address,))
                workloads.append(one)
    time = max((row["time"].timestamp() for row in rows), default=0.0)
    mappings = facts.mappings
    if mappings is not None:
        mappings = tuple(
            replace(k, state="expired") if k.expires and k.expires <= time else k for k in mappings
        )
    asked = next((row["server"] for row in reversed(queries) if row["server"] in peers), "")
    found = replace(
        facts,
        time=time,
        endpoints=tuple(workloads),
        peers=tuple(peers.items()),
        mappings=mappings,
        queries=tuple(queries) or None,
        server=asked or facts.server,
    )
    return found, rows


# ---------------------------------------------------------------- each export


def _policies(file: str, text: str, missing: list[str]) -> list[Policy]:
    found = []
    for part in _documents(text):
        for document in check_documents(part, file):
            if document.policy is not None:
                policy = document.policy  # an item of a list stands below its whole list's lines
                found.append(replace(policy, yaml=policy.yaml.lstrip("\n")))
                continue
            line, what = document.faults[0][1:] if document.faults else (document.line, "empty")
            missing.append(f"{file}:{line}: left out, as it is no policy that is known: {what}")
    return found


def _documents(text: str) -> list[str]:
    """The text itself, or one for each item of a list, at its line."""
    parts: list[str] = []
    for document in read_documents(text):
        items = document.root.get("items") if document.root is not None else None
        if items is None:
            return [text]
        for item in items.items():
            cut = _cut(text, item.line)
            if all(one.accepted for one in check_documents(cut)):
                parts.append(cut)
                continue
            body = plain(item)  # what the cluster adds is no part of a policy
            if isinstance(body, dict):
                body.pop("status", None)
            parts.append("\n" * (item.line - 1) + write_documents(body))
    return parts


def _cut(text: str, first: int) -> str:
    """The item of a list that begins in line `first`, in its place."""
    begin, *rest = text.splitlines()[first - 1 :]
    depth = len(begin) - len(begin.lstrip())
    kept = [begin.replace("- ", "  ", 1)]
    for line in rest:
        if line.strip() and len(line) - len(line.lstrip()) <= depth:
            break
        kept.append(line)
    return "\n" * (first - 1) + "\n".join(kept) + "\n"


def _items(text: str, what: str) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(f"no JSON: {error}", f"expected cilium-dbg {what} -o json") from None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise UsageError("a list of objects is expected", f"of cilium-dbg {what} -o json")
    return found


def _label(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _workload(item: Mapping[str, Any]) -> Workload:
    status = item.get("status") or {}
    identity = status.get("identity") or {}
    external = status.get("external-identifiers") or {}
    labels = tuple(sorted(_label(one) for one in identity.get("labels") or ()))
    name = external.get("k8s-pod-name") or str(external.get("pod-name") or "").rpartition("/")[2]
    namespace = external.get("k8s-namespace") or dict(labels).get(
        "k8s:io.kubernetes.pod.namespace", ""
    )
    networking = status.get("networking") or {}
    addresses = [
        str(ipaddress.ip_address(one[family]))
        for one in networking.get("addressing") or ()
        for family in ("ipv4", "ipv6")
        if one.get(family)
    ]
    number = int(item.get("id") or 0)
    return Workload(number, name or f"endpoint-{number}", namespace, labels, tuple(addresses))


def _known(item: Mapping[str, Any], names: Mapping[int, str]) -> Iterable[Known]:
    try:
        for address in item["ips"]:
            yield Known(
                endpoint=names.get(int(item.get("endpoint-id") or 0), ""),
                name=normalise(str(item["fqdn"])),
                address=str(ipaddress.ip_address(address)),
                ttl=int(item.get("ttl") or 0),
                learned=_time(item.get("lookup-time")),
                expires=_time(item.get("expiration-time")),
                source=str(item.get("source") or "lookup"),
            )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"no entry of an fqdn cache: {error!r}", "expected cilium-dbg fqdn cache list -o json"
        ) from None


def _time(text: Any) -> float | None:
    """Unix seconds; None for none, or for Go's time zero."""
    if not isinstance(text, str) or text.startswith("0001-"):
        return None
    return datetime.fromisoformat(text).timestamp()

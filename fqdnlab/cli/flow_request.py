"""The filters of ``fqdnlab flows``, as a request to the observer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, TypeVar

import click
from google.protobuf.timestamp_pb2 import Timestamp

from fqdnlab.pb import flow_pb2, observer_pb2

__all__ = ["flow_filters", "flow_request"]

F = TypeVar("F", bound=Callable[..., Any])

_VERDICTS = ("FORWARDED", "DROPPED", "REDIRECTED", "AUDIT", "ERROR")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "ms": 0.001}


class _When(click.ParamType[Any]):
    """A time ago (30s, 5m, 1h) or a moment (RFC 3339)."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, datetime):
            return value
        ago = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value)
        if ago:
            return datetime.now(UTC) - timedelta(seconds=float(ago[1]) * _UNITS[ago[2]])
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither a time ago (30s, 5m, 1h) nor a moment", param, ctx)
        return moment if moment.tzinfo else moment.astimezone()


_OPTIONS = (
    click.option("-n", "--last", default=0, help="Only the last N."),
    click.option("-e", "--endpoint", multiple=True, metavar="[NAMESPACE/]NAME"),
    click.option(
        "-v", "--verdict", multiple=True, type=click.Choice(_VERDICTS, case_sensitive=False)
    ),
    click.option("--name", multiple=True, help="Asked for, or that the address was resolved from."),
    click.option("--address", multiple=True, help="Destination: an address or a network."),
    click.option("-p", "--port", multiple=True, type=click.IntRange(0, 65535), help="Destination."),
    click.option("--protocol", multiple=True, help="tcp, udp, sctp, icmp, dns …"),
    click.option("--since", type=_When(), help="30s, 5m, 1h ago, or a moment (RFC 3339)."),
    click.option("--until", type=_When(), help="Likewise."),
)


def flow_filters(function: F) -> F:
    """The options that `flow_request` takes."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def flow_request(follow: bool, wanted: Mapping[str, Any]) -> observer_pb2.GetFlowsRequest:
    """The request for what was `wanted` (option → value)."""
    request = observer_pb2.GetFlowsRequest(follow=follow, number=wanted["last"])
    for edge in ("since", "until"):
        if wanted[edge] is not None:
            moment = Timestamp()
            moment.FromDatetime(wanted[edge].astimezone(UTC))
            getattr(request, edge).CopyFrom(moment)
    request.whitelist.extend(_filters(wanted))
    return request


def _filters(wanted: Mapping[str, Any]) -> list[flow_pb2.FlowFilter]:
    """Alternatives, each of which asks for everything: an endpoint asks or is answered to, a name
    was asked for or is the destination's."""
    always = {
        "verdict": [v.upper() for v in wanted["verdict"]],
        "destination_ip": list(wanted["address"]),
        "destination_port": [str(p) for p in wanted["port"]],
        "protocol": list(wanted["protocol"]),
    }
    pods = list(wanted["endpoint"])
    names = [n.rstrip(".").lower() for n in wanted["name"]]
    ends = [{"source_pod": pods}, {"destination_pod": pods}] if pods else [{}]
    asked = [f"^{re.escape(n)}\\.?$" for n in names]
    topics = [{"destination_fqdn": names}, {"dns_query": asked}] if names else [{}]
    if not any(always.values()) and not pods and not names:
        return []
    return [flow_pb2.FlowFilter(**always, **end, **topic) for end, topic in product(ends, topics)]

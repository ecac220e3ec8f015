"""Slots into flows: the one place that knows which decoder reads which slot."""

from __future__ import annotations

import struct

from fqdnlab.observer.context import Context
from fqdnlab.observer.dns_flow import dns_flow
from fqdnlab.observer.history import Kind, Slot
from fqdnlab.observer.packet_flow import packet_flow
from fqdnlab.pb import flow_pb2

__all__ = ["Decoder"]


class Decoder:
    """Decodes slots in a context.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        self.context = context

    def flow(self, number: int, slot: Slot) -> flow_pb2.Flow:
        """The flow of a slot that is not `Kind.LOST`; of wrong octets a flow that says so."""
        self.context.rules.refresh()  # one stat: a new rule is named at once
        try:
            if slot.kind in (Kind.DNS_REQUEST, Kind.DNS_RESPONSE):
                return dns_flow(slot, number, self.context)
            return packet_flow(slot.raw, slot.kind, number, self.context)
        except struct.error as error:
            flow = flow_pb2.Flow(uuid=self.context.uuid(number), node_name=self.context.node_name)
            flow.time.CopyFrom(self.context.clock.stamp(slot.time))
            flow.Summary = f"unreadable event: {error}"
            return flow

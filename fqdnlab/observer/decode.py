"""Slots into flows: the one place that knows which decoder reads which slot."""

from __future__ import annotations

import struct

from fqdnlab.observer.context import Context
from fqdnlab.observer.dns_flow import dns_flow
from fqdnlab.observer.history import Kind, Slot
from fqdnlab.observer.packet_flow import packet_flow
from fqdnlab.pb import flow_pb2

__all__ = ["Decoder"]

_LOOK = 5_000_000  # ns between two looks at rules.json


class Decoder:
    """Decodes slots in a context.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._looked = 0

    def fill(self, flow: flow_pb2.Flow, number: int, slot: Slot) -> None:
        """Fill `flow` from a slot that is not `Kind.LOST`; of wrong octets it says so."""
        self._look_at_rules()
        try:
            if slot.kind in (Kind.DNS_REQUEST, Kind.DNS_RESPONSE):
                dns_flow(flow, slot, number, self.context)
            else:
                packet_flow(flow, slot.raw, slot.kind, number, self.context)
        except struct.error as error:
            flow.Clear()
            flow.uuid, flow.node_name = self.context.uuid(number), self.context.node_name
            self.context.clock.put(slot.time, flow.time)
            flow.Summary = f"unreadable event: {error}"

    def _look_at_rules(self) -> None:
        """A new rule is named at once, or nearly so."""
        now = self.context.clock.boottime()
        if now - self._looked > _LOOK:
            self._looked = now
            self.context.rules.refresh()

"""Typed maps over the pins: what the agent writes and everybody may read."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from fqdnlab.datapath import abi
from fqdnlab.datapath.batch import entries
from fqdnlab.datapath.libbpf import MapFd, check_map, create_lru_hash, obj_get

__all__ = ["Maps"]

_U32 = struct.Struct("<I")


class Maps:
    """Every map of a lab, by its pins.

    Parameters
    ----------
    pins : Path
        The lab's bpffs.
    conntrack_entries : int
        Size of the table that each endpoint gets.
    """

    def __init__(self, pins: Path, conntrack_entries: int = 4096) -> None:
        self._pins = pins
        self._ct_entries = conntrack_entries
        cpus = os.sysconf("SC_NPROCESSORS_CONF")
        self.endpoints = self._open("endpoints")
        self.ipcache = self._open("ipcache_host")
        self.cidrs = self._open("ipcache_cidr")
        self.policy = self._open("policy")
        self.conntrack = self._open("ct")
        self.config = self._open("node_config")
        self.rule_counters = self._open("rule_counters", cpus)
        self.drop_counters = self._open("drop_counters", cpus)
        self.lost = self._open("lost", cpus)
        self._ct_tables: dict[int, MapFd] = {}

    def _open(self, name: str, cpus: int = 1) -> MapFd:
        fd = obj_get(self._pins / name)
        _, key, value, _ = check_map(fd)
        return MapFd(fd, key, (value + 7) // 8 * 8 * cpus if cpus > 1 else value)

    # ------------------------------------------------------------ endpoints and configuration

    def put_endpoint(
        self,
        ifindex: int,
        ep_id: int,
        policy_id: int,
        identity: int,
        flags: int,
        ip4: str,
        ip6: str,
    ) -> None:
        value = abi.ENDPOINT.pack(
            ep_id,
            policy_id,
            identity,
            flags,
            abi.ip16(ip4) if ip4 else bytes(16),
            abi.ip16(ip6) if ip6 else bytes(16),
        )
        self.endpoints.update(_U32.pack(ifindex), value)

    def delete_endpoint(self, ifindex: int, ep_id: int) -> None:
        self.endpoints.delete(_U32.pack(ifindex))
        table = self._ct_tables.pop(ep_id, None)
        if table is not None:
            table.close()
        self.conntrack.delete(_U32.pack(ep_id))

    def put_config(
        self, epoch: int, uplink: int, trace_udp_redirects: bool, tproxy: bool = False
    ) -> None:
        value = abi.CONFIG.pack(epoch, uplink, int(trace_udp_redirects), int(tproxy))
        self.config.update(_U32.pack(0), value)

    def epoch(self) -> int:
        value = self.config.lookup(_U32.pack(0))
        return int(abi.CONFIG.unpack(value)[0]) if value else 0

    # ------------------------------------------------------------ conntrack

    def make_conntrack(self, ep_id: int) -> None:
        """Give the endpoint its table, unless it has one."""
        key = _U32.pack(ep_id)
        with_table = self.conntrack.inner(key, abi.CT_KEY.size, abi.CT_VALUE.size)
        if with_table is not None:
            self._ct_tables[ep_id] = with_table
            return
        table = create_lru_hash(f"ct_{ep_id}", abi.CT_KEY.size, abi.CT_VALUE.size, self._ct_entries)
        self.conntrack.update(key, _U32.pack(table.fd))
        self._ct_tables[ep_id] = table

    def flows(self, ep_id: int) -> Iterator[abi.CtEntry]:
        """Conntrack entries of an endpoint, expired ones too."""
        table = self._ct_tables.get(ep_id)
        if table is None:
            table = self.conntrack.inner(_U32.pack(ep_id), abi.CT_KEY.size, abi.CT_VALUE.size)
            if table is None:
                return
            self._ct_tables[ep_id] = table
        for key, value in entries(table):
            remote, local_port, remote_port, proto = abi.CT_KEY.unpack(key)
            expires, _, rule, identity, flags, direction, last, created = abi.CT_VALUE.unpack(value)
            yield abi.CtEntry(
                remote,
                int.from_bytes(local_port, "big"),
                int.from_bytes(remote_port, "big"),
                proto,
                direction,
                created,
                last,
                expires,
                rule,
                identity,
                flags,
            )

    # ------------------------------------------------------------ ipcache

    @staticmethod
    def ipcache_entry(
        address: bytes, identity: int, est_identity: int, flags: int = 0
    ) -> tuple[bytes, bytes]:
        return address, abi.IPCACHE_VALUE.pack(identity, est_identity, flags, 0)

    def ipcache_items(self) -> Iterator[tuple[bytes, int, int, int]]:
        """(16 octets, identity, identity for established flows, flags) of each full address."""
        for key, value in entries(self.ipcache):
            identity, est, flags, _ = abi.IPCACHE_VALUE.unpack(value)
            yield key, identity, est, flags

    def put_cidr(self, address: bytes, prefix: int, identity: int, flags: int = 0) -> None:
        self.cidrs.update(
            abi.CIDR_KEY.pack(prefix, address), abi.IPCACHE_VALUE.pack(identity, identity, flags, 0)
        )

    def delete_cidr(self, address: bytes, prefix: int) -> None:
        self.cidrs.delete(abi.CIDR_KEY.pack(prefix, address))

    def cidr_items(self) -> Iterator[tuple[bytes, int, int, int]]:
        for key, value in self.cidrs.items():
            prefix, address = abi.CIDR_KEY.unpack(key)
            identity, _, flags, _ = abi.IPCACHE_VALUE.unpack(value)
            yield address, prefix, identity, flags

    # ------------------------------------------------------------ policy

    @staticmethod
    def policy_key(policy_id: int, identity: int, proto: int, port: int, bits: int) -> bytes:
        return abi.POLICY_KEY.pack(
            abi.POLICY_EXACT_BITS + bits,
            policy_id.to_bytes(4, "big"),
            identity.to_bytes(4, "big"),
            proto,
            port.to_bytes(2, "big"),
        )

    @staticmethod
    def policy_value(rule: int, proxy_port: int, verdict: int, bits: int) -> bytes:
        return abi.POLICY_VALUE.pack(rule, proxy_port, verdict, bits)

    def policy_items(self) -> Iterator[tuple[bytes, bytes]]:
        return self.policy.items()

    # ------------------------------------------------------------ counters

    def drops(self) -> dict[int, tuple[int, int]]:
        """reason -> (packets, octets), over all CPUs, where there are any."""
        return self._counters(self.drop_counters, range(256))

    def rules(self, indices: Iterable[int]) -> dict[int, tuple[int, int]]:
        return self._counters(self.rule_counters, indices)

    @staticmethod
    def _counters(source: MapFd, indices: Iterable[int]) -> dict[int, tuple[int, int]]:
        found: dict[int, tuple[int, int]] = {}
        for index in indices:
            value = source.lookup(_U32.pack(index))
            if not value:
                continue
            parts = list(abi.COUNTER.iter_unpack(value))
            packets, octets = sum(p for p, _ in parts), sum(o for _, o in parts)
            if packets:
                found[index] = (packets, octets)
        return found

    def lost_events(self) -> int:
        value = self.lost.lookup(_U32.pack(0)) or b""
        return sum(n for (n,) in struct.iter_unpack("<Q", value))

    def close(self) -> None:
        for one in (
            self.endpoints,
            self.ipcache,
            self.cidrs,
            self.policy,
            self.conntrack,
            self.config,
            self.rule_counters,
            self.drop_counters,
            self.lost,
            *self._ct_tables.values(),
        ):
            one.close()
        self._ct_tables.clear()

    def __enter__(self) -> Maps:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

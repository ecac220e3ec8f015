"""Maps read in batches hold what they hold entry by entry."""

from __future__ import annotations

import pytest

from fqdnlab.datapath import abi
from fqdnlab.datapath.batch import entries
from fqdnlab.datapath.libbpf import create_lru_hash
from fqdnlab.datapath.maps import Maps

from .conftest import Bench


@pytest.mark.parametrize("count", [0, 1, 2, 1023, 1024, 1025, 5000])
def test_a_hash_map(bench: Bench, count: int) -> None:
    wanted = dict(
        Maps.ipcache_entry(abi.ip16_packed((0x0B000000 + n).to_bytes(4, "big")), n + 1, n + 1)
        for n in range(count)
    )
    bench.maps.ipcache.update_many([*wanted.items()])
    found = [*entries(bench.maps.ipcache)]
    assert len(found) == count, "each once"
    assert dict(found) == wanted


@pytest.mark.parametrize("count", [0, 1, 3000])
def test_a_trie(bench: Bench, count: int) -> None:
    for n in range(count):
        bench.allow(1 << 24 | n, 6, 443, 24)
    found = [*entries(bench.maps.policy)]
    assert len(found) == count
    assert dict(found) == dict(bench.maps.policy.items())


def test_a_conntrack_table() -> None:
    with create_lru_hash("t", 4, 8, 4096) as table:
        for n in range(3000):
            table.update(n.to_bytes(4, "big"), n.to_bytes(8, "big"))
        assert dict(entries(table)) == dict(table.items())

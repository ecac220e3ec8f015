"""Knot DNS in the world's place: a real server that is faster than what is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.load import answers
from bench.programs import Program
from fqdnlab.lab import Lab
from fqdnlab.lab.process import Process
from fqdnlab.paths import netns
from fqdnlab.testing import eventually

__all__ = ["knot"]

_START = 30.0


def _zone(records: Mapping[str, str], ttl: int) -> str:
    lines = [f"@ {ttl} SOA ns hostmaster 1 3600 600 86400 {ttl}", f"@ {ttl} NS ns"]
    lines += [f"{label} {ttl} A {address}" for label, address in records.items()]
    return "\n".join(lines) + "\n"


@contextmanager
def knot(
    lab: Lab,
    folder: Path,
    listen: Sequence[str],
    zones: Mapping[str, Mapping[str, str]],
    ttl: int = 3600,
) -> Iterator[Program]:
    """Knot serves `zones` at the addresses `listen`, port 53, in the lab's world.

    The lab's own DNS server is ended for it (and not started again).

    Parameters
    ----------
    zones : mapping
        Domain → label → IPv4 address.
    """
    Process(lab.nodes["node"].peer, "world").kill()
    config = [
        f"server:\n    rundir: {folder}\n    listen: [{', '.join(f'{a}@53' for a in listen)}]"
    ]
    config += [f"database:\n    storage: {folder}/db", "zone:"]
    for domain, records in zones.items():
        file = folder / f"{domain}.zone"
        file.write_text(_zone(records, ttl))
        config.append(f"  - domain: {domain}\n    file: {file}\n    zonefile-load: whole")
    path = folder / "knot.conf"
    path.write_text("\n".join(config) + "\n")
    world = netns(lab.name, "world")
    program = Program(["knotd", "-c", str(path)], folder / "knot.log", world)
    try:
        for domain, records in zones.items():
            label, address = next(iter(records.items()))

            def served(name: str = f"{label}.{domain}", address: str = address) -> bool:
                program.check()
                return address in answers(world, listen[0], name)

            eventually(served, _START, f"Knot's answer for {domain}")
        yield program
    finally:
        program.stop()

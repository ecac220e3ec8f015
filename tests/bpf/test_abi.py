"""One header owns the kernel ABI: its Python mirror agrees with the object's BTF."""

from __future__ import annotations

import json
import re
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fqdnlab.datapath import abi
from fqdnlab.datapath.loader import OBJECT
from fqdnlab.model import mapstate, reasons

HEADER = Path(__file__).parents[2] / "bpf" / "abi.h"


@pytest.fixture(scope="module")
def types() -> dict[int, dict[str, Any]]:
    told = subprocess.run(
        ["bpftool", "-j", "btf", "dump", "file", str(OBJECT)],
        capture_output=True,
        text=True,
        check=True,
    )
    return {t["id"]: t for t in json.loads(told.stdout)["types"]}


def named(types: dict[int, dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [t for t in types.values() if t["kind"] == kind and t["name"] == name]
    return found


def width(types: dict[int, dict[str, Any]], number: int) -> int:
    """Octets of a type, through typedefs and arrays."""
    one = types[number]
    if one["kind"] == "ARRAY":
        return int(one["nr_elems"]) * width(types, one["type_id"])
    if one["kind"] == "TYPEDEF":
        return width(types, one["type_id"])
    return int(one["size"])


def layout(form: struct.Struct) -> list[tuple[int, int]]:
    """(offset, octets) of each field that is packed; padding says nothing."""
    fields: list[tuple[int, int]] = []
    at = 0
    for count, code in re.findall(r"(\d*)([a-zA-Z])", form.format):
        size = struct.calcsize(f"<{count or 1}s") if code in "sx" else struct.calcsize(f"<{code}")
        times = 1 if code in "sx" else int(count or 1)
        for _ in range(times):
            if code != "x":
                fields.append((at, size))
            at += size
    return fields


@pytest.mark.parametrize("name", sorted(abi.STRUCTS))
def test_structs(types: dict[int, dict[str, Any]], name: str) -> None:
    form, found = abi.STRUCTS[name], named(types, "STRUCT", name)
    assert form.size == found["size"]
    members = [
        (m["bits_offset"] // 8, width(types, m["type_id"]))
        for m in found["members"]
        if not m["name"].startswith("pad")
    ]
    mine = [f for f in layout(form) if f in members]
    assert mine == members, f"{name}: BTF has {members}, Python {layout(form)}"


def test_every_struct_that_crosses_is_mirrored() -> None:
    declared = set(re.findall(r"^struct (\w+) \{", HEADER.read_text(), re.M))
    assert declared - {"ip16"} == set(abi.STRUCTS)


def test_the_events_fields_are_in_order(types: dict[int, dict[str, Any]]) -> None:
    members = [m["name"] for m in named(types, "STRUCT", "flow_event")["members"]]
    assert tuple(m for m in members if m != "pad") == abi.FlowEvent._fields


def constants() -> dict[str, int]:
    """Names in the header, from enums and from #define."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)
    pairs = re.findall(r"\b([A-Z][A-Z0-9_]+) = (\w+)", text)
    pairs += re.findall(r"^#define (\w+) (0x[0-9a-f]+|\d+)u?\s*$", text, re.M)
    return {name: int(value, 0) for name, value in pairs}


def test_enums_are_in_the_object(types: dict[int, dict[str, Any]]) -> None:
    """What the header says is what the programs were compiled with."""
    said = constants()
    values = {
        v["name"]: v["val"]
        for t in types.values()
        if t["kind"] == "ENUM"
        for v in t["values"]
        if v["name"] in said
    }
    assert values, "no enum of the header is in BTF"
    assert values == {n: said[n] for n in values}


@pytest.mark.parametrize(
    "name",
    [
        "VERDICT_ALLOW",
        "VERDICT_REDIRECT",
        "VERDICT_DENY",
        "DIR_EGRESS",
        "DIR_INGRESS",
        "EVENT_NEW_FLOW",
        "EVENT_DROP",
        "ENDPOINT_ENFORCED",
        "IPCACHE_INTERNAL",
        "MARK_TO_PROXY",
        "MARK_FROM_PROXY",
        "POLICY_EXACT_BITS",
    ],
)
def test_constants(name: str) -> None:
    assert getattr(abi, name) == constants()[name]


def test_verdicts_and_identities_of_the_model_are_the_kernels() -> None:
    said = constants()
    assert (
        said["VERDICT_ALLOW"],
        said["VERDICT_REDIRECT"],
        said["VERDICT_DENY"],
    ) == (mapstate.ALLOW, mapstate.REDIRECT, mapstate.DENY)
    assert said["IDENTITY_ANY"] == mapstate.ANY_IDENTITY
    assert said["IDENTITY_HOST"] == mapstate.HOST
    assert said["IDENTITY_WORLD_IPV4"] == mapstate.WORLD_IPV4
    assert said["IDENTITY_WORLD_IPV6"] == mapstate.WORLD_IPV6


def test_every_drop_reason_has_its_words() -> None:
    numbers = {v for n, v in constants().items() if n.startswith("DROP_") and v}
    assert numbers <= set(reasons.REASONS)

"""03: the way of a query and of a packet."""

from __future__ import annotations

from typing import Any

from fqdnlab.lessons.check import exercise
from fqdnlab.lessons.expect import number

_ADDRESS, _IMG, _IMG_AT = "198.51.100.7", "img.cdn.example.com", "203.0.113.19"


@exercise("03.1")
def _(answer: Any, lab: Any) -> str:
    table = lab.maps("ipcache_host")
    (value,) = table.loc[table["key"] == _ADDRESS, "value"]
    right = int(value.split()[1])
    return number(answer, right, f"look at the row of {_ADDRESS} in lab.maps('ipcache_host')")


@exercise("03.2")
def _(answer: Any, lab: Any) -> str:
    added = int((lab.maps("ipcache_host")["key"] == _IMG_AT).sum())
    if not added:
        return f"the kernel has no {_IMG_AT} yet: tell the world, then look {_IMG} up from web"
    return number(answer, added, "count the entries before and after: one answer, one address")

"""Parts of a policy as one writes them into a field, and back.  Pure.

``…_text`` functions give None where a part holds more than a field can show; ``…_from`` functions
keep the items that were there before and say the same, to the letter.  No field can be emptied into
something wider: where a part that is left out would open more, one writes `ALL`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from fqdnlab.errors import UsageError

__all__ = [
    "ALL",
    "MADE",
    "SHOWN",
    "icmps_from",
    "icmps_text",
    "labels_from",
    "labels_text",
    "list_from",
    "list_text",
    "names_from",
    "names_text",
    "networks_from",
    "networks_text",
    "peers_from",
    "peers_text",
    "ports_from",
    "ports_text",
]

#: What a field shows, and takes, for every endpoint or every port.
ALL = "all"
_PORT = re.compile(  # of numbers alone there are ranges: `web-80` is a name
    r"(?P<port>\d+(?=-\d+(?:/|$))|[A-Za-z0-9][-A-Za-z0-9]*)(?:-(?P<end>\d+))?(?:/(?P<protocol>\w+))?"
)


def _split(text: str, marks: str = r",\s") -> list[str]:
    return [part.strip() for part in re.split(f"[{marks}]+", text) if part.strip()]


def _kept(
    texts: Sequence[str], old: Any, shown: Callable[[Any], str | None], made: Callable[[str], Any]
) -> list[Any]:
    """An item for each text: the one that was there, if it says that."""
    known: dict[str, list[Any]] = {}
    for item in old if isinstance(old, list) else ():
        known.setdefault(shown(item) or "", []).append(item)
    return [known[text].pop(0) if known.get(text) else made(text) for text in texts]


def _joined(items: Any, shown: Callable[[Any], str | None], mark: str = ", ") -> str | None:
    if not isinstance(items, list) or not items:
        return None
    texts = [shown(item) for item in items]
    return None if None in texts else mark.join(t for t in texts if t is not None)


# ---------------------------------------------------------------- names


def _name(item: Any) -> str | None:
    if not isinstance(item, dict) or len(item) != 1:
        return None
    return _word(item.get("matchName", item.get("matchPattern")))


def names_text(items: Any) -> str | None:
    """``api.example.com``, ``*.cdn.example.com`` of toFQDNs or rules.dns, each on its line."""
    return _joined(items, _name, "\n")


def names_from(text: str, old: Any) -> list[Any]:
    """Items of toFQDNs or rules.dns; one with a star is a pattern.  Raises UsageError for none."""
    texts = _split(text)
    if not texts:
        raise UsageError("no name is left", "the YAML keeps what it has; Remove takes the rule out")
    return _kept(texts, old, _name, lambda t: {"matchPattern" if "*" in t else "matchName": t})


# ---------------------------------------------------------------- plain lists


def _word(item: Any) -> str | None:
    return item if isinstance(item, str) and re.fullmatch(r"[^,\s]+", item) else None


def list_text(items: Any) -> str | None:
    """``10.0.0.0/8, 192.0.2.1/32`` of toCIDR; ``world, cluster`` of toEntities."""
    return _joined(items, _word)


def list_from(text: str, old: Any) -> list[Any]:
    """Items of toCIDR or toEntities.  Raises UsageError for none."""
    texts = _split(text)
    if not texts:
        raise UsageError("none is left", "the YAML keeps what it has; Remove takes the rule out")
    return _kept(texts, old, _word, str)


# ---------------------------------------------------------------- networks with exceptions


def _network(item: Any) -> str | None:
    if not isinstance(item, dict) or set(item) - {"cidr", "except"}:
        return None
    left_out = item.get("except", [])
    if not isinstance(left_out, list):
        return None
    words = [_word(one) for one in (item.get("cidr"), *left_out)]
    if any(word is None or word == "except" or ";" in word for word in words):
        return None
    cidr, *others = (word for word in words if word is not None)
    return f"{cidr} except {', '.join(others)}" if others else cidr


def networks_text(items: Any) -> str | None:
    """``10.0.0.0/8 except 10.1.0.0/16, 10.2.0.0/16`` of toCIDRSet, each on its line."""
    return _joined(items, _network, "\n")


def networks_from(text: str, old: Any) -> list[Any]:
    """Items of toCIDRSet.  Raises UsageError for none, and for what is no network with others."""
    made = [_made_network(line) for line in _split(text, r"\n;")]
    if not made:
        raise UsageError("none is left", "the YAML keeps what it has; Remove takes the rule out")
    by_text = {_network(one) or "": one for one in made}
    return _kept([_network(one) or "" for one in made], old, _network, by_text.__getitem__)


def _made_network(line: str) -> dict[str, Any]:
    cidr, *rest = _split(line)
    if not rest:
        return {"cidr": cidr}
    if rest[0] != "except" or not rest[1:] or "except" in (cidr, *rest[1:]):
        raise UsageError(
            f"{line!r} is no network with exceptions", "write 10.0.0.0/8 except 10.1.0.0/16"
        )
    return {"cidr": cidr, "except": rest[1:]}


# ---------------------------------------------------------------- labels


def labels_text(selector: Any) -> str | None:
    """``app=web, tier=db`` of a selector that has matchLabels alone; ``all`` of one of all."""
    if selector == {}:
        return ALL
    if not isinstance(selector, dict) or set(selector) != {"matchLabels"}:
        return None
    labels = selector["matchLabels"]
    if not isinstance(labels, dict) or not labels:
        return None
    odd = any(not isinstance(v, str) or re.search(r"[,;=\s]", f"{k}{v}") for k, v in labels.items())
    return None if odd else ", ".join(f"{k}={v}" for k, v in labels.items())


def labels_from(text: str, old: Any = None) -> dict[str, Any]:
    """A selector.  Raises UsageError for what is no label, and for none."""
    if text.strip() == ALL:
        return {}
    labels: dict[str, str] = {}
    for part in _split(text):
        key, mark, value = part.partition("=")
        if not mark or not key:
            raise UsageError(f"{part!r} is no label", "write key=value, with commas between")
        labels[key] = value
    if not labels:
        raise UsageError("no label is left", f"the YAML keeps what it has; write {ALL} for each")
    if isinstance(old, dict) and list(labels.items()) == list(old.get("matchLabels", {}).items()):
        return old
    return {"matchLabels": labels}


def peers_text(items: Any) -> str | None:
    """``k8s-app=kube-dns, a=b; app=db`` of toEndpoints."""
    return _joined(items, labels_text, "; ")


def peers_from(text: str, old: Any) -> list[Any]:
    """Items of toEndpoints.  Raises UsageError for what is no label, and for none."""
    texts = [", ".join(_split(part)) for part in text.split(";") if part.strip()]
    if not texts:
        raise UsageError("no label is left", f"the YAML keeps what it has; write {ALL} for each")
    return _kept(texts, old, labels_text, labels_from)


# ---------------------------------------------------------------- ports


def _port(item: Any) -> str | None:
    if not isinstance(item, dict) or set(item) - {"port", "endPort", "protocol"}:
        return None
    port, end, protocol = item.get("port"), item.get("endPort"), item.get("protocol", "ANY")
    ends = end is None or (isinstance(end, int) and not isinstance(end, bool) and end > 0)
    if not isinstance(port, str) or not isinstance(protocol, str) or not ends:
        return None
    text = f"{port}{f'-{end}' if end else ''}/{protocol}"
    read = _PORT.fullmatch(text)
    same = read is not None and (read["port"], read["end"]) == (port, str(end) if end else None)
    return text if same else None


def ports_text(items: Any) -> str | None:
    """``443/TCP, 8000-8080/ANY`` of toPorts[].ports."""
    return _joined(items, _port)


def ports_from(text: str, old: Any) -> list[Any]:
    """Items of toPorts[].ports.  Raises UsageError for what is no port, and for none."""
    texts = [t if "/" in t else f"{t}/ANY" for t in _split(text)]
    if not texts:
        raise UsageError("no port is left", f"the YAML keeps what it has; write {ALL} for each")
    return _kept(texts, old, _port, _made_port)


def _made_port(text: str) -> dict[str, Any]:
    match = _PORT.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no port", "write 443/TCP, or 8000-8080/ANY")
    made: dict[str, Any] = {"port": match["port"]}
    if match["end"]:
        made["endPort"] = int(match["end"])
    return {**made, "protocol": match["protocol"].upper()}


# ---------------------------------------------------------------- types of ICMP


_ICMP = re.compile(r"(?P<type>\d+|[A-Za-z][A-Za-z0-9]*)/(?P<family>IPv[46])")


def _icmp(item: Any) -> str | None:
    if not isinstance(item, dict) or set(item) - {"family", "type"}:
        return None
    what, family = item.get("type"), item.get("family", "IPv4")
    if not isinstance(what, str | int) or isinstance(what, bool):
        return None
    text = f"{what}/{family}"
    return text if _ICMP.fullmatch(text) else None


def icmps_text(items: Any) -> str | None:
    """``8/IPv4, EchoRequest/IPv6`` of icmps[].fields."""
    return _joined(items, _icmp)


def icmps_from(text: str, old: Any) -> list[Any]:
    """Items of icmps[].fields.  Raises UsageError for what is no type, and for none."""
    texts = [t if "/" in t else f"{t}/IPv4" for t in _split(text)]
    if not texts:
        raise UsageError("no type is left", "the YAML keeps what it has; Remove takes the rule out")
    return _kept(texts, old, _icmp, _made_icmp)


def _made_icmp(text: str) -> dict[str, Any]:
    match = _ICMP.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no type of ICMP", "write 8/IPv4, or EchoRequest/IPv6")
    what = match["type"]
    return {"family": match["family"], "type": int(what) if what.isdigit() else what}


#: How a field of each kind shows what it stands for; None: it cannot.
SHOWN: dict[str, Callable[[Any], str | None]] = {
    "names": names_text,
    "peers": peers_text,
    "list": list_text,
    "networks": networks_text,
    "ports": ports_text,
    "icmps": icmps_text,
    "labels": labels_text,
    "word": lambda value: value if isinstance(value, str) and value.strip() else None,
}
#: What is made of the text of a field, and of what stood there.
MADE: dict[str, Callable[[str, Any], Any]] = {
    "names": names_from,
    "peers": peers_from,
    "list": list_from,
    "networks": networks_from,
    "ports": ports_from,
    "icmps": icmps_from,
    "labels": labels_from,
}

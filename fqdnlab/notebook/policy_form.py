"""A policy as a form, and the form's edits in its YAML.  Pure.

The form is cards of fields; each field knows the place in the document that it shows.  An edit
changes that place alone: what a field cannot show stays in the YAML, and is shown as it stands.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fqdnlab.errors import UsageError
from fqdnlab.model.policy_schema import join
from fqdnlab.model.yaml_edit import rewritten
from fqdnlab.model.yaml_nodes import Node
from fqdnlab.model.yaml_source import read_documents
from fqdnlab.model.yaml_text import block_lines, plain
from fqdnlab.notebook.policy_fields import ALL, MADE, SHOWN, labels_text, ports_from
from fqdnlab.notebook.policy_templates import NEW_RULES

__all__ = ["Field", "form_of", "with_field", "with_rule", "without_rule"]

Path = tuple[str | int, ...]
_KINDS = ("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy")
_PEERS: dict[str, tuple[str, str]] = {
    "toFQDNs": ("names", "Names and patterns"),
    "toEndpoints": ("peers", "Endpoints with labels"),
    "toCIDR": ("list", "Networks"),
    "toCIDRSet": ("networks", "Networks with exceptions"),
    "toEntities": ("list", "Entities"),
}
_TITLES = {"toFQDNs": "Names", "toEndpoints": "Endpoints", "toEntities": "Entities"}


class Field(NamedTuple):
    """One thing to edit.

    Attributes
    ----------
    path : tuple of str and int
        Where it stands in the document.
    kind : str
    label, text : str
    line : int
        In the text; 0: it is not there.
    """

    path: Path
    kind: str
    label: str
    text: str
    line: int = 0

    def shown(self) -> dict[str, Any]:
        """As the view takes it; `where` is the path as faults name it."""
        where = ""
        for key in self.path:
            where = f"{where}[{key}]" if isinstance(key, int) else join(where, key)
        rest = {"kind": self.kind, "label": self.label, "text": self.text, "line": self.line}
        return {"path": list(self.path), "where": where, **rest}


def form_of(text: str, index: int) -> dict[str, Any]:
    """A document as a form.

    Returns
    -------
    dict
        ``why`` (there is no form; '' if there is), ``head`` (fields), ``rules`` (a card each:
        ``path``, ``title``, ``deny``, ``line``, ``fields``, and ``rest``: what is shown only),
        ``rest``.
    """
    try:
        value, root = _document(text, index)
    except UsageError as error:
        return {"why": error.message, "head": [], "rules": [], "rest": []}
    rules = [_card(rule, path, root) for path, rule in _rules(value)]
    return {
        "why": "",
        "head": [f.shown() for f in _head(value, root)],
        "rules": rules,
        "rest": _rest_of(value),
    }


def with_field(text: str, index: int, path: Sequence[str | int], new: str) -> str:
    """`text` with another content of one field; the same content leaves it as it is.

    Raises
    ------
    UsageError
        If the document has no such field (any more), or `new` cannot be its content.
    """
    value, root = _document(text, index)
    field = next((f for f in _fields(value, root) if f.path == tuple(path)), None)
    if field is None:
        raise UsageError("the text has changed under the form", "edit it again")
    if new == field.text:
        return text
    _put(value, field, new)
    return rewritten(text, index, value)


def with_rule(text: str, index: int, what: str) -> str:
    """`text` with one more rule, of `NEW_RULES`, in its first spec.  Raises as `with_field`."""
    value, _ = _document(text, index)
    _, spec = next(_specs(value))
    key, rule = NEW_RULES[what]
    there = spec.get(key)
    rules = [r for r in there if r != {}] if isinstance(there, list) else []
    spec[key] = [copy.deepcopy(rule), *rules] if what == "dns" else [*rules, copy.deepcopy(rule)]
    return rewritten(text, index, value)


def without_rule(text: str, index: int, path: Sequence[str | int]) -> str:
    """`text` without one rule; where it was the last, the policy still denies what it denied.

    Raises as `with_field`.
    """
    value, _ = _document(text, index)
    if tuple(path) not in [place for place, _ in _rules(value)]:
        raise UsageError("the text has changed under the form", "try again")
    spec = _at(value, path[:-2])
    key, n = path[-2], path[-1]
    del spec[key][n]
    if not spec[key] and (key == "egress" or not spec.get("egress")):
        del spec[key]
        spec["egress"] = [{}]  # a rule that allows nothing: without any, nothing would be denied
    elif not spec[key]:
        del spec[key]
    return rewritten(text, index, value)


# ---------------------------------------------------------------- reading


def _document(text: str, index: int) -> tuple[dict[str, Any], Node]:
    """The values of a document, to be changed, and its tree.  Raises UsageError with why not."""
    documents = read_documents(text)
    if any(d.root is None or d.faults for d in documents):
        raise UsageError("The form is back when the text is YAML again; what holds is untouched.")
    root = documents[index].root if 0 <= index < len(documents) else None
    value = None if root is None else plain(root)
    if root is None or not isinstance(value, dict):
        raise UsageError("There is no policy yet: begin with a template, or write one.")
    if value.get("kind") not in _KINDS:
        raise UsageError(f"A {value.get('kind') or 'document without kind'} is edited as YAML.")
    metadata, specs = value.get("metadata"), [spec for _, spec in _specs(value)]
    if not isinstance(metadata, dict) or not specs:
        raise UsageError("The form needs metadata with a name, and a spec with rules.")
    return value, root


def _specs(value: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    if isinstance(value.get("spec"), dict):
        yield ("spec",), value["spec"]
    several = value.get("specs")
    for n, spec in enumerate(several if isinstance(several, list) else ()):
        if isinstance(spec, dict):
            yield ("specs", n), spec


def _rules(value: Mapping[str, Any]) -> list[tuple[Path, dict[str, Any]]]:
    """Rules that say something: ``egress: [{}]`` says nothing."""
    return [
        ((*path, key, n), rule)
        for path, spec in _specs(value)
        for key in ("egress", "egressDeny")
        for n, rule in enumerate(spec[key] if isinstance(spec.get(key), list) else ())
        if isinstance(rule, dict) and rule
    ]


def _fields(value: Mapping[str, Any], root: Node) -> Iterator[Field]:
    yield from _head(value, root)
    for path, rule in _rules(value):
        yield from _rule_fields(rule, path, root)


def _head(value: Mapping[str, Any], root: Node) -> Iterator[Field]:
    metadata = value["metadata"]
    yield from _field(root, ("metadata", "name"), "word", "Name", metadata.get("name"))
    if value["kind"] == "CiliumNetworkPolicy":
        space = metadata.get("namespace", "default")
        yield from _field(root, ("metadata", "namespace"), "word", "Namespace", space)
    specs = list(_specs(value))
    for n, (path, spec) in enumerate(specs):
        label = "For endpoints with labels" + (f" ({n + 1} of {len(specs)})" if specs[1:] else "")
        place = (*path, "endpointSelector")
        yield from _field(root, place, "labels", label, spec.get("endpointSelector"))


def _field(root: Node, path: Path, kind: str, label: str, value: Any) -> Iterator[Field]:
    text = SHOWN[kind](value)
    if text is not None:
        yield Field(path, kind, label, text, _line(root, path))


def _rule_fields(rule: Mapping[str, Any], path: Path, root: Node) -> Iterator[Field]:
    dns = any(_dns_of(block) is not None for block in _blocks(rule))
    for key, (kind, label) in _PEERS.items():
        label = "DNS server, by labels" if dns and key == "toEndpoints" else label
        yield from _field(root, (*path, key), kind, label, rule.get(key))
    if "toPorts" not in rule and "icmps" not in rule:
        yield Field((*path, "toPorts", 0, "ports"), "ports", "Ports", ALL)
    for n, block in enumerate(_blocks(rule)):
        place = (*path, "toPorts", n)
        yield from _field(root, (*place, "ports"), "ports", "Ports", block.get("ports"))
        label = "Names that may be looked up"
        yield from _field(root, (*place, "rules", "dns"), "names", label, _dns_of(block))
    for n, block in enumerate(_blocks(rule, "icmps")):
        place = (*path, "icmps", n, "fields")
        yield from _field(root, place, "icmps", "Types of ICMP", block.get("fields"))


def _blocks(rule: Mapping[str, Any], key: str = "toPorts") -> list[dict[str, Any]]:
    blocks = rule.get(key)
    if not isinstance(blocks, list) or not all(isinstance(b, dict) for b in blocks):
        return []
    return blocks


def _dns_of(block: Mapping[str, Any]) -> Any:
    rules = block.get("rules")
    return rules.get("dns") if isinstance(rules, dict) else None


def _card(rule: dict[str, Any], path: Path, root: Node) -> dict[str, Any]:
    fields = list(_rule_fields(rule, path, root))
    return {
        "path": list(path),
        "title": _title(rule),
        "deny": path[-2] == "egressDeny",
        "line": _line(root, path),
        "fields": [f.shown() for f in fields],
        "rest": _lines(_without(rule, [f.path[len(path) :] for f in fields])),
    }


def _title(rule: Mapping[str, Any]) -> str:
    if any(_dns_of(block) is not None for block in _blocks(rule)):
        return "Look-ups"
    known = next((title for key, title in _TITLES.items() if key in rule), "")
    if "toCIDR" in rule or "toCIDRSet" in rule:
        known = known or "Networks"
    others = [k for k in rule if k.startswith("to") and k != "toPorts"]
    return known or (others[0] if others else "Every destination")


def _rest_of(value: Mapping[str, Any]) -> list[str]:
    """What no field shows, outside of rules; apiVersion and kind go without saying."""
    shown: list[Path] = [
        ("apiVersion",),
        ("kind",),
        ("metadata", "name"),
        ("metadata", "namespace"),
    ]
    for path, spec in _specs(value):
        if labels_text(spec.get("endpointSelector")) is not None:
            shown.append((*path, "endpointSelector"))
        shown += [(*path, k) for k in ("egress", "egressDeny") if isinstance(spec.get(k), list)]
    return _lines(_without(value, shown))


def _lines(value: Any) -> list[str]:
    return [] if value in (None, {}, []) else list(block_lines(value))


def _without(value: Any, paths: list[Path]) -> Any:
    """What is left of `value` when what stands at `paths` is taken out; None: nothing."""
    if () in paths:
        return None
    if not paths or not isinstance(value, dict | list):
        return value
    keyed = value.items() if isinstance(value, dict) else enumerate(value)
    left = {key: _without(inner, [p[1:] for p in paths if p[:1] == (key,)]) for key, inner in keyed}
    kept = {k: v for k, v in left.items() if v is not None}
    if not kept:
        return None
    return kept if isinstance(value, dict) else list(kept.values())


def _line(root: Node, path: Path) -> int:
    """The line where a value begins; 0 if it is not there."""
    node: Node | None = root
    for key in path:
        if isinstance(key, int):
            items = node.items() if node is not None else ()
            node = items[key] if key < len(items) else None
        else:
            node = node.get(key) if node is not None else None
    return node.line if node is not None else 0


# ---------------------------------------------------------------- writing


def _at(value: Any, path: Sequence[str | int]) -> Any:
    for key in path:
        value = value[key]
    return value


def _put(value: dict[str, Any], field: Field, new: str) -> None:
    """Change `value` where `field` stands.  Raises UsageError."""
    *way, key = field.path
    if field.kind == "word":
        if not new.strip():
            raise UsageError(f"{field.label} is empty", "the YAML keeps what it has")
        _at(value, way)[key] = new.strip()
    elif field.kind == "ports" and (field.text == ALL or new.strip() == ALL):
        _put_all_ports(_at(value, way[:-2]), field, new)
    else:
        there = _at(value, way)
        there[key] = MADE[field.kind](new, there[key])


def _put_all_ports(rule: dict[str, Any], field: Field, new: str) -> None:
    """From every port to some, or back."""
    if new.strip() != ALL:
        rule["toPorts"] = [{"ports": ports_from(new, None)}]
    elif field.text != ALL:
        if len(rule["toPorts"]) != 1 or set(rule["toPorts"][0]) != {"ports"}:
            raise UsageError("these ports have rules of their own", "name the ports")
        del rule["toPorts"]

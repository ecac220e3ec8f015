"""A policy text beside what is applied: found by kind, namespace and name.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import unified_diff
from typing import TYPE_CHECKING

from fqdnlab.model.policy import Policy
from fqdnlab.model.yaml_source import read_documents
from fqdnlab.model.yaml_text import plain

if TYPE_CHECKING:
    from fqdnlab.lab.applied import Applied as Done

__all__ = ["Key", "applied_of", "applied_says", "difference", "keys_of", "reverted", "standing"]

#: Kind, namespace and name.
Key = tuple[str, str, str]
Applied = Mapping[Key, str]


def applied_of(policies: Iterable[Policy] | None) -> dict[Key, str]:
    """The texts of policies by their keys."""
    return {p.key: p.yaml for p in policies or ()}


def applied_says(done: Done) -> str:
    """What came of applying: who is enforced, then what is most likely not meant."""
    whom = [
        f"{p.name}: {'enforced' if p.enforced else 'accepted, not enforced'}" for p in done.policies
    ]
    minds = [f"line {one.line}: {one.reason}" for p in done.policies for one in p.lint]
    rest = len(minds) - 1
    more = f" (and {rest} more {'remark' if rest == 1 else 'remarks'})" if rest > 0 else ""
    but = f"; but: {minds[0]}{more}" if minds else ""
    note = f" {done.note}" if done.note else ""
    late = f" Late: {', '.join(done.late)}." if done.late else ""
    return f"Applied, revision {done.revision}. {', '.join(whom)}{but}.{note}{late}"


def keys_of(text: str) -> list[tuple[Key | None, str]]:
    """For each document, whose policy it is (as far as it can be read), and its text."""
    found: list[tuple[Key | None, str]] = []
    for document in read_documents(text):
        value = None if document.root is None else plain(document.root)
        metadata = value.get("metadata") if isinstance(value, dict) else None
        name = metadata.get("name") if isinstance(metadata, dict) else None
        key: Key | None = None
        if isinstance(value, dict) and isinstance(metadata, dict) and name:
            kind = str(value.get("kind"))
            wide = kind == "CiliumClusterwideNetworkPolicy"
            key = kind, "" if wide else str(metadata.get("namespace") or "default"), str(name)
        found.append((key, document.text))
    return found


def _known(text: str, applied: Applied, began: Key | None) -> list[tuple[Key | None, str]]:
    """As `keys_of`; what is not applied by its own name may be what the text began as."""
    found = [(key if key in applied else None, body) for key, body in keys_of(text)]
    keys = [key for key, _ in found]
    lost = [n for n, key in enumerate(keys) if key is None]
    if began in applied and began not in keys and len(lost) == 1:
        found[lost[0]] = began, found[lost[0]][1]
    if not found and began in applied:
        found = [(began, text)]
    return found


def difference(text: str, applied: Applied, began: Key | None = None) -> str:
    """What differs between `text` and what is applied, as a unified diff; '' if nothing does.

    Parameters
    ----------
    text : str
    applied : mapping
        Key → YAML.
    began : (str, str, str) or None
        What the text was before it was edited: a new name is told as a change of that.
    """
    lines: list[str] = []
    for key, body in _known(text, applied, began):
        old = applied[key] if key is not None else ""
        title = "/".join(filter(None, key[1:])) + ", applied" if key is not None else "not applied"
        lines += unified_diff(
            old.rstrip().splitlines(), body.rstrip().splitlines(), title, "edited", lineterm=""
        )
    return "\n".join(lines)


def reverted(text: str, applied: Applied, began: Key | None = None) -> str:
    """What is applied of the policies of `text`; '' if none of them is."""
    keys = dict.fromkeys(key for key, _ in _known(text, applied, began) if key is not None)
    return "---\n".join(applied[key].rstrip() + "\n" for key in keys)


def standing(text: str, applied: Applied) -> str:
    """``as applied``, ``edited, not applied``, or ``new, not applied``."""
    found = keys_of(text)
    if not found:
        return "empty"
    if all(key not in applied for key, _ in found):
        return "new, not applied"
    same = all(
        key in applied and applied[key].rstrip() == body.rstrip()  # type: ignore[index]
        for key, body in found
    )
    return "as applied" if same else "edited, not applied"

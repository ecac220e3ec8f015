"""Policy documents: from text to frozen policies, or every fault with its place (way 1.1, 1.2).

What Cilium 1.20.2's schema and parser take is taken, what they refuse is refused; the few
differences are listed in docs/decisions/0150-policy-documents.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from fqdnlab.errors import PolicyError
from fqdnlab.model.knp import check_kubernetes, kubernetes_specs, without_nulls
from fqdnlab.model.knp_fields import KUBERNETES
from fqdnlab.model.policy import Policy
from fqdnlab.model.policy_build import cilium_specs
from fqdnlab.model.policy_checks import Faults, check_cilium
from fqdnlab.model.policy_fields import CILIUM
from fqdnlab.model.policy_remarks import remarks_on
from fqdnlab.model.yaml_nodes import Fault, Mapping, Node
from fqdnlab.model.yaml_source import Document, read_documents

__all__ = ["CheckedDocument", "check_documents", "parse_policies"]

_CNP, _CCNP, _KNP = "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "NetworkPolicy"
_VERSIONS = {_CNP: "cilium.io/v2", _CCNP: "cilium.io/v2", _KNP: "networking.k8s.io/v1"}


@dataclass(frozen=True)
class CheckedDocument:
    """What became of one document.

    Attributes
    ----------
    file, document, line : str, int, int
        Where it is; documents count from 0.
    faults : tuple of (str, int, str)
        (path, line, what was expected), in order of lines.
    policy : Policy or None
        None where there are faults.
    """

    file: str
    document: int
    line: int
    faults: tuple[Fault, ...] = ()
    policy: Policy | None = None

    @property
    def accepted(self) -> bool:
        """Whether it is a policy."""
        return self.policy is not None


def parse_policies(
    text: str, file: str = "<text>", default_namespace: str = "default"
) -> tuple[Policy, ...]:
    """The policies of all documents of `text`, or an error that names all their faults.

    Parameters
    ----------
    text : str
        YAML (or JSON), any number of documents.
    file : str
        Its name, for places.
    default_namespace : str
        Of namespaced policies that name none.

    Raises
    ------
    PolicyError
        If anything is wrong with any document; nothing is half taken.
    """
    checked = check_documents(text, file, default_namespace)
    if not checked:
        raise PolicyError(f"{file}: no policy in it", "write a CiliumNetworkPolicy")
    faults = [fault for document in checked for fault in document.faults]
    if faults:
        raise PolicyError(_message(file, faults), "see `fqdnlab policy validate`", tuple(faults))
    return tuple(d.policy for d in checked if d.policy is not None)


def check_documents(
    text: str, file: str = "<text>", default_namespace: str = "default"
) -> list[CheckedDocument]:
    """Each document of `text` judged on its own; see `parse_policies`."""
    return [_check(document, file, default_namespace) for document in read_documents(text)]


def _message(file: str, faults: list[Fault]) -> str:
    lines = [f"{file}:{line}: {f'{path}: ' if path else ''}{what}" for path, line, what in faults]
    return "\n".join(lines)


def _check(document: Document, file: str, default_namespace: str) -> CheckedDocument:
    faults = Faults(document.faults)
    root = document.root
    kind = _kind(root, faults) if root is not None else ""
    if root is not None and kind:
        root = without_nulls(root) if kind == _KNP else root
        (KUBERNETES if kind == _KNP else CILIUM).check(root, "", faults)
        if kind == _KNP:
            check_kubernetes(root, faults)
        else:
            check_cilium(root, kind == _CCNP, faults)
    if faults or root is None:
        ordered = tuple(sorted(faults, key=lambda fault: (fault[1], fault[0])))
        return CheckedDocument(file, document.index, document.line, ordered)
    policy = _policy(document, root, kind, file, default_namespace)
    return CheckedDocument(file, document.index, document.line, (), policy)


def _kind(root: Node, faults: Faults) -> str:
    """The kind, where it is one of ours; else a fault."""
    if not isinstance(root, Mapping):
        faults.add("", root, f"a mapping is expected, not {root.kind}")
        return ""
    kind_node, version_node = root.get("kind"), root.get("apiVersion")
    kind = kind_node.text() if kind_node is not None else None
    if kind not in _VERSIONS:
        what = f"one of {', '.join(_VERSIONS)} is expected"
        faults.add("kind", kind_node or root, what + (f", not {kind!r}" if kind else ""))
        return ""
    version = version_node.text() if version_node is not None else None
    if version != _VERSIONS[kind]:
        what = f"{_VERSIONS[kind]} is expected for a {kind}"
        faults.add("apiVersion", version_node or root, what)
        return ""
    return kind


def _policy(document: Document, root: Node, kind: str, file: str, default_namespace: str) -> Policy:
    metadata = root.get("metadata") or root
    namespace = "" if kind == _CCNP else _field(metadata, "namespace") or default_namespace
    specs = (kubernetes_specs if kind == _KNP else cilium_specs)(root, namespace)
    remarks = remarks_on(root, kind == _KNP)
    return Policy(
        kind=kind,
        namespace=namespace,
        name=_field(metadata, "name"),
        specs=specs,
        remarks=remarks,
        file=file,
        document=document.index,
        line=document.line,
        yaml=document.text,
    )


def _field(node: Node, key: str) -> str:
    found = node.get(key)
    return (found.text() if found is not None else None) or ""

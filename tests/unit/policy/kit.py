"""Short ways to policies."""

from __future__ import annotations

import textwrap

from fqdnlab.model.policy import Policy, Rule
from fqdnlab.model.policy_parser import CheckedDocument, check_documents, parse_policies

HEAD = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web}
spec:
  endpointSelector: {matchLabels: {app: web}}
"""
#: The line of the first line after `HEAD`.
NEXT = HEAD.count("\n") + 1


def document(spec: str, head: str = HEAD) -> str:
    """A policy of `spec`'s lines."""
    return head + textwrap.indent(textwrap.dedent(spec), "  ") + "\n"


def policy(spec: str, head: str = HEAD) -> Policy:
    """The one policy of `spec`."""
    (found,) = parse_policies(document(spec, head))
    return found


def rule(text: str) -> Rule:
    """The rule of ``egress: [text]``."""
    (found,) = policy(f"egress: [{text}]").rules()
    return found


def check(text: str) -> CheckedDocument:
    """What is said of one document."""
    (found,) = check_documents(text, "p.yaml")
    return found


def faults(text: str) -> dict[str, tuple[int, str]]:
    """Path → (line, what) of a document's faults."""
    return {path: (line, what) for path, line, what in check(text).faults}


def in_egress(text: str) -> dict[str, tuple[int, str]]:
    """Faults of ``egress: [text]``, paths from the rule on."""
    found = faults(document(f"egress: [{text}]"))
    return {path.removeprefix("spec.egress[0]").lstrip("."): v for path, v in found.items()}

"""The policy author: a form beside its YAML, judged as it is typed, applied to the lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from difflib import unified_diff
from typing import Any

from fqdnlab.errors import FqdnlabError
from fqdnlab.model.lint import lint
from fqdnlab.model.policy import Policy
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.model.status import PROFILES, policy_report
from fqdnlab.notebook.base import Panel, script
from fqdnlab.notebook.hands import hands
from fqdnlab.notebook.policy_effect import changes, matches
from fqdnlab.notebook.policy_form import Form, NotAFormError, form_of, with_form, written

__all__ = ["PolicyAuthor"]

# No template has the name of a policy that is likely there: Apply replaces one of the same name.
_NEW = Form("allow-names", "default", (("app", "web"),), ("api.example.com",), (("443", "TCP"),))
_DENY = "  egressDeny:\n    - toCIDR:\n        - 192.0.2.0/24\n"
_TEMPLATES = {
    "names": written(_NEW),
    "dns": written(Form("dns-only", "default", (("app", "web"),))),
    "deny": written(Form("deny-cidr", "default", (("app", "web"),))) + _DENY,
}


class PolicyAuthor(Panel):
    """Write a policy, see what it would do, apply it.

    Parameters
    ----------
    lab : Lab
    """

    _esm = script("policy")

    def do_begin(self, _content: Mapping[str, Any]) -> None:
        """Begin with what is applied, else with a template."""

        def begin() -> str:
            found = [str(p.yaml) for p in hands(self.lab_name).lab.policy_statuses()]
            self._judge(found[0] if found else _TEMPLATES["names"], True)
            return "As applied." if found else ""

        self.act(begin, "begin")

    def do_template(self, content: Mapping[str, Any]) -> None:
        """Begin with one of the templates."""
        self._judge(_TEMPLATES.get(str(content.get("name")), _TEMPLATES["names"]), True)

    def do_yaml(self, content: Mapping[str, Any]) -> None:
        """The YAML was changed."""
        self._judge(str(content.get("text", "")))

    def do_form(self, content: Mapping[str, Any]) -> None:
        """The form was changed: only what it holds is changed in the YAML."""
        given = content["form"]
        form = Form(
            given["name"],
            given["namespace"],
            tuple((k, v) for k, v in given["labels"]),
            tuple(given["names"]),
            tuple((p, q) for p, q in given["ports"]),
            bool(given["dns"]),
        )
        try:
            self._judge(with_form(str(content["text"]), form), True)
        except NotAFormError as error:
            self._tell(f"Edited as YAML alone: {error}.", False)

    def do_apply(self, content: Mapping[str, Any]) -> None:
        """Apply, if it is valid; else nothing is changed."""
        text = str(content.get("text", ""))

        def apply() -> str:
            parse_policies(text)
            done = hands(self.lab_name).lab.apply(text + "\n")
            self._judge(text)  # what it would change has changed
            return f"Applied, revision {done.revision}. {done.note}"

        self.act(apply, "apply")

    def do_revert(self, content: Mapping[str, Any]) -> None:
        """Back to what is applied."""

        def revert() -> str:
            text = self._applied(str(content.get("name", "")))
            if not text:
                return "Nothing of that name is applied."
            self._judge(text, True)
            return "As applied."

        self.act(revert, "revert")

    def do_diff(self, content: Mapping[str, Any]) -> None:
        """What differs from what is applied."""

        def diff() -> str:
            old = self._applied(str(content.get("name", ""))).splitlines()
            new = str(content.get("text", "")).splitlines()
            lines = unified_diff(old, new, "applied", "edited", lineterm="")
            self.send({"type": "diff", "text": "\n".join(lines) or "No difference."})
            return ""

        self.act(diff, "diff")

    def _tell(self, text: str, well: bool) -> None:
        self.send({"type": "told", "text": text, "well": well, "what": ""})

    def _applied(self, name: str) -> str:
        found = hands(self.lab_name).lab.policy_statuses()
        return next((str(p.yaml) for p in found if p.name == name), "")

    def _judge(self, text: str, replace: bool = False) -> None:
        remarks: list[str] = []
        faults = ""
        form: dict[str, Any] | None = None
        why = ""
        try:
            form = asdict(form_of(text))
        except NotAFormError as error:
            why = f"Edited as YAML alone: {error}."
        try:
            policies = parse_policies(text, "line")
            remarks = [r for policy in policies for r in _remarks(policy)]
            self.act(lambda: self._effect(policies), "effect")
        except FqdnlabError as error:
            faults = error.message
        judged = {"text": text if replace else None, "form": form, "why": why, "faults": faults}
        self.send({"type": "judged", "remarks": remarks, **judged})

    def _effect(self, policies: tuple[Policy, ...]) -> str:
        lab = hands(self.lab_name).lab
        space = "k8s:io.kubernetes.pod.namespace"
        endpoints = {
            e.name: {f"k8s:{k.removeprefix('k8s:')}": v for k, v in e.labels.items()}
            | {space: e.namespace}
            for e in lab.endpoints()
        }
        known = {w.name: w.addresses for w in self._hub.seen.world}
        keys = {p.key for p in policies}
        texts = [p.yaml for p in lab.policy_statuses()]
        old = [p for text in texts for p in parse_policies(text) if p.key in keys]
        lines = ["Matches now, by the world's answers:", *matches(policies, endpoints, known)]
        lines += ["If applied:", *(changes(old, policies, endpoints, known) or ["no change"])]
        self.send({"type": "effect", "text": "\n".join(lines)})
        return ""


def _remarks(policy: Policy) -> list[str]:
    found = [f"line {r.line}: {r.path}: {r.reason}" for r in lint(policy)]
    for profile in PROFILES:
        report = policy_report(policy, profile)
        found.append(f"{profile}: {report.word}")
        fields = (*report.obstacles, *report.beside)
        found += [f"{profile}: line {s.line}: {s.path}: {s.reason}" for s in fields]
    return found

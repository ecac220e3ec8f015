"""The policy author: a form beside its YAML, judged as it is typed, applied to the lab."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import traitlets

from fqdnlab.errors import FqdnlabError, PolicyError, UsageError
from fqdnlab.explain import Facts
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.notebook.base import Panel, script
from fqdnlab.notebook.policy_applied import (
    Key,
    applied_of,
    applied_says,
    difference,
    keys_of,
    reverted,
    standing,
)
from fqdnlab.notebook.policy_check import check
from fqdnlab.notebook.policy_form import with_field, with_rule, without_rule
from fqdnlab.notebook.policy_shown import effect_of
from fqdnlab.notebook.policy_templates import TEMPLATES, template
from fqdnlab.notebook.seen import Seen
from fqdnlab.notebook.styles import styled

if TYPE_CHECKING:
    from fqdnlab.lab import Lab

__all__ = ["PolicyAuthor"]

_LOOK_SECONDS = 5.0  # what is learned and what flows pass by change what would change
_LEAST_SECONDS = 2.0  # between two looks that nobody asked for
_SHARE = 0.05  # of the time, at most, goes into them
_FLOWS_SECONDS = 300.0
_UNDO_STEPS = 50
_LABELS = {"app": "web"}


class PolicyAuthor(Panel):
    """Write a policy, see what it would do, apply it.

    The text is here, and not in a view: two views, or one that was loaded again, show the same.

    Parameters
    ----------
    lab : Lab
    """

    _esm = script("policy_editor", "policy_form", "policy")
    _css = styled("policy")
    text = traitlets.Unicode().tag(sync=True)
    judged: Any = traitlets.Dict().tag(sync=True)
    effect: Any = traitlets.Dict().tag(sync=True)
    state: Any = traitlets.Dict().tag(sync=True)
    diff = traitlets.Unicode().tag(sync=True)

    def __init__(self, lab: Lab, **traits: Any) -> None:
        self._editing = threading.RLock()
        self._index = 0
        self._began: Key | None = None
        self._before: deque[str] = deque(maxlen=_UNDO_STEPS)
        self._step = ""
        self._differs = False  # whether the difference is shown
        self._facts: Facts | None = None
        self._looking = threading.Lock()
        self._wanted = threading.Event()
        self._shown_key: object = None
        self._looked = self._took = 0.0
        super().__init__(lab, **traits)
        self.act(self._begin, "begin")

    # ------------------------------------------------------------ what is looked at

    def show(self, seen: Seen) -> None:
        """Tell anew what would change, when the lab has changed, and now and then."""
        numbers, agent = seen.numbers, seen.process("agent").state
        key = (numbers.revision, numbers.addresses, seen.endpoints, seen.world, agent)
        since = time.monotonic() - self._looked
        least = max(_LEAST_SECONDS, self._took / _SHARE)
        if since > max(_LOOK_SECONDS, least) or (key != self._shown_key and since > least):
            self._shown_key, self._looked = key, time.monotonic()
            self._look()

    def _look(self) -> None:
        """Tell what would change, soon; one thread at a time, and always of the newest text."""
        self._wanted.set()
        self.act(self._look_now, "effect")

    def _look_now(self) -> str:
        while self._wanted.is_set() and self._looking.acquire(blocking=False):
            try:
                self._wanted.clear()
                self._tell_effect()
            finally:
                self._looking.release()
        return ""

    def _tell_effect(self) -> None:
        self._looked = time.monotonic()
        try:
            facts = self._facts = self.hands.facts()
        except FqdnlabError as error:
            self.effect = {"trouble": str(error)}
            return
        text = self.text
        self._tell_state()
        try:
            policies = parse_policies(text)
        except PolicyError:
            self.effect = {"trouble": "Told when the text is valid. What is applied goes on."}
            return
        self.effect = effect_of(facts, policies, self._hub.rows(_FLOWS_SECONDS))
        self._took = time.monotonic() - self._looked

    def _tell_state(self) -> None:
        with self._editing:
            applied = self._applied()
            self.state = {
                "standing": standing(self.text, applied),
                "applied": ["/".join(key) for key in sorted(applied)],
                "templates": [[name, title] for name, (title, _, _) in TEMPLATES.items()],
                "undo": len(self._before),
                "revision": self._hub.seen.numbers.revision,
            }

    def _applied(self) -> dict[Key, str]:
        """What is applied, as it was last read."""
        return applied_of(self._facts.policies if self._facts is not None else None)

    # ------------------------------------------------------------ the text

    def _begin(self) -> str:
        """Begin with what is applied, else with a template."""
        with suppress(FqdnlabError):  # told by what it would do; one can write meanwhile
            self._facts = self.hands.facts()
        if not self.text:
            applied = self._applied()
            self._load(next(iter(applied)) if applied else "names")
        return ""

    def _load(self, what: Key | str) -> None:
        if isinstance(what, str):
            applied = self._applied()
            self._put(template(what, self._labels(), (name for _, _, name in applied)))
            self._began = None
        else:
            self._put(self._applied()[what].rstrip() + "\n")
            self._began = what

    def _labels(self) -> dict[str, str]:
        """Labels of an endpoint that is there."""
        with suppress(FqdnlabError):
            for endpoint in self.hands.endpoints(5.0):
                if endpoint.labels:
                    return {k.removeprefix("k8s:"): v for k, v in endpoint.labels.items()}
        return _LABELS

    def _put(self, text: str, step: str = "") -> None:
        """Another text; Undo has what was there before a `step`, however many changes it took."""
        with self._editing:
            if self.text and text != self.text and (not step or step != self._step):
                self._before.append(self.text)
            self._step = step
            self.text = text
            self._judge()
        self._look()

    def _judge(self) -> None:
        """Say what the text is; what is said last is of the newest, whatever thread says it."""
        with self._editing:
            found = self._facts
            profile = found.settings.profile if found is not None else "cilium"
            count = len(keys_of(self.text))
            self._index = min(self._index, max(0, count - 1))
            self.judged = {**check(self.text, self._index, profile), "index": self._index}
            applied = self._applied()
            self.diff = difference(self.text, applied, self._began) if self._differs else ""
            self._tell_state()

    def _edit(self, change: Callable[[str], str], what: str) -> None:
        """Change the text by the form; what cannot be leaves it as it is, and is told."""
        with self._editing:
            try:
                made = change(self.text)
            except (UsageError, ValueError) as error:
                self._say(str(error), False, what)
                return
            self._put(made, what)
        self._say("", True, what)

    def _say(self, text: str, well: bool, what: str) -> None:
        self.send({"type": "told", "text": text, "well": well, "what": what})

    def _take(self, content: Mapping[str, Any]) -> None:
        """Take over what was typed and not sent yet; without any, the text here is the newest."""
        text = str(content.get("text", self.text))
        if text != self.text:
            self._put(text, "typed")

    def do_yaml(self, content: Mapping[str, Any]) -> None:
        """The YAML was typed on."""
        self._put(str(content.get("text", "")), "typed")

    def do_document(self, content: Mapping[str, Any]) -> None:
        """The form is to show another document."""
        self._index = int(content.get("index", 0))
        self._judge()

    def do_field(self, content: Mapping[str, Any]) -> None:
        """A field of the form was edited: only its place in the YAML changes."""
        self._take(content)
        path, value = content["path"], str(content["value"])
        self._edit(lambda text: with_field(text, self._index, path, value), str(content["where"]))

    def do_rule(self, content: Mapping[str, Any]) -> None:
        """One more rule."""
        self._take(content)
        self._edit(lambda text: with_rule(text, self._index, str(content["what"])), "")

    def do_unrule(self, content: Mapping[str, Any]) -> None:
        """One rule less."""
        self._take(content)
        self._edit(lambda text: without_rule(text, self._index, content["path"]), "")

    def do_keep(self, content: Mapping[str, Any]) -> None:
        """What was typed in one view while another text came: Undo has it."""
        with self._editing:
            self._before.append(str(content.get("text", "")))
            self._step = ""
            self._tell_state()

    def do_undo(self, content: Mapping[str, Any]) -> None:
        """Back by one step: of typing, of the form, of what was loaded or reverted."""
        with self._editing:
            self._take(content)
            if self._before:
                self._step = "undo"
                self._put(self._before.pop(), "undo")

    # ------------------------------------------------------------ beside the lab

    def do_load(self, content: Mapping[str, Any]) -> None:
        """Begin with a template, or with a policy that is applied: ``kind/namespace/name``."""
        self._take(content)
        what = str(content.get("what", ""))

        def load() -> str:
            kind, _, rest = what.partition("/")
            if not rest:
                self._load(what)
                return f"{TEMPLATES[what][0]}. Undo has what was there."
            namespace, _, name = rest.partition("/")
            self._facts = self.hands.facts()
            key = (kind, namespace, name)
            if key not in self._applied():
                raise UsageError(f"{name} is not applied any more", "take another")
            self._load(key)
            return "As applied. Undo has what was there."

        self.act(load, "load")

    def do_apply(self, content: Mapping[str, Any]) -> None:
        """Apply, if it is valid; else nothing is changed."""
        self._take(content)
        text = self.text

        def apply() -> str:
            try:
                parse_policies(text)
            except PolicyError as error:
                raise _not_applied(error) from error
            done = self.hands.lab.apply(text.rstrip() + "\n")
            self._began = next((p.key for p in parse_policies(text)), None)
            self._facts = self.hands.facts()
            self._judge()
            self._look()
            return applied_says(done)

        self.act(apply, "apply")

    def do_revert(self, content: Mapping[str, Any]) -> None:
        """Back to what is applied."""
        self._take(content)

        def revert() -> str:
            self._facts = self.hands.facts()
            text = reverted(self.text, self._applied(), self._began)
            if not text:
                raise UsageError("nothing of that kind, namespace and name is applied")
            self._put(text)
            return "As applied. Undo has what was there."

        self.act(revert, "revert")

    def do_diff(self, content: Mapping[str, Any]) -> None:
        """What differs from what is applied; asked again, it is put away."""
        self._take(content)

        def diff() -> str:
            self._differs = not self._differs
            self._facts = self.hands.facts()
            self._judge()
            return "No difference from what is applied." if self._differs and not self.diff else ""

        self.act(diff, "diff")


def _not_applied(error: PolicyError) -> UsageError:
    """That it was refused, in a sentence: each fault is told at its line."""
    count = len(error.places)
    if not count:
        return UsageError(f"not applied: {error.message}", "what is applied goes on")
    path, line, what = error.places[0]
    many = f"{count} faults, the first" if count > 1 else "a fault"
    return UsageError(
        f"not applied: {many} in line {line}: {path} {what}", "what is applied goes on"
    )

"""A node's machine: what its card offers, and what the sentence says of it."""

from __future__ import annotations

import pytest

from fqdnlab.notebook.machine_card import away, machine_card
from fqdnlab.notebook.seen import Fault
from fqdnlab.notebook.sentence import say
from tests.unit.notebook.kit import T0, seen


def done(*actions: str) -> tuple[Fault, ...]:
    """To the machine, or (cut, mend) to its link, a second after another."""
    kinds = {"cut": "link", "mend": "link"}
    return tuple(Fault(T0 + n, kinds.get(a, "vm"), a, 0, 0) for n, a in enumerate(actions))


@pytest.mark.parametrize(
    ("actions", "word", "offered"),
    [
        ((), "running", ["suspend", "cut_link", "reset"]),
        (("suspend",), "suspended", ["resume"]),
        (("suspend", "resume"), "running", ["suspend", "cut_link", "reset"]),
        (("cut",), "link cut", ["suspend", "mend_link", "reset"]),
        (("cut", "suspend"), "suspended", ["resume"]),
        (("cut", "mend"), "running", ["suspend", "cut_link", "reset"]),
        (("cut", "reset"), "running", ["suspend", "cut_link", "reset"]),
    ],
)
def test_what_can_be_done_follows_what_was(
    actions: tuple[str, ...], word: str, offered: list[str]
) -> None:
    card = machine_card(seen(machine_faults=done(*actions)))
    assert card.word == word
    assert [b.do for b in card.buttons if b.enabled] == offered
    assert (card.level == "ok") == (word == "running")


def test_a_machine_that_stands_still_explains_why_nothing_answers() -> None:
    said = say(seen(machine_faults=done("suspend"), trouble="the ssh link to node is lost"))
    assert said.level == "gone"
    assert "stands still" in said.text
    assert "Resume it" in said.text


def test_a_cut_link_is_said_beside_the_rest() -> None:
    now = seen(machine_faults=done("cut"))
    assert set(away(now)) == {"link"}
    said = say(now)
    assert said.level == "bad"
    assert f"has been cut for **{{ago:{T0:.1f}}}**" in said.text

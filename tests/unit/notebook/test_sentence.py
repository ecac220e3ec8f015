"""The sentence: from state to words, for every state that a lab can be in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fqdnlab.notebook.cards import cards
from fqdnlab.notebook.seen import Fault, Proc, Rates, Seen
from fqdnlab.notebook.sentence import say
from tests.unit.notebook.kit import T0, running, seen


def dead(name: str, how: str = "killed by SIGKILL") -> Proc:
    return Proc(name, "dead", 0, 1, T0 - 24, 0, how)


def hung(name: str) -> Proc:
    return Proc(name, "stopped", 100, 1, T0 - 24)


def test_all_is_well() -> None:
    said = say(seen(rates=Rates(38, 11, 5)))
    assert said.level == "ok"
    assert said.text == (
        "Everything runs. **1** of **2** endpoints is under policy; "
        "**3** addresses are known by name."
    )
    assert said.more == "**38**/s allowed, **11**/s dropped, **5** look-ups/s."


def test_nothing_is_there_yet() -> None:
    assert "no endpoint yet" in say(seen(endpoints=0, selected=0)).text
    assert "under no policy: everything is allowed" in say(seen(selected=0)).text


def test_a_policy_that_is_not_enforced_is_named() -> None:
    assert "**1** policy accepted but not enforced." in say(seen(unenforced=1)).text


def test_the_agent_is_killed_and_nothing_new_was_resolved() -> None:
    said = say(seen(processes={"agent": dead("agent")}))
    assert said.level == "bad"
    assert said.text.startswith(f"The agent was killed **{{ago:{T0 - 24:.1f}}}** ago. Names still")
    assert "**3** addresses stay enforced as before; an address that is new waits" in said.text


def test_what_waits_for_the_agent_is_said() -> None:
    waits = (("api.example.com", "198.51.100.9"),)
    said = say(seen(processes={"agent": dead("agent")}, waiting=waits))
    assert "198.51.100.9 of api.example.com, waits for the agent" in said.text
    assert "connections to it are dropped" in said.text
    said = say(seen(processes={"agent": dead("agent")}, waiting=waits * 2))
    assert "**2** that were resolved since wait" in said.text


def test_a_hung_agent_holds_answers() -> None:
    said = say(seen(processes={"agent": hung("agent")}))
    assert "has been hung for" in said.text
    assert "held **100 ms** at most" in said.text


def test_a_process_is_hung_since_it_was_hung_and_not_since_it_began() -> None:
    faults = (
        Fault(T0 - 300, "agent", "stop", 99, 1),  # another process of that name
        Fault(T0 - 20, "agent", "stop", 100, 1),
        Fault(T0 - 15, "agent", "cont", 100, 1),
        Fault(T0 - 5, "agent", "stop", 100, 1),
        Fault(T0 - 2, "proxy", "stop", 100, 1),
    )
    now = seen(processes={"agent": hung("agent")}, faults=faults)
    assert f"The agent has been hung for **{{ago:{T0 - 5:.1f}}}**." in say(now).text
    agent = next(card for card in cards(now) if card.name == "agent")
    assert f"hung **{{ago:{T0 - 5:.1f}}}**" in agent.lines[0]
    unknown = seen(processes={"agent": hung("agent")})
    assert f"hung for **{{ago:{T0 - 24:.1f}}}**" in say(unknown).text, "by whom nobody told"


def test_with_the_proxy_dead_too_names_do_not_resolve() -> None:
    said = say(seen(processes={"agent": dead("agent"), "proxy": dead("proxy")}))
    assert "Names still resolve" not in said.text
    assert "resolve nothing" in said.text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("proxy", "connections to addresses that they have go on"),
        ("observer", "nobody sees it"),
        ("world", "No DNS server and no web server answers"),
    ],
)
@pytest.mark.parametrize("how", [dead, hung])
def test_each_process_that_is_away(name: str, words: str, how: object) -> None:
    said = say(seen(processes={name: how(name)}))  # type: ignore[operator]
    assert words in said.text
    assert said.level == "bad"


def test_an_end_that_was_no_kill_is_told_as_it_was() -> None:
    assert "ended **{ago:" in say(seen(processes={"agent": dead("agent", "exit 3")})).text
    assert "(exit 3)" in say(seen(processes={"agent": dead("agent", "exit 3")})).text


def test_the_rates_are_not_told_with_the_observer_dead() -> None:
    assert say(seen(processes={"observer": dead("observer")}, rates=Rates(5, 0, 0))).more == ""


def test_who_has_just_come_back() -> None:
    back = replace(running("agent"), restarts=1, generation=2, since=T0 - 2)
    said = say(seen(processes={"agent": back}))
    assert "The agent is back (generation **2**" in said.text
    assert said.level == "ok"
    later = say(seen(processes={"agent": replace(back, since=T0 - 60)}))
    assert "back" not in later.text


def test_an_upgrade_is_told_while_it_drains() -> None:
    proxy = replace(running("proxy"), generation=2, draining=((1, 99),))
    assert "Generation **2** of the DNS proxy serves" in say(seen(processes={"proxy": proxy})).text


def test_the_node_service_is_gone() -> None:
    said = say(Seen("intro", trouble="the node service is dead or unreachable"))
    assert said.level == "gone"
    assert "stays enforced" in said.text


def test_the_lab_was_taken_down() -> None:
    said = say(Seen("intro", trouble="dead", down=True))
    assert said.level == "gone"
    assert said.text.startswith("The lab intro is down: nothing of it is left.")


def test_the_words_stay_the_same_while_nothing_changes() -> None:
    before = say(seen(processes={"agent": dead("agent")}))
    after = say(seen(processes={"agent": dead("agent")}, time=T0 + 30))
    assert before.text == after.text

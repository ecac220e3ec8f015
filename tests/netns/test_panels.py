"""Panels on a real lab, without a browser: what they do with what a view tells them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from fqdnlab.demo.policies import WEB_EGRESS
from fqdnlab.errors import UsageError
from fqdnlab.lab import Lab, machine_service
from fqdnlab.notebook.base import Panel
from fqdnlab.notebook.flow_table import FlowTable
from fqdnlab.notebook.hands import hands
from fqdnlab.notebook.hub import hub
from fqdnlab.notebook.seen import Seen
from fqdnlab.testing import eventually


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with machine_service(), Lab(f"panels-{os.getpid()}") as made:
        made.endpoint("web", labels={"app": "web"})
        made.world["api.example.com"] = ["198.51.100.7"]
        made.apply(WEB_EGRESS)
        yield made
        node = next(iter(made.nodes))
        hub(made.name, node).stop()
        hands(made.name, node).close()


def heard(panel: Panel) -> list[dict[str, Any]]:
    """What the panel's views are sent from now on."""
    sent: list[dict[str, Any]] = []
    panel.send = sent.append  # type: ignore[method-assign]
    return sent


def told(sent: list[dict[str, Any]]) -> str:
    """What they were told last, waited for."""
    return str(
        eventually(lambda: [m["text"] for m in sent if m["type"] == "told"], 10, "words")[-1]
    )


# ---------------------------------------------------------------- the flow table


@pytest.fixture
def table(lab: Lab) -> Iterator[FlowTable]:
    made = lab.panel("flows")
    assert isinstance(made, FlowTable)
    yield made
    made.close()


def held(lab: Lab, table: FlowTable) -> dict[str, Any]:
    """A row that a view holds, and that the reader of the lab has let go of."""
    assert lab.endpoint("web", labels={"app": "web"}).connect("api.example.com", 443)

    def packets() -> list[dict[str, Any]]:
        return [dict(r) for r in table._hub.rows(60) if r["verdict"] == "FORWARDED"]

    row = eventually(packets, 10, "the packet")[-1]
    with table._hub._lock:
        table._hub._rows.clear()
    return row


def chosen(row: dict[str, Any]) -> dict[str, Any]:
    return {"do": "choose", "uuid": row["uuid"], "time": round(row["time"].timestamp() * 1000, 3)}


def test_a_row_that_was_held_long_is_asked_of_the_observer(lab: Lab, table: FlowTable) -> None:
    row, choices = held(lab, table), []  # type: ignore[var-annotated]
    table.on_choice(choices.append)
    table._heard(None, chosen(row), None)
    eventually(lambda: choices, 10, "the choice")
    assert choices == [table.chosen]
    assert {k: choices[0][k] for k in ("uuid", "address", "rule", "time")} == {
        k: row[k] for k in ("uuid", "address", "rule", "time")
    }
    assert table.chosen_uuid == row["uuid"]


def test_a_row_that_nobody_keeps_is_said_to_be_gone(lab: Lab, table: FlowTable) -> None:
    row, sent = held(lab, table), heard(table)
    lab.observer.restart()
    with table._hub._lock:
        table._hub._rows.clear()

    def gone() -> bool:  # the channel to a new observer takes a moment
        sent.clear()
        table._heard(None, chosen(row), None)
        return "this flow is no longer kept" in told(sent)

    eventually(gone, 15, "words that it is gone")
    assert table.chosen_uuid == ""


# ---------------------------------------------------------------- what fails


class Failing(FlowTable):
    """Fails as long as it is to."""

    failing = False

    def show(self, seen: Seen) -> None:
        """Fail."""
        if self.failing:
            raise RuntimeError("on purpose")

    def do_fail(self, content: Mapping[str, Any]) -> None:
        """Fail."""
        raise UsageError("there is none", "expected one") if content["kind"] else KeyError("x")


@pytest.fixture
def failing(lab: Lab) -> Iterator[Failing]:
    made = Failing(lab)
    yield made
    made.close()


def test_a_panel_that_fails_says_so_goes_on_and_is_well_again(
    failing: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    sent = heard(failing)
    failing.failing = True
    eventually(lambda: [m for m in sent if m["type"] == "failed"], 10, "that it failed")
    sent_then = len(sent)
    eventually(lambda: [m for m in sent[sent_then:] if m["type"] == "beat"], 10, "beats all along")
    failing.failing = False
    eventually(lambda: len([m for m in sent if m["type"] == "failed"]) == 2, 10, "that it is well")
    texts = [m["text"] for m in sent if m["type"] == "failed"]
    assert texts == ["This panel failed, and may be old: RuntimeError: on purpose", ""]
    assert len([r for r in caplog.records if "failed" in r.getMessage()]) == 1, "logged once"


@pytest.mark.parametrize(
    ("kind", "words"), [(1, "there is none (expected one)"), (0, "KeyError('x')")]
)
def test_a_message_that_cannot_be_done_is_told(failing: Failing, kind: int, words: str) -> None:
    sent = heard(failing)
    failing._heard(None, {"do": "fail", "kind": kind}, None)
    assert told(sent) == f"It was not done: {words}"


# ---------------------------------------------------------------- the world


@pytest.mark.parametrize("name", ["api.example.com", ""])
def test_a_behaviour_is_said_aloud_and_so_is_its_end(lab: Lab, name: str) -> None:
    panel = lab.panel("world")
    try:
        sent = heard(panel)
        said = []
        for how in ("slow", "normal"):
            sent.clear()
            panel._heard(None, {"do": "behave", "name": name, "how": how}, None)
            said.append(told(sent))
    finally:
        panel.close()
        lab.world.clear_faults()
    who = name or "The resolver, for every name,"
    assert said == [f"{who} is slow (1 s).", f"{who} is normal."]

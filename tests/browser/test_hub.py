"""The reader of a lab, without a browser: what is away, and comes back; what it keeps; its end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fqdnlab.lab import Lab, machine_service
from fqdnlab.notebook.hub import Hub, Subscriber, hub
from fqdnlab.notebook.rows import COLUMNS
from fqdnlab.notebook.sentence import say
from fqdnlab.testing import eventually

POLICY = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web-egress}
spec:
  endpointSelector: {matchLabels: {app: web}}
  egress:
  - toEndpoints:
    - matchLabels: {k8s-app: kube-dns, io.kubernetes.pod.namespace: kube-system}
    toPorts:
    - ports: [{port: "53", protocol: ANY}]
      rules: {dns: [{matchPattern: "*"}]}
  - toFQDNs: [{matchName: api.example.com}]
"""
NAME = "reader"


class Watcher:
    """What a panel would be told."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []
        self.threads: set[str] = set()

    def subscriber(self) -> Subscriber:
        return Subscriber(self._note, self._take, lambda: True)

    def _take(self, rows: list[list[Any]]) -> None:
        self.rows.extend(rows)
        self._note(rows)

    def _note(self, _: object) -> None:
        self.threads.add(threading.current_thread().name)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with machine_service(), Lab(NAME) as made:
        made.endpoint("web", labels={"app": "web"})
        made.world["api.example.com"] = ["198.51.100.7"]
        made.apply(POLICY)
        yield made


@pytest.fixture(scope="module")
def reader(lab: Lab) -> Iterator[Hub]:
    made = hub(NAME, "node")
    yield made
    made.stop()
    assert not made.running
    left = [t.name for t in threading.enumerate() if t.name in (f"state-{NAME}", f"flows-{NAME}")]
    assert left == []


@pytest.fixture
def watcher(reader: Hub) -> Iterator[Watcher]:
    made = Watcher()
    end = reader.subscribe(made.subscriber())
    yield made
    end()


def connect(lab: Lab) -> Any:
    return lab.endpoint("web", labels={"app": "web"}).connect("api.example.com", 443)


def test_there_is_one_reader_a_lab(reader: Hub) -> None:
    assert hub(NAME, "node") is reader


def test_flows_come_on_a_thread_of_the_reader(lab: Lab, reader: Hub, watcher: Watcher) -> None:
    assert connect(lab)
    eventually(lambda: "FORWARDED" in {r[6] for r in watcher.rows}, 5, "the packet")
    assert "RESOLVED" in {r[6] for r in watcher.rows}
    both = {f"state-{NAME}", f"flows-{NAME}"}
    eventually(lambda: watcher.threads == both, 10, "news by both threads")
    numbers = [r[0] for r in watcher.rows]
    assert numbers == sorted(set(numbers)), "each row once, in order"
    uuid = watcher.rows[-1][COLUMNS.index("uuid")]
    row = reader.row(uuid)
    assert row is not None
    assert row["uuid"] == uuid
    eventually(lambda: reader.seen.numbers.addresses == 1, 5, "the address")


@pytest.mark.parametrize("process", ["agent", "observer", "proxy", "world"])
def test_what_is_away_is_said_and_comes_back(
    lab: Lab, reader: Hub, watcher: Watcher, process: str
) -> None:
    reader.process(process).kill()
    reader.poke()
    eventually(lambda: reader.seen.process(process).state == "dead", 5)
    assert say(reader.seen).level == "bad"
    reader.process(process).restart()
    lab.world["api.example.com"] = ["198.51.100.7"]  # the world forgets with its process
    eventually(lambda: reader.seen.process(process).state == "running", 5)
    watcher.rows.clear()
    eventually(lambda: bool(connect(lab)), 10, "a connection")
    eventually(lambda: "FORWARDED" in {r[6] for r in watcher.rows}, 10, "flows again")
    assert reader.running


def test_a_hung_agent_does_not_hang_the_reader(lab: Lab, reader: Hub) -> None:
    reader.process("agent").stop()
    try:
        # a reading that was under way asks the hung one for all it wants, a second each
        eventually(lambda: reader.seen.process("agent").state == "stopped", 10)
        before = reader.seen.time
        eventually(lambda: reader.seen.time > before + 1, 5, "news while it hangs")
    finally:
        reader.process("agent").cont()
        eventually(lambda: reader.seen.process("agent").state == "running", 5)


def test_an_action_that_fails_is_told_in_words(reader: Hub) -> None:
    told: list[tuple[str, bool]] = []
    reader.act(lambda: 1 / 0, lambda text, well: told.append((text, well)))
    eventually(lambda: told, 5)
    assert told == [("ZeroDivisionError: division by zero", False)]


def test_a_panel_that_fails_takes_no_news_away(
    reader: Hub, watcher: Watcher, lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """Not from others, and not from itself; it is logged once."""
    calls: list[object] = []

    def fails(what: object) -> None:
        calls.append(what)
        raise RuntimeError("on purpose")

    end = reader.subscribe(Subscriber(fails, None, lambda: True))
    eventually(lambda: len(calls) > 3, 10, "that it is told again and again")
    assert connect(lab)
    eventually(lambda: watcher.rows, 5, "news for the others")
    logged = [r.getMessage() for r in caplog.records if r.exc_info]
    end()
    assert logged == [f"a panel of the lab {NAME} failed"]


def test_the_node_service_is_gone_and_comes_back(lab: Lab, reader: Hub, watcher: Watcher) -> None:
    pid = eventually(lambda: reader.seen.process("node").pid, 5)  # 0 would be this process's group
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: reader.seen.trouble, 5, "the trouble")
    assert say(reader.seen).text.startswith("The node service does not answer")
    assert reader.seen.process("agent").state == "running", "as it was"
    again = Lab(NAME)  # what a notebook's first cell does
    again.close()
    eventually(lambda: not reader.seen.trouble, 10, "the new node service")
    watcher.rows.clear()
    eventually(lambda: bool(connect(lab)), 10)
    eventually(lambda: watcher.rows, 5, "flows again")


def test_a_lab_that_is_taken_down_and_made_again(reader: Hub, watcher: Watcher) -> None:
    Lab(NAME).down()
    eventually(lambda: reader.seen.down, 5, "the end")
    assert "is down" in say(reader.seen).text
    again = Lab(NAME)
    again.endpoint("web", labels={"app": "web"})
    again.world["api.example.com"] = ["198.51.100.7"]
    watcher.rows.clear()
    eventually(lambda: bool(connect(again)), 10)
    eventually(lambda: [r for r in watcher.rows if r[6] == "FORWARDED"], 5, "its flows")
    # flows and state are read by threads of their own
    eventually(lambda: say(reader.seen).level == "ok", 10, "the sentence")
    again.close()

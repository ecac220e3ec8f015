"""The command line against one living lab: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fqdnlab.demo.policies import UNSUPPORTED, WEB_EGRESS
from fqdnlab.lab import machine_service
from fqdnlab.testing import eventually

LAB = "cli-test"
SCRIPT = Path(sys.executable).with_name(
    "fqdnlab"
)  # as it is installed: completion asks for its name
COMMAND = [sys.executable, "-m", "fqdnlab.cli"]
ENVIRONMENT = {**os.environ, "FQDNLAB_LAB": LAB, "COLUMNS": "200"}


class Done(NamedTuple):
    exit: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def fqdnlab(*words: str | Path) -> Done:
    """Run ``fqdnlab WORDS`` as a shell would."""
    done = subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=90, env=ENVIRONMENT
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def ok(*words: str | Path) -> Done:
    done = fqdnlab(*words)
    assert done.exit == 0, done
    return done


@pytest.fixture(scope="module", autouse=True)
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Everything is done by the command line: a lab, two endpoints, a policy, some traffic."""
    policy = tmp_path_factory.mktemp("policies") / "web.yaml"
    policy.write_text(WEB_EGRESS)
    with machine_service():
        made = ok("up", LAB)
        assert f"lab {LAB} made" in made.out
        ok("endpoint", "add", "web", "-l", "app=web")
        ok("endpoint", "add", "free", "-n", "other")
        ok("world", "set", "api.example.com", "198.51.100.7", "198.51.100.8", "--ttl", "300")
        ok("world", "set", "tracker.ads.net", "192.0.2.66")
        applied = ok("policy", "apply", policy)
        assert "default/web-egress: enforced; selects web" in applied.out
        reached = ok("run", "web", "--", "curl", "-sS", "http://api.example.com/")
        assert "198.51.100." in reached.out
        refused = fqdnlab("run", "web", "--", "curl", "-sS", "http://tracker.ads.net/")
        assert refused.exit == 6  # curl's own: could not resolve
        dropped = fqdnlab("run", "web", "--", "curl", "-sS", "-m", "1", "http://192.0.2.66/")
        assert dropped.exit == 28  # curl's own: time-out
        yield
        assert ok("down", LAB).out == f"lab {LAB} is down\n"


def test_up_again_finds_it() -> None:
    assert f"lab {LAB} is up already" in ok("up", LAB).out
    conflict = fqdnlab("up", LAB, "-s", "min_ttl=7")
    assert conflict.exit == 5
    assert "min_ttl" in conflict.err


def test_status_of_the_machine_and_of_the_lab() -> None:
    (row,) = ok("status", "-o", "json").json
    assert (row["lab"], row["node service"]) == (LAB, "alive")
    assert LAB in ok("status").out
    (one,) = ok("status", LAB, "-o", "json").json
    assert {"agent", "proxy", "observer", "world"} <= {p["process"] for p in one["processes"]}
    assert all(p["state"] == "running" for p in one["processes"])
    held = {e["endpoint"]: e["policies"] for e in one["endpoints"]}
    assert held == {"web": ["web-egress"], "free": []}
    assert "metrics: http://127.0.0.1:" in ok("status", LAB).out


@pytest.mark.parametrize("words", ["fqdnlab down ", "fqdnlab flows --lab "])
def test_names_of_labs_are_completed(words: str) -> None:
    asked = {"COMP_WORDS": words + LAB[:3], "COMP_CWORD": str(len(words.split()))}
    environment = {**ENVIRONMENT, **asked, "_FQDNLAB_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [SCRIPT], capture_output=True, text=True, timeout=60, env=environment, check=True
    )
    assert f"plain,{LAB}" in done.stdout.splitlines()


def test_endpoints() -> None:
    rows = {r["name"]: r for r in ok("endpoint", "list", "-o", "json").json}
    assert (rows["web"]["labels"], rows["free"]["namespace"]) == ({"app": "web"}, "other")
    assert "app=web" in ok("endpoint", "list").out
    (made,) = ok("endpoint", "add", "gone", "-o", "json").json
    assert (made["name"], made["ip4"][:6]) == ("gone", "10.10.")
    ok("endpoint", "delete", "gone")
    machine = fqdnlab("endpoint", "add", "vm", "--machine", "client")
    assert (machine.exit, "has no machines of its own" in machine.err) == (2, True), machine
    assert "gone" not in ok("endpoint", "list").out


def test_policies(tmp_path: Path) -> None:
    file = tmp_path / "batch.yaml"
    file.write_text(UNSUPPORTED)
    applied = ok("policy", "apply", file)
    assert "batch-http-only: accepted, not enforced" in applied.out
    assert "rules.http" in applied.out
    (again,) = ok("policy", "apply", file, "-o", "json").json
    assert (again["enforced"], again["lint"], again["late"]) == (False, [], [])
    assert "rules.http" in again["fields"][0]["path"]
    rows = {r["name"]: r for r in ok("policy", "list", "-o", "json").json}
    assert rows["web-egress"]["enforced"] is True
    assert rows["batch-http-only"]["enforced"] is False
    ok("policy", "delete", "batch-http-only", "-n", "default")
    assert "batch-http-only" not in ok("policy", "list").out


def test_an_invalid_policy_changes_nothing_and_says_where(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(WEB_EGRESS.replace("matchName: api", "matchname: api"))
    before = ok("policy", "list", "-o", "json").json
    done = fqdnlab("policy", "apply", file)
    assert done.exit == 1
    assert "line 20" in done.err
    assert "matchname" in done.err
    assert ok("policy", "list", "-o", "json").json == before
    assert fqdnlab("policy", "apply", tmp_path / "none.yaml").exit == 2


def test_the_cache_as_cilium_prints_it() -> None:
    entries = ok("fqdn", "cache", "list", "-o", "json").json
    (entry,) = [e for e in entries if e["fqdn"] == "api.example.com."]
    assert set(entry) == {
        "endpoint-id", "fqdn", "ips", "ttl", "lookup-time", "expiration-time", "source",
    }  # fmt: skip
    assert sorted(entry["ips"]) == ["198.51.100.7", "198.51.100.8"]
    assert (entry["ttl"], entry["source"]) == (300, "lookup")
    looked, expires = (datetime.fromisoformat(entry[k]) for k in ("lookup-time", "expiration-time"))
    assert 299 < (expires - looked).total_seconds() < 301
    table = ok("fqdn", "cache", "list").out
    assert "enforced" in table
    assert "198.51.100.8" in table


def lines(*words: str) -> list[dict[str, Any]]:
    return [json.loads(x)["flow"] for x in ok("flows", "-o", "json", *words).out.splitlines()]


def test_flows_by_every_filter() -> None:
    drops = lines("-v", "dropped", "--address", "192.0.2.66")
    assert drops
    assert {(f["verdict"], f["IP"]["destination"]) for f in drops} == {("DROPPED", "192.0.2.66")}
    named = lines("--name", "API.example.com.")
    assert {"l7" in f for f in named} == {True, False}  # its questions, and packets to it
    assert all("api.example.com" in json.dumps(f) for f in named)
    assert {f["l4"]["TCP"]["destination_port"] for f in lines("-p", "80")} == {80}
    assert lines("-e", "web")
    assert not lines("-e", "nobody")
    assert len(lines("-n", "2")) == 2
    assert lines("--since", "10m")
    assert not lines("--until", "2020-01-01T00:00:00Z")
    assert all("UDP" in f["l4"] for f in lines("--protocol", "udp"))
    table = ok("flows", "-v", "DROPPED").out
    assert "192.0.2.66" in table
    assert "FORWARDED" not in table


def follow(*words: str, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "flows", "-f", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        **more,
    )


@pytest.mark.parametrize("output", ["table", "json"])
def test_following_ends_cleanly_on_ctrl_c(output: str) -> None:
    with follow("-o", output, "-n", "1") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == ""


def test_following_ends_when_nobody_reads() -> None:
    with follow("-n", "1") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()

        def ended() -> bool:
            fqdnlab("run", "free", "--", "getent", "hosts", "198.51.100.7")
            fqdnlab("run", "web", "--", "getent", "ahostsv4", "api.example.com")
            return process.poll() is not None

        eventually(ended, 30.0, "`flows -f` to end")
        assert process.returncode == 0
        assert process.stderr.read() == ""


@pytest.fixture
def agent_back() -> Iterator[None]:
    yield
    ok("agent", "restart")


@pytest.mark.usefixtures("agent_back")
def test_faults_and_what_they_do_to_commands(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(WEB_EGRESS)
    killed = ok("agent", "kill")
    assert "agent: dead" in killed.out
    assert "SIGKILL" in killed.out
    for words in (["policy", "apply", str(file)], ["policy", "list"], ["fqdn", "cache", "list"]):
        late = fqdnlab(*words)
        assert late.exit == 3, late
        assert "the agent is dead" in late.err
        assert "fqdnlab agent restart" in late.err
    assert ok("run", "web", "--", "curl", "-sS", "http://api.example.com/").out
    assert "agent: running" in ok("agent", "restart").out
    stopped = ok("proxy", "stop")
    assert "proxy: stopped" in stopped.out
    assert "proxy: running" in ok("proxy", "continue").out
    upgraded = ok("proxy", "upgrade")
    assert "generation 2" in upgraded.out
    assert "agent: running" in ok("agent", "upgrade").out


def test_the_dump_is_the_agents_memory() -> None:
    assert ok("dump").json


def test_what_is_not_there_is_a_usage_error() -> None:
    for words, told in (
        (["run", "nobody", "--", "true"], "nobody"),
        (["endpoint", "delete", "nobody"], "nobody"),
        (["policy", "delete", "nothing"], "nothing"),
        (["endpoint", "add", "Not_A_Name"], "Not_A_Name"),
        (["endpoint", "list", "--lab", "nowhere"], "nowhere"),
        (["down", "nowhere"], "nowhere"),
        (["status", "nowhere"], "nowhere"),
        (["world", "set", "x.org", "not-an-address"], "not-an-address"),
        (["flows", "--since", "yesterday"], "yesterday"),
        (["up", "other", "-s", "no_such=1"], "no_such"),
        (["frobnicate"], "frobnicate"),
    ):
        done = fqdnlab(*words)
        assert done.exit == 2, (words, done)
        assert told in done.err


def test_clean_has_nothing_to_do() -> None:
    assert ok("clean").out == "nothing was left behind\n"

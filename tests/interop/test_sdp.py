"""Cilium's Standalone DNS Proxy in our proxy's place: TPROXY steers to it, our agent tells it the
policy and learns from it, our enforcer judges by that.

It tries its policy stream every 10 s: everything that waits for it has a generous deadline.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from fqdnlab import Lab
from fqdnlab.demo.policies import WEB_EGRESS
from fqdnlab.lab import machine_service
from fqdnlab.lab.endpoint import Endpoint
from fqdnlab.pb import fqdndata_pb2 as pb
from fqdnlab.testing import eventually
from tests.interop import relay, sdp

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
API, API6, MOVED, WWW, EVIL = (
    "198.51.100.7",
    "2001:db8::7",
    "198.51.100.8",
    "198.51.100.20",
    "203.0.113.5",
)
WIDER = WEB_EGRESS.replace("matchName: api.example.com", 'matchPattern: "*.example.*"')
#: Two rounds of its ten seconds, and what a loaded machine adds.
SERVES = 40.0
RELAY_PORT = 10096


def digged(endpoint: Endpoint, name: str, *words: str) -> str:
    """dig's words: status and the answers."""
    return str(endpoint.run(["dig", "+tries=1", "+timeout=2", *words, name]))


def answers(endpoint: Endpoint, name: str, address: str, *words: str) -> bool:
    return f"\t{address}\n" in digged(endpoint, name, *words)


def reaches(endpoint: Endpoint, name: str, address: str) -> bool:
    """Whether curl, given the address, is served from it."""
    url = f"http://{name}/"
    done = endpoint.run(["curl", "-sS", "-m", "2", "--resolve", f"{name}:80:{address}", url])
    return done.ok and f" at {address} " in done.stdout


@contextmanager
def node(name: str) -> Iterator[tuple[Lab, Endpoint]]:
    """A lab whose own proxy is dead, and whose enforcer leaves steering to TPROXY."""
    with Lab(name, steer="tproxy") as lab:
        web = lab.endpoint("web", labels={"app": "web"})
        lab.world["api.example.com"] = [API, API6]
        lab.world["www.example.net"] = [WWW]
        lab.world["evil.example.org"] = [EVIL]
        lab.apply(WEB_EGRESS)
        lab.proxy.kill()
        yield lab, web


@pytest.fixture(scope="module")
def machine() -> Iterator[None]:
    with machine_service():
        yield


@pytest.fixture(scope="module")
def direct(
    machine: None, programs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Lab, Endpoint]]:
    """The proxy speaks to our agent."""
    with node("sdp") as (lab, web):
        sdp.steer(lab.name)
        folder = tmp_path_factory.mktemp("sdp")
        with sdp.running(programs / sdp.PROGRAM, lab.name, folder):
            yield lab, web


@pytest.fixture(scope="module")
def relayed(
    machine: None, programs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Lab, Endpoint, Path]]:
    """The same with a relay between, that keeps what is said."""
    with node("sdp-relayed") as (lab, web), ExitStack() as stack:
        sdp.steer(lab.name)
        folder = tmp_path_factory.mktemp("relayed")
        kept = folder / "calls"
        command = [sys.executable, "-m", "tests.interop.relay"]
        command += [f"127.0.0.1:{RELAY_PORT}", f"127.0.0.1:{sdp.AGENT_PORT}", str(kept)]
        process = subprocess.Popen([*sdp.inside(lab.name), *command], cwd=ROOT)
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
        stack.enter_context(
            sdp.running(programs / sdp.PROGRAM, lab.name, folder, agent_port=RELAY_PORT)
        )
        yield lab, web, kept


@pytest.fixture(scope="module", autouse=True)
def _both_start(direct: object, relayed: object) -> None:
    """At once, so that their twelve seconds are waited for once."""


def test_without_rules_nobody_answers(machine: None) -> None:
    """Fail closed: the question goes nowhere, to the server neither."""
    with node("sdp-alone") as (lab, web):
        assert "status:" not in digged(web, "api.example.com")
        assert lab.world.queries(0) == []


def test_what_it_says_to_our_agent(relayed: tuple[Lab, Endpoint, Path]) -> None:
    """Two calls for an allowed question, one for a refused one; addresses are text."""
    _, web, kept = relayed
    eventually(lambda: answers(web, "api.example.com", API), SERVES, "an answer by Cilium's proxy")
    before = len(relay.read(kept))
    assert answers(web, "api.example.com", API)
    assert "status: REFUSED" in digged(web, "evil.example.org")
    question, answer, refused = eventually(lambda: _three(relay.read(kept)[before:]), 10, "calls")
    for call in (question, answer, refused):
        assert call.response.response == pb.RESPONSE_CODE_NO_ERROR
        assert call.request.source_ip == web.ip4.encode()
    assert {question.request.fqdn, answer.request.fqdn} == {"api.example.com."}
    assert not question.request.record_ip
    assert list(answer.request.record_ip) == [API.encode()]
    assert answer.request.ttl == 60
    assert refused.request.fqdn == "evil.example.org."
    assert not refused.request.record_ip


def _three(calls: list[relay.Call]) -> list[relay.Call]:
    """All of them, when there are three: the client's refusal may be there before the agent's."""
    assert len(calls) >= 3, calls
    return calls


def test_an_allowed_name_is_answered_learned_and_reached(direct: tuple[Lab, Endpoint]) -> None:
    lab, web = direct
    before = sdp.steered(lab.name)
    eventually(lambda: answers(web, "api.example.com", API), SERVES, "an answer by Cilium's proxy")
    assert sdp.steered(lab.name) > before
    known = lab.mappings()
    assert set(zip(known.endpoint, known.name, known.ip, strict=True)) == {
        ("web", "api.example.com.", API)
    }
    assert reaches(web, "api.example.com", API)
    assert not reaches(web, "evil.example.org", EVIL)


def test_the_upstream_sees_the_endpoint(direct: tuple[Lab, Endpoint]) -> None:
    lab, web = direct
    before = lab.world.newest()
    assert answers(web, "api.example.com", API)
    (asked,) = lab.world.queries(before, name="api.example.com")
    assert asked.client == web.ip4


def test_a_denied_name_is_refused_and_never_asked(direct: tuple[Lab, Endpoint]) -> None:
    lab, web = direct
    before = lab.world.newest()
    assert "status: REFUSED" in digged(web, "evil.example.org")
    assert lab.world.queries(before, name="evil.example.org") == []


@pytest.mark.parametrize(
    ("words", "address"),
    [(("+tcp",), API), (("@fd96::10",), API), (("@fd96::10", "+tcp", "-t", "AAAA"), API6)],
    ids=["tcp", "ipv6", "tcp over ipv6, AAAA"],
)
def test_tcp_and_ipv6(direct: tuple[Lab, Endpoint], words: tuple[str, ...], address: str) -> None:
    lab, web = direct
    assert answers(web, "api.example.com", address, *words)
    assert address in set(lab.mappings().ip)


def test_a_new_policy_reaches_it(direct: tuple[Lab, Endpoint]) -> None:
    """It acknowledges (without a number), so that the next snapshot goes out."""
    lab, web = direct
    assert "status: REFUSED" in digged(web, "www.example.net")
    reply = lab.apply(WIDER, timeout=15.0)
    assert not reply.late
    eventually(lambda: answers(web, "www.example.net", WWW), SERVES, "the new name")
    assert reaches(web, "www.example.net", WWW)


def test_with_the_agent_dead_it_resolves_and_the_mapping_is_lost(
    direct: tuple[Lab, Endpoint],
) -> None:
    lab, web = direct
    lab.agent.kill()
    lab.world["api.example.com"] = [MOVED]
    assert answers(web, "api.example.com", MOVED)
    assert reaches(web, "api.example.com", API)
    assert not reaches(web, "api.example.com", MOVED)
    lab.agent.restart()
    assert MOVED not in set(lab.mappings().ip)
    assert not reaches(web, "api.example.com", MOVED)

    def learned() -> bool:
        assert answers(web, "api.example.com", MOVED)
        return MOVED in set(lab.mappings().ip)

    eventually(learned, SERVES, "the mapping of another look-up")
    assert reaches(web, "api.example.com", MOVED)

"""The proxy's end of FQDNData, against a small agent on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from fqdnlab.dns.proxy.agent_link import AgentLink
from fqdnlab.dns.proxy.answers import Answers
from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.counts import Counts
from fqdnlab.dns.proxy.journal import Journal, Kept, peek
from fqdnlab.model.dnsrecord import Early
from fqdnlab.model.settings import LabSettings
from fqdnlab.pb import fqdndata_pb2 as pb
from fqdnlab.pb import fqdndata_pb2_grpc
from tests.unit.dns.kit import SECOND, ask, reply


class SmallAgent(fqdndata_pb2_grpc.FQDNDataServicer):
    """Sends the snapshots it is given; acknowledges mappings, unless it is hung."""

    def __init__(self, *snapshots: pb.PolicyState) -> None:
        self.snapshots = list(snapshots) or [pb.PolicyState(request_id="1")]
        self.responses: list[pb.PolicyStateResponse] = []
        self.mappings: list[pb.Mapping] = []
        self.kept_done = 0
        self.hung = False
        self.refuses = False

    async def StreamPolicyState(self, requests: Any, context: Any) -> Any:
        for snapshot in self.snapshots:
            yield snapshot
            self.responses.append(await anext(requests))
        await asyncio.Event().wait()

    async def StreamMappings(self, requests: Any, context: Any) -> Any:
        async for batch in requests:
            self.mappings += batch.mapping
            self.kept_done += batch.kept_done
            acks = pb.MappingAcks()
            code = pb.RESPONSE_CODE_SERVER_FAILURE if self.refuses else pb.RESPONSE_CODE_NO_ERROR
            until = boottime() + 100 * SECOND
            for m in batch.mapping:
                acks.ack.add(seq=m.seq, response=code, valid_until_ns=until)
            if not self.hung:
                yield acks


class Rig:
    """A link with everything it serves, in one event loop."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.counts = Counts()
        self.sent: list[bytes] = []
        self.taken: list[str] = []
        made = LabSettings(**settings)
        loop = asyncio.get_running_loop()
        self.answers = Answers(loop, made, lambda *_: None, self.counts)
        self.journal = Journal(folder, made.kept_mappings)
        self.link = AgentLink(
            folder / "agent.sock", self.answers, self.journal, made, self.counts, self._take
        )
        self.answers.agent = self.link
        self.server: Any = None

    def _take(self, snapshot: pb.PolicyState) -> None:
        if snapshot.request_id == "bad":
            raise IndexError("a snapshot that cannot be")
        self.taken.append(snapshot.request_id)

    async def serve(self, agent: SmallAgent) -> None:
        self.server = grpc.aio.server()
        fqdndata_pb2_grpc.add_FQDNDataServicer_to_server(agent, self.server)
        self.server.add_insecure_port(f"unix:{self.folder}/agent.sock")
        await self.server.start()
        await until(lambda: self.link.connected)

    async def kill(self) -> None:
        await self.server.stop(0)
        await until(lambda: not self.link.connected)

    def answer(self, address: str = "198.51.100.7", **asked: Any) -> Any:
        t = ask(sent=self.sent, **asked)
        self.answers.answered(t, reply(t, address), boottime())
        return t


async def until(seen: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not seen():
            await asyncio.sleep(0.005)


def play(folder: Path, act: Callable[[Rig], Awaitable[None]], **settings: Any) -> None:
    async def body() -> None:
        rig = Rig(folder, **settings)
        task = asyncio.create_task(rig.link.run())
        try:
            await act(rig)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if rig.server is not None:
                await rig.server.stop(0)
            rig.journal.close()

    asyncio.run(body())


def test_a_mapping_is_handed_over_and_its_answer_released(tmp_path: Path) -> None:
    async def act(rig: Rig) -> None:
        agent = SmallAgent()
        await rig.serve(agent)
        before = boottime()
        t = rig.answer()
        await until(lambda: t.done)
        (m,) = agent.mappings
        assert (m.endpoint_id, m.fqdn, m.ttl, m.kept) == (1, "api.example.com.", 60, False)
        assert list(m.ip) == [bytes([198, 51, 100, 7])]
        assert before <= m.seen_ns <= boottime()  # the agent adds the hold
        assert t.early == Early.NO

    play(tmp_path, act, hold=5.0)


def test_a_snapshot_that_cannot_be_is_refused_and_the_next_is_taken(tmp_path: Path) -> None:
    async def act(rig: Rig) -> None:
        agent = SmallAgent(*(pb.PolicyState(request_id=i) for i in ("1", "bad", "3")))
        await rig.serve(agent)
        await until(lambda: len(agent.responses) == 3)
        codes = [(r.request_id, r.response) for r in agent.responses]
        ok, failed = pb.RESPONSE_CODE_NO_ERROR, pb.RESPONSE_CODE_SERVER_FAILURE
        assert codes == [("1", ok), ("bad", failed), ("3", ok)]
        assert rig.taken == ["1", "3"]

    play(tmp_path, act)


def test_kept_mappings_come_first_in_order_and_once(tmp_path: Path) -> None:
    async def act(rig: Rig) -> None:
        for number in range(300):
            assert rig.answer(name=f"n{number}.example.com").early == Early.AGENT_DEAD
        agent = SmallAgent()
        await rig.serve(agent)
        await until(lambda: not rig.link.busy and not rig.journal.waiting())
        names = [m.fqdn for m in agent.mappings]
        assert names == [f"n{number}.example.com." for number in range(300)]
        assert all(m.kept and m.ttl == 60 for m in agent.mappings)
        assert agent.kept_done == 1
        await rig.kill()
        again = SmallAgent()
        await rig.serve(again)
        await until(lambda: again.kept_done)
        assert again.mappings == []

    play(tmp_path, act)


def test_what_a_dead_agent_did_not_acknowledge_comes_again(tmp_path: Path) -> None:
    async def act(rig: Rig) -> None:
        hung = SmallAgent()
        hung.hung = True
        await rig.serve(hung)
        t = rig.answer()
        await until(lambda: hung.mappings)
        assert not t.done
        await rig.kill()
        await until(lambda: t.done)
        assert t.early == Early.AGENT_DEAD
        assert [k.name for k in peek(rig.folder)] == ["api.example.com."]
        agent = SmallAgent()
        await rig.serve(agent)
        await until(lambda: agent.mappings)
        assert agent.mappings[0].kept

    play(tmp_path, act, hold=30.0)


def test_dropped_where_the_lab_wants_it_so(tmp_path: Path) -> None:
    async def act(rig: Rig) -> None:
        rig.answer()
        assert rig.counts.lost_mappings == 1
        agent = SmallAgent()
        await rig.serve(agent)
        await until(lambda: agent.kept_done)
        assert agent.mappings == []

    play(tmp_path, act, agent_dead="drop")


def test_a_refused_mapping_releases_and_marks(tmp_path: Path) -> None:
    async def act(rig: Rig) -> None:
        agent = SmallAgent()
        agent.refuses = True
        await rig.serve(agent)
        t = rig.answer()
        await until(lambda: t.done)
        assert (t.early, rig.counts.refused_mappings) == (Early.REFUSED, 1)

    play(tmp_path, act, hold=30.0)


def test_another_generation_s_leavings_are_handed_over(tmp_path: Path) -> None:
    """One that still drains keeps something after this one has taken all."""

    async def act(rig: Rig) -> None:
        agent = SmallAgent()
        await rig.serve(agent)
        await until(lambda: agent.kept_done)
        Journal(rig.folder, 10).keep(Kept(1, "late.example.com.", (bytes(4),), 5))
        rig.link.hand_over_late()
        await until(lambda: agent.mappings)
        assert (agent.mappings[0].fqdn, agent.mappings[0].kept) == ("late.example.com.", True)
        await until(lambda: not rig.journal.waiting())

    play(tmp_path, act)

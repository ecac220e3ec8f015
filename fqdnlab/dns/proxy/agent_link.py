"""The proxy's end of FQDNData: snapshots in, mappings out, both on open streams.

Connecting again is a matter of a tenth of a second; nothing here ever blocks an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fqdnlab.dns.proxy.answers import Answers, Held
from fqdnlab.dns.proxy.clock import boottime
from fqdnlab.dns.proxy.counts import Counts
from fqdnlab.dns.proxy.journal import Journal, Kept
from fqdnlab.model.settings import LabSettings
from fqdnlab.pb import fqdndata_pb2 as pb

__all__ = ["AgentLink"]

_log = logging.getLogger(__name__)
_RETRY = 0.1
_BATCH = 128
_MESSAGE = 256 << 20
_OPTIONS = [
    ("grpc.max_receive_message_length", _MESSAGE),
    ("grpc.max_send_message_length", _MESSAGE),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.enable_retries", 0),
]


def _import_grpc() -> tuple[Any, Any]:
    import grpc

    from fqdnlab.pb import fqdndata_pb2_grpc

    return grpc, fqdndata_pb2_grpc


class AgentLink:
    """The streams to the agent, as long as there is one.

    Parameters
    ----------
    path : Path
        The agent's socket.
    answers : Answers
    journal : Journal
    settings : LabSettings
    counts : Counts
    take_policy : callable
        Given each snapshot; what it has done is then acknowledged (way 1.8).
    """

    def __init__(
        self,
        path: Path,
        answers: Answers,
        journal: Journal,
        settings: LabSettings,
        counts: Counts,
        take_policy: Callable[[pb.PolicyState], None],
    ) -> None:
        self._path = path
        self._answers = answers
        self._journal = journal
        self._keep = settings.agent_dead == "reconcile"
        self._counts = counts
        self._take_policy = take_policy
        self._out: list[Held] = []
        self._sent: dict[int, Held] = {}
        self._wake = asyncio.Event()
        self._sequence = 0
        self._kept_files: list[Path] = []
        self._kept_left = 0
        self.connected = False
        self.ready = asyncio.Event()
        self.connections = 0

    # ------------------------------------------------------------ for answers

    def hand_over(self, held: Held) -> None:
        """Way 2.7."""
        self._out.append(held)
        self._wake.set()

    def keep(self, mapping: Kept) -> None:
        """For the agent that comes; or not, as the lab wants it."""
        if self._keep:
            self._journal.keep(mapping)
        else:
            self._counts.lost_mappings += 1

    @property
    def busy(self) -> bool:
        """Whether something handed over is not acknowledged yet."""
        return bool(self._out or self._sent)

    # ------------------------------------------------------------ life

    async def run(self) -> None:
        """Connect, serve, connect again; until cancelled."""
        # A quarter of a second to import: serving does not wait for it.
        grpc, stubs = await asyncio.get_running_loop().run_in_executor(None, _import_grpc)
        while True:
            try:
                async with grpc.aio.insecure_channel(f"unix:{self._path}", _OPTIONS) as channel:
                    await self._serve(stubs.FQDNDataStub(channel))
            except (grpc.RpcError, grpc.aio.UsageError, asyncio.InvalidStateError, OSError) as e:
                if self.connected:
                    _log.warning("the agent is gone: %s", type(e).__name__)
            except Exception:  # whatever it was, the next connection may do
                _log.exception("the link to the agent")
            finally:
                self._gone()
            await asyncio.sleep(_RETRY)

    async def _serve(self, stub: Any) -> None:
        policies = stub.StreamPolicyState()
        tasks: set[asyncio.Task[None]] = set()
        try:
            snapshot = await policies.read()
            if not isinstance(snapshot, pb.PolicyState):
                return
            await self._policy(policies, snapshot)
            mappings = stub.StreamMappings()
            self._connect()
            tasks = {
                asyncio.create_task(self._policies(policies)),
                asyncio.create_task(self._send(mappings)),
                asyncio.create_task(self._acks(mappings)),
            }
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            policies.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _connect(self) -> None:
        self.connected = True
        self.connections += 1
        self._answers.forget_leases()  # another agent may have promised nothing
        self._load_kept()
        self.ready.set()
        _log.info("connected to the agent")

    def _load_kept(self) -> None:
        kept, self._kept_files = self._journal.take()
        self._kept_left = len(kept)
        self._out[:0] = [Held(mapping, (0, b""), kept=True) for mapping in kept]
        self._wake.set()
        self._forget_files()

    def _gone(self) -> None:
        """Whatever waits for the agent waits no more."""
        self.connected = False
        waiting = [*self._sent.values(), *self._out]
        self._sent.clear()
        self._out.clear()
        self._kept_files = []  # stay on disk, to be handed over again
        for held in waiting:
            if not held.kept:
                self._answers.agent_gone(held)

    # ------------------------------------------------------------ policy

    async def _policies(self, call: Any) -> None:
        while True:
            snapshot = await call.read()
            if not isinstance(snapshot, pb.PolicyState):
                return
            await self._policy(call, snapshot)

    async def _policy(self, call: Any, snapshot: pb.PolicyState) -> None:
        response = pb.RESPONSE_CODE_NO_ERROR
        try:
            self._take_policy(snapshot)
        except Exception:  # it stays as it was, and the agent says who is late
            _log.exception("snapshot %s", snapshot.request_id)
            response = pb.RESPONSE_CODE_SERVER_FAILURE
        reply = pb.PolicyStateResponse(response=response, request_id=snapshot.request_id)
        await call.write(reply)

    # ------------------------------------------------------------ mappings

    async def _send(self, call: Any) -> None:
        told_done = False
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._out or not told_done:
                batch, rest = self._out[:_BATCH], self._out[_BATCH:]
                self._out = rest
                message = pb.MappingBatch(mapping=[self._message(held) for held in batch])
                if not told_done and not any(held.kept for held in rest):
                    message.kept_done = told_done = True
                await call.write(message)

    def _message(self, held: Held) -> pb.Mapping:
        self._sequence += 1
        self._sent[self._sequence] = held
        mapping = held.mapping
        return pb.Mapping(
            seq=self._sequence,
            endpoint_id=mapping.endpoint,
            fqdn=mapping.name,
            ip=mapping.addresses,
            ttl=mapping.ttl,
            seen_ns=boottime(),  # the agent allows for the hold: a client may be told that late
            kept=held.kept,
        )

    async def _acks(self, call: Any) -> None:
        while True:
            acks = await call.read()
            if not isinstance(acks, pb.MappingAcks):
                return
            if acks.forget_leases:
                self._answers.forget_leases()
            for ack in acks.ack:
                held = self._sent.pop(ack.seq, None)
                if held is None:
                    continue
                if held.kept:
                    self._kept_left -= 1
                    self._forget_files()
                else:
                    accepted = ack.response == pb.RESPONSE_CODE_NO_ERROR
                    self._answers.acknowledged(held, ack.valid_until_ns if accepted else 0)

    def _forget_files(self) -> None:
        if self._kept_left <= 0:
            for path in self._kept_files:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
            self._kept_files = []

    def hand_over_late(self) -> None:
        """Another generation, still draining, may have kept something since."""
        if self.connected and not self._kept_files and self._journal.waiting():
            self._load_kept()

"""From a question's octets to the answers' octets, whatever the transport."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from fqdnlab.dns.dnslib_codec import rcode_number
from fqdnlab.world import mangle
from fqdnlab.world.behaviour import Behaviour, Behaviours
from fqdnlab.world.log import QueryLog
from fqdnlab.world.mangle import Reply
from fqdnlab.world.store import Store
from fqdnlab.world.wire import (
    AAAA,
    MAX_UDP,
    A,
    Answer,
    MalformedError,
    Question,
    build,
    compile_answer,
    header_only,
    parse_question,
    truncated,
)
from fqdnlab.world.zone import Found

__all__ = ["Forward", "Responder"]

_MAX_TCP = 65535
_NO_EDNS = 512
_FORMERR, _NOTIMP, _REFUSED = 1, 4, 5
_IN, _ANY_CLASS = 1, 255
_CACHED = 50_000  # answers

#: (target, message, over TCP) → the target's answer, or None if it gave none.
Forward = Callable[[str, bytes, bool], Awaitable[bytes | None]]
Deferred = tuple[Question, Behaviour]


class Responder:
    """Answers questions from a store, with its behaviours, and logs them.

    Parameters
    ----------
    store, behaviours, log
        What it answers from and writes to; all belong to the event loop.
    """

    def __init__(self, store: Store, behaviours: Behaviours, log: QueryLog) -> None:
        self._store = store
        self._behaviours = behaviours
        self._log = log
        self._cache: dict[tuple[bytes, bytes], Answer] = {}

    def changed(self) -> None:
        """Forget answers put together before a change of the store."""
        self._cache.clear()

    def respond(
        self, data: bytes, server: bytes, client: tuple[str, int], transport: str
    ) -> Sequence[Reply] | Deferred:
        """Answer one message.

        Returns
        -------
        list of Reply
            None, one, or more.
        (Question, Behaviour)
            If the answer is to come from elsewhere: `Behaviour.forward`.
        """
        try:
            question = parse_question(data)
        except MalformedError as error:
            self._log.malformed_ever += 1
            return [Reply(header_only(data, _FORMERR))] if error.answerable else []
        self._log.add(
            client, server, question.name, question.key, question.type, question.id, transport
        )
        limit = _MAX_TCP
        if transport == "udp":
            limit = min(question.size, MAX_UDP) if question.size else _NO_EDNS
        if self._behaviours:
            behaviour = self._behaviours.of(server, question.key[:-4], question.type, transport)
            if behaviour is not None:
                if behaviour.drops():
                    return []
                if behaviour.forward:
                    return question, behaviour
                return self._misbehave(question, behaviour, server, transport, limit)
        return [Reply(build(question, self._answer(question, server), limit))]

    # ------------------------------------------------------------ good answers

    def _answer(self, question: Question, server: bytes) -> Answer:
        key = (server if server in self._store.servers else b"", question.key)
        answer = self._cache.get(key)
        if answer is None:
            answer = self._compile(question, self._find(question, server))
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[key] = answer
        # An opcode other than QUERY is in the flags, not in the key.
        if question.flags & 0x7800:
            return compile_answer(question.name, _NOTIMP, (), flags=0)
        return answer

    def _find(self, question: Question, server: bytes) -> Found:
        if question.qclass not in (_IN, _ANY_CLASS):
            return Found(rcode=_REFUSED)
        return self._store.find(server, question.key[:-4], question.type)

    @staticmethod
    def _compile(question: Question, found: Found) -> Answer:
        return compile_answer(question.name, found.rcode, found.answer, found.authority)

    # ------------------------------------------------------------ others

    def _misbehave(
        self, question: Question, how: Behaviour, server: bytes, transport: str, limit: int
    ) -> list[Reply]:
        replies = [
            mangle.forged(question, word, how.wrong_addresses, server, limit) for word in how.wrong
        ]
        if transport != "udp":  # a stream has one port, one address
            replies = [reply for reply in replies if not reply.port and not reply.source]
        if how.instead:
            return [reply._replace(delay=how.delay) for reply in replies]
        # Forgers are quick: the delay is the true answer's.
        true = self._true_one(question, how, server, transport, limit)
        return [*replies, Reply(true, delay=how.delay)]

    def _true_one(
        self, question: Question, how: Behaviour, server: bytes, transport: str, limit: int
    ) -> bytes:
        answer = self._varied(question, how, server)
        if how.extra:
            answer = mangle.poison(answer, how.extra_records())
        if how.truncate and transport == "udp":
            data = truncated(question, answer, limit)
        else:
            data = build(question, answer, limit)
        return mangle.malformed(how.malformed, question, data) if how.malformed else data

    def _varied(self, question: Question, how: Behaviour, server: bytes) -> Answer:
        if how.rcode:
            return compile_answer(question.name, rcode_number(how.rcode), ())
        if not how.limit and not how.rotate_each:
            return self._answer(question, server)
        found = self._find(question, server)
        if how.limit:
            addresses = [r for r in found.answer if r.type in (A, AAAA)]
            gone = set(addresses[how.limit :])
            found.answer = [r for r in found.answer if r not in gone]
        if how.rotate_each:
            for name in found.names:
                self._store.rotate(server, name)
            self.changed()
        return self._compile(question, found)

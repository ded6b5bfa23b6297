"""One connection of a peer: it says who it is, asks, and is answered; whoever is silent, slow or wrong is ended.

Runs on the loop of the process and never waits: no connection holds up another one. Owns nothing that outlasts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NamedTuple, cast

from app.core import log
from app.core.errors import Exhausted, Unavailable
from app.s13 import answer, avps, greeting
from app.s13.avps import Command, Message, Refused, Result
from app.s13.crowd import Crowd
from app.s13.frames import Broken, Frames
from app.s13.peers import Identity, Peer, Peers
from app.s13.questions import Question, Questions
from app.s13.seldom import Seldom

# Seconds: to say who one is; to end a message that was begun; to take answers; to be silent before we ask, and after.
HELLO, MESSAGE, TAKES, SILENCE = 10.0, 10.0, 10.0, 30.0
# To take the last that was said to one.
LAST_WORD = 1.0
# Questions of one connection; while there are as many, no more are read from it.
MOST = 2048
# Messages of one connection that are read before it is another one's turn.
TURN = 128

_LOG = log.get("s13")


class House(NamedTuple):
    """What all connections of a process share. `unknown` is the setting for unknown equipment, `numbers` are those of
    our own requests, each given once."""

    ours: Identity
    peers: Peers
    unknown: str
    questions: Questions
    crowd: Crowd
    open: set[Connection]
    warnings: Seldom
    numbers: Iterator[int]


class Connection(asyncio.Protocol):
    """A stranger until its capabilities were welcomed, then a peer, until it or we say farewell."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._peer: Peer | None = None
        self._address = ""
        self._counted = False
        self._under_way = dict[asyncio.Task[None], Message]()
        self._heard = self._since = self._loop.time()
        self._wondering = False
        self._choked_since: float | None = None
        self._goodbye: Message | None = None
        self._leaving = self._behind = False
        self._why = "the peer has closed the connection"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._address = str((transport.get_extra_info("peername") or ("?",))[0])
        self._counted = self._house.crowd.enter(self._address)
        if self._counted:
            self._house.open.add(self)
            return
        self._house.warnings.warn("s13.crowded", address=self._address)
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._house.open.discard(self)
        if self._counted:
            self._house.crowd.leave(self._address, self._peer.host if self._peer else None)
        for task in self._under_way:
            task.cancel()
        if self._peer:
            why = str(error) if error else self._why
            _LOG.info("s13.peer_down", peer=self._peer.host, address=self._address, why=why)

    def data_received(self, data: bytes) -> None:
        self._heard, self._wondering = self._loop.time(), False
        self._frames.add(data, self._heard)
        self._read()

    def _read(self) -> None:
        try:
            self._behind = self._read_some()
        except Broken as error:
            self._turn_away(f"it sent what is not Diameter: {error}")
        if self._behind:
            self._loop.call_soon(self._read)
        self._flow()

    def _read_some(self) -> bool:
        """Whether there is more to read than is done in one turn."""
        for _ in range(TURN):
            data = None if self._full else self._frames.next(self._loop.time())
            if data is None:
                return False
            self._take(avps.read(data))
        return True

    @property
    def _full(self) -> bool:
        """Nothing more is taken for now, or ever; what cannot be taken stays with the peer."""
        held_up = len(self._under_way) >= MOST or self._choked_since is not None
        return held_up or self._goodbye is not None or self._transport.is_closing()

    def _flow(self) -> None:
        if self._transport.is_closing():
            return
        if self._full or self._behind:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        self._choked_since = self._loop.time()
        self._flow()

    def resume_writing(self) -> None:
        self._choked_since = None
        self._loop.call_soon(self._read)

    def _take(self, message: Message) -> None:
        if not message.is_request:
            self._answered(message)
        elif self._peer is None and message.command != Command.CAPABILITIES:
            self._turn_away("it did not say who it is")
        elif message.command == Command.CAPABILITIES:
            self._greet(message)
        elif message.command == Command.WATCHDOG:
            self._send(greeting.done(message, self._house.ours))
        elif message.command == Command.DISCONNECT:
            self._goodbye, self._why = message, "the peer has said farewell"
            self._end_when_done()
        else:
            self._ask(message)

    def _answered(self, message: Message) -> None:
        """To what we asked: a watchdog has done its work by being heard."""
        if message.command == Command.DISCONNECT and self._leaving:
            self._goodbye = message
            self._end_when_done()

    def _greet(self, message: Message) -> None:
        ours, was = self._house.ours, self._peer
        try:
            peer = self._known(message)
        except Refused as why:
            self._send(greeting.unwelcome(message, ours, why))
            self._turn_away(why.sentence)
            return
        self._peer = peer
        self._send(greeting.welcome(message, ours, self._own_address))
        if was is None:
            _LOG.info("s13.peer_up", peer=peer.host, address=self._address)

    def _known(self, message: Message) -> Peer:
        """Who it is, and goes on being: it may say hello again."""
        peer = greeting.known(message, self._house.peers)
        if self._peer not in (None, peer):
            raise Refused(Result.UNKNOWN_PEER, "On this connection it has called itself otherwise.")
        if self._peer is None and not self._house.crowd.join(self._address, peer.host):
            raise Refused(Result.TOO_BUSY, "This peer has too many connections already.")
        return peer

    @property
    def _own_address(self) -> str:
        return str(self._transport.get_extra_info("sockname")[0]).partition("%")[0]

    def _ask(self, message: Message) -> None:
        try:
            key = answer.asked(message, self._house.ours)
        except Refused as why:
            self._send(answer.refused(message, self._house.ours, why))
            return
        assert self._peer
        task = self._loop.create_task(self._answer(message, Question(self._peer.key_id, key)))
        self._under_way[task] = message
        task.add_done_callback(self._settled)

    async def _answer(self, message: Message, question: Question) -> None:
        ours = self._house.ours
        try:
            told = await self._house.questions.ask(question, answer.place(message))
            answer.allowed(told.asker)
            self._send(answer.told(message, ours, told.standing.status, self._house.unknown))
        except Refused as why:
            self._send(answer.refused(message, ours, why))
        except Exhausted as error:
            self._send(answer.refused(message, ours, Refused(Result.TOO_BUSY, error.detail)))
        except Unavailable as error:
            self._house.warnings.warn("s13.database_away", error=error.detail)
            self._send(answer.refused(message, ours, answer.away()))
        except Exception:
            _LOG.exception("s13.failed")
            fault = Refused(Result.UNABLE_TO_COMPLY, "A fault of the gateway's own.")
            self._send(answer.refused(message, ours, fault))

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        self._end_when_done()
        if len(self._under_way) == MOST - 1:
            self._read()

    def _send(self, message: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(message)

    def _end_when_done(self) -> None:
        """A farewell is complete once all that was asked before is answered; who asked for it is answered last."""
        if self._goodbye is None or self._under_way:
            return
        if self._goodbye.is_request:
            self._send(greeting.done(self._goodbye, self._house.ours))
        self._close()

    def _turn_away(self, why: str) -> None:
        """A stranger is told of as such; a peer goes down for it."""
        self._why = why
        if self._peer is None:
            self._house.warnings.warn("s13.turned_away", address=self._address, why=why)
        self._close()

    def _close(self) -> None:
        """After what was said before, if it is taken in time."""
        self._transport.close()
        self._loop.call_later(LAST_WORD, self._transport.abort)

    def look(self, now: float) -> None:
        """Called every second: whoever has kept us waiting for too long is asked whether it is there, or ended."""
        late = self._late(now)
        if self._transport.is_closing():
            return
        if late:
            self._turn_away(late)
        elif self._peer and now - self._heard > SILENCE and not self._wondering:
            self._wondering, self._since = True, now
            self._send(greeting.watchdog(self._house.ours, next(self._house.numbers)))

    def _late(self, now: float) -> str:
        """Why it is to be ended; mostly it is not."""
        if self._peer is None and now - self._since > HELLO:
            return f"it did not say who it is within {HELLO:g} s"
        if self._choked_since is not None and now - self._choked_since > TAKES:
            return f"it took no answers for {TAKES:g} s"
        if self._frames.begun is not None and not self._full and now - self._frames.begun > MESSAGE:
            return f"it began a message and did not end it within {MESSAGE:g} s"
        if self._wondering and now - self._since > SILENCE:
            return f"it was silent for {2 * SILENCE:g} s"
        return ""

    def leave(self) -> None:
        """Says farewell; what was asked before is answered all the same."""
        self._leaving, self._why = True, "the gateway has said farewell"
        if self._peer is None:
            self._transport.abort()
        else:
            self._send(greeting.farewell(self._house.ours, next(self._house.numbers)))

    def give_up(self) -> None:
        """Tells those who still wait that they are not answered here, and ends."""
        for message in self._under_way.values():
            self._send(answer.refused(message, self._house.ours, answer.away()))
        self._under_way.clear()
        self._close()

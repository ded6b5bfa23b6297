"""How a worker reaches its partners: one adapter and one wire for each, made anew when settings change.

A partner that cannot be made ready (a key is missing, its adapter is not installed) fails like one that is down:
its row says why, and all others are told.
"""

from __future__ import annotations

import asyncio
import hashlib
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from app.adapters import registry
from app.adapters.contract import (
    Adapter,
    Answer,
    Batch,
    Files,
    Holding,
    Kind,
    Order,
    PartnerFault,
    Place,
    Reply,
    Report,
    Wire,
)
from app.core import log
from app.core.db import Connection
from app.core.errors import GatewayError
from app.core.imei import shown
from app.core.keyring import Keyring
from app.delivery import partners
from app.delivery.partners import Partner
from app.delivery.wire import HttpWire

_LOG = log.get("delivery")


class Contact(msgspec.Struct, frozen=True, weakref=True):
    """A partner that can be called; `partner` is its row as it was then, its secrets sealed, and `secrets` are those
    that nothing told about it may repeat."""

    partner: Partner
    adapter: Adapter
    wire: HttpWire
    secrets: tuple[str, ...] = ()


class Contacts:
    """The contacts of one worker process. A partner's connections are its own: a bulkhead."""

    def __init__(self, open_wire: Callable[[Partner], HttpWire], keyring: Keyring) -> None:
        """`open_wire` is handed the partner with its secrets opened."""
        self._open_wire = open_wire
        self._keyring = keyring
        self._known: dict[int, Contact] = {}
        self._open: set[HttpWire] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def of(self, conn: Connection, partner_id: int) -> Contact:
        """The contact for a partner, by its row as it stands now. Its connections stay open as long as anybody keeps
        it, also when the partner has got another meanwhile: calls under way end on the wire they began on."""
        partner = await partners.find(conn, partner_id)
        known = self._known.get(partner_id)
        if known and _terms(known.partner) == _terms(partner):
            return known
        contact = self._made(partner)
        self._known[partner_id] = contact
        self._open.add(contact.wire)
        # Whoever calls the partner has the contact in hand. When nobody does any more, here neither, this is called.
        close = weakref.finalize(contact, self._unused, asyncio.get_running_loop(), contact.wire)
        close.atexit = False
        return contact

    def _made(self, partner: Partner) -> Contact:
        try:
            opened = partner.opened(self._keyring)
            adapter = registry.make(partner.adapter, opened.settings)
            secrets = registry.secrets(partner.adapter, opened.settings)
            return Contact(
                partner, adapter, self._open_wire(opened), (*secrets, opened.tls.get("private_key", ""))
            )
        except GatewayError as error:
            return Contact(partner, Unready(error.detail), HttpWire())

    async def forget_removed(self, conn: Connection) -> None:
        """Lets go of partners that were removed."""
        if self._known:
            for partner_id in await partners.removed(conn, list(self._known)):
                self._known.pop(partner_id, None)

    def _unused(self, loop: asyncio.AbstractEventLoop, wire: HttpWire) -> None:
        # Python may find out in any thread, and when all is over.
        if wire in self._open and not loop.is_closed():
            loop.call_soon_threadsafe(self._close_aside, wire)

    def _close_aside(self, wire: HttpWire) -> None:
        if wire in self._open:
            self._open.remove(wire)
            closing = asyncio.ensure_future(_close(wire))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Closes every connection."""
        wires = list(self._open)
        self._open.clear()
        self._known.clear()
        for wire in wires:
            await wire.close()
        await asyncio.gather(*self._closing)


async def _close(wire: HttpWire) -> None:
    try:
        await wire.close()
    except Exception as error:  # nobody needs it any more
        _LOG.debug("contact.not_closed", error=repr(error))


def _terms(partner: Partner) -> tuple[Any, ...]:
    return partner.settings, partner.limits, partner.tls, partner.allow_private


class NotReady(PartnerFault):
    """The partner was not called: we could not."""


class Unready:
    """Stands in an adapter's place where none can be made: whatever it is asked for is a fault that says why."""

    kind: ClassVar[str] = "unready"
    title: ClassVar[str] = "No adapter"
    settings: ClassVar[type[msgspec.Struct]] = msgspec.Struct
    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    enrols: ClassVar[bool] = False
    batch_size = 500

    def __init__(self, why: str) -> None:
        self._why = why

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        raise NotReady(self._why)

    async def poll(self, wire: Wire, at: datetime) -> Sequence[Report]:
        raise NotReady(self._why)

    async def put_away(self, names: Sequence[str], wire: Wire) -> None:
        raise NotReady(self._why)

    async def publish(self, key: str, orders: Iterable[Order], wire: Wire, at: datetime) -> Answer:
        raise NotReady(self._why)

    async def holdings(self, wire: Wire, at: datetime) -> Sequence[Holding]:
        raise NotReady(self._why)


class Witnessed:
    """A wire that remembers, for the audit log, what went over it: hashes, statuses, never contents."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.exchanges: list[dict[str, Any]] = []

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        asked = hashlib.sha256(f"{method} {url}\n".encode() + body).hexdigest()
        exchange: dict[str, Any] = {"request_sha256": asked}
        self.exchanges.append(exchange)
        reply = await self._wire.send(method, url, headers=headers, body=body)
        exchange["status"] = reply.status
        exchange["reply_sha256"] = hashlib.sha256(reply.body).hexdigest()
        return reply

    def files(self, place: Place) -> Files:
        return _WitnessedFiles(self._wire.files(place), self.exchanges)


class _WitnessedFiles:
    """Files of which it is remembered what was written, read and moved; what was begun and not done has no `did`."""

    def __init__(self, files: Files, exchanges: list[dict[str, Any]]) -> None:
        self._files = files
        self._exchanges = exchanges

    async def names(self) -> Sequence[str]:
        return await self._files.names()

    async def read(self, name: str) -> bytes:
        exchange = self._begun(name)
        body = await self._files.read(name)
        exchange |= {"did": "read", "sha256": hashlib.sha256(body).hexdigest()}
        return body

    async def write(self, name: str, body: bytes) -> None:
        exchange = self._begun(name, sha256=hashlib.sha256(body).hexdigest())
        await self._files.write(name, body)
        exchange["did"] = "written"

    async def move(self, name: str, to: str) -> None:
        exchange = self._begun(name, to=shown(to, 200))
        await self._files.move(name, to)
        exchange["did"] = "moved"

    def _begun(self, name: str, **known: str) -> dict[str, Any]:
        exchange: dict[str, Any] = {"file": shown(name, 200), **known}
        self._exchanges.append(exchange)
        return exchange

"""What an adapter is: a batch of orders in, one answer per order out.

The engine owns everything else: when to send, how often, what to record. An adapter speaks through the
`Wire` that it is handed and never opens a connection of its own; the batch carries the time.

    PartnerFault        the call as a whole came to nothing; no order was answered
    ├── NoAnswer        nothing whole came back (refused, reset, timed out, too large): outcome unknown
    │   └── OutOfTime   nothing more is begun, for the time that this was given is over
    ├── Throttled       the partner asks us to slow down (429)
    │   └── Overloaded  so does a gate before it (503 with Retry-After): outcome unknown
    ├── Failing         a server error, or an answer that nobody can understand
    ├── Denied          our credentials are not accepted (401, 403): a person must look
    └── Gone            the endpoint wants no more calls (410): a person must look
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol, runtime_checkable

import msgspec


class Op(StrEnum):
    """What a partner is told about an identifier. The state is absolute: telling it twice changes nothing."""

    ENROL = "enrol"
    BLOCK = "block"
    RELEASE = "release"


class Kind(StrEnum):
    """What a partner can block by."""

    IMEI = "imei"
    SERIAL = "serial"


class Outcome(StrEnum):
    """What a partner's answer means for one identifier.

    `retry` and `unknown` are sent again under the same key; whatever is not understood is `unknown`.
    """

    DONE = "done"
    ALREADY = "already"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    RETRY = "retry"
    UNKNOWN = "unknown"


class Order(msgspec.Struct, frozen=True):
    """One identifier's wanted state. Either `imei` (15 digits) or `serial` (with its `gtin`, may be empty). `ref` is
    the partner's own reference of the block that it holds, where its answer named one: of that which is to be
    released, or of one that is told again."""

    key: int
    version: int
    imei: str = ""
    serial: str = ""
    gtin: str = ""
    ref: str = ""

    @property
    def kind(self) -> Kind:
        return Kind.IMEI if self.imei else Kind.SERIAL

    @property
    def name(self) -> str:
        """The identifier as the partner writes it."""
        return self.imei or self.serial


class Batch(msgspec.Struct, frozen=True):
    """Orders for one call. `key` is the same on every repeat of the call; `at` is when it is sent (UTC). `number`
    grows: of two batches about one identifier, that with the smaller one was decided first.

    `tried` says that these orders may have reached the partner before, and when they last may have (on the clock
    of `at`; `at` itself where nobody knows). Where a second telling does harm, an adapter looks first.
    """

    key: str
    op: Op
    orders: tuple[Order, ...]
    at: datetime
    reason: str = "theft"
    reference: str = ""
    since: datetime | None = None
    tried: datetime | None = None
    number: int = 0


class Answer(msgspec.Struct, frozen=True):
    """What the partner said about one order: our reading, its code, its own words, its own reference."""

    outcome: Outcome
    code: str = ""
    words: str = ""
    ref: str = ""


class Confirmation(msgspec.Struct, frozen=True):
    """A result that a partner reports later, about an order that it had `accepted`. What it reports beside that has
    the outcome `unknown` and, as its code, the partner's word: it is counted as ignored, and logged."""

    name: str
    op: Op
    answer: Answer


class Report(msgspec.Struct, frozen=True):
    """What a partner has left for us to fetch, as an acknowledgement file. `name` tells it from others, also from
    a later one that has its name there; `words` are about what in it nobody understands."""

    name: str
    confirmations: tuple[Confirmation, ...]
    words: str = ""


class Holding(msgspec.Struct, frozen=True):
    """An identifier that a partner holds blocked, by whosoever's word, and its own reference of that block."""

    name: str
    ref: str = ""


class Reply(msgspec.Struct, frozen=True):
    """A partner's whole answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Place(msgspec.Struct, frozen=True):
    """Where files are exchanged: a directory below the one that the worker allows (`file:///name`), or one of an
    SFTP server (`sftp://host:port/path`), whose host key must be `host_key` (a line of known_hosts without hosts).
    """

    url: str
    user: str = ""
    password: str = ""
    private_key: str = ""
    host_key: str = ""

    def __repr__(self) -> str:
        return f"Place({self.url!r})"


class Files(Protocol):
    """A directory where files are exchanged. Every method raises NoAnswer where nothing whole came back in time,
    Denied where our credentials are not accepted, and Failing where it cannot be done: there is no such file, it
    is too large, we may not."""

    async def names(self) -> Sequence[str]:
        """The files that stand there whole, in order of their names."""
        ...

    async def read(self, name: str) -> bytes: ...

    async def write(self, name: str, body: bytes) -> None:
        """Puts a file there under a temporary name, and then gives it its own; nobody sees half of it. One of that
        name is replaced."""
        ...

    async def move(self, name: str, to: str) -> None:
        """Gives a file another name, in a directory below this one where it holds a `/`, which is made if it is
        missing. One of that name is replaced."""
        ...


class Wire(Protocol):
    """The one way out."""

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        """Raises NoAnswer when nothing whole came back within the deadline and the byte cap."""
        ...

    def files(self, place: Place) -> Files:
        """The files at a place. Raises Denied where this worker may not go there at all."""
        ...


class Adapter(Protocol):
    """One partner protocol, made from the settings of one partner row.

    `settings` is a msgspec Struct (fields marked `Meta(extra={"secret": True})` are never shown again);
    `kinds` are the identifiers it can speak of; `enrols` says that devices must be enrolled at goods-in.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    settings: ClassVar[type[msgspec.Struct]]
    kinds: ClassVar[frozenset[Kind]]
    enrols: ClassVar[bool]

    def __init__(self, settings: Any) -> None: ...

    @property
    def batch_size(self) -> int:
        """The most orders that one call may carry."""
        ...

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        """Tell the partner; one answer per order, in the batch's order. Raises PartnerFault only."""
        ...


@runtime_checkable
class Confirms(Protocol):
    """An adapter whose partner reports results later, to `POST /v1/partners/{id}/confirmations`."""

    def announced(self, headers: Mapping[str, str], now: datetime) -> None:
        """Raises errors.Unauthorised where no message of this partner has such headers: then the body, which
        anybody may have sent, is not looked at."""
        ...

    def confirmations(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Sequence[Confirmation]:
        """The results in a signed message. Raises errors.Unauthorised (signature) or errors.Invalid (form)."""
        ...


@runtime_checkable
class Polls(Protocol):
    """An adapter whose partner leaves its results for us to fetch."""

    async def poll(self, wire: Wire, at: datetime) -> Sequence[Report]:
        """What has been left since it was put away; where the wire is OutOfTime, what was read until then. Raises
        PartnerFault only."""
        ...

    async def put_away(self, names: Sequence[str], wire: Wire) -> None:
        """These reports are booked: they are not to be read again. One that is gone already is no fault. Raises
        PartnerFault only, where one cannot be put away; the others are."""
        ...


@runtime_checkable
class Holds(Protocol):
    """An adapter whose partner can be asked which identifiers it holds blocked."""

    async def holdings(self, wire: Wire, at: datetime) -> Sequence[Holding]:
        """All of them. Raises PartnerFault only."""
        ...


@runtime_checkable
class Indivisible(Protocol):
    """An adapter whose batches fail for no order's sake, as files that are left somewhere do; the partner would take a
    part of one for something new. They are repeated whole, where others are told in halves."""

    indivisible: ClassVar[bool]


@runtime_checkable
class Lists(Protocol):
    """An adapter whose partner also takes the whole list of what is blocked, in place of what it had."""

    async def publish(self, key: str, orders: Iterable[Order], wire: Wire, at: datetime) -> Answer:
        """Tells the partner that these are blocked and nothing else is; one answer for all. Each try has a `key` and
        an `at` of its own, for it may be of other orders. Raises PartnerFault only."""
        ...


class PartnerFault(Exception):
    """The call as a whole came to nothing. The text never holds a secret."""

    outcome: ClassVar[Outcome] = Outcome.RETRY


class NoAnswer(PartnerFault):
    """Nothing whole came back: the partner may or may not have acted."""

    outcome: ClassVar[Outcome] = Outcome.UNKNOWN


class OutOfTime(NoAnswer):
    """The time that this was given is over: what was asked for was not begun."""


class Throttled(PartnerFault):
    """Slow down. `after` is the partner's own wish in seconds, None where it named none we understand."""

    def __init__(self, text: str, after: float | None = None) -> None:
        super().__init__(text)
        self.after = after


class Overloaded(Throttled):
    """Slow down; but a gate may say so for a partner that has acted."""

    outcome: ClassVar[Outcome] = Outcome.UNKNOWN


class Failing(PartnerFault):
    """A server error, or an answer nobody can understand; the partner may have acted."""

    outcome: ClassVar[Outcome] = Outcome.UNKNOWN


class Denied(PartnerFault):
    """Our credentials are not accepted."""


class Gone(PartnerFault):
    """The endpoint is closed for good."""


def expect(reply: Reply, now: datetime) -> Reply:
    """The reply, if it is a 2xx one; else the fault that its status means (RFC 9110)."""
    status = reply.status
    if 200 <= status < 300:
        return reply
    if status == 429 or (status == 503 and "retry-after" in reply.headers):
        fault = Throttled if status == 429 else Overloaded
        raise fault(f"HTTP {status}", retry_after(reply.headers.get("retry-after", ""), now))
    if status in (401, 403):
        raise Denied(f"HTTP {status}: the partner does not accept our credentials")
    if status == 410:
        raise Gone("HTTP 410: the partner has closed this endpoint")
    raise Failing(f"HTTP {status}")


def retry_after(value: str, now: datetime) -> float | None:
    """Seconds from a Retry-After header (RFC 9110 §10.2.3): delta or date; None where it is neither."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None

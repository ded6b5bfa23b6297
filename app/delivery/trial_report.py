"""What a try of a partner came to, as people read it: each step, what was sent, our reading, and the verdict.

No secret is in it: what was sent is told by its hash, addresses without the values of their queries.
"""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple
from urllib.parse import quote, quote_plus, urlsplit

import msgspec

from app.adapters.contract import (
    Answer,
    Denied,
    Failing,
    Files,
    Gone,
    Kind,
    NoAnswer,
    Op,
    Outcome,
    PartnerFault,
    Place,
    Reply,
    Throttled,
    Wire,
)
from app.adapters.settings import MASK
from app.core.imei import shown
from app.delivery.contacts import NotReady, Witnessed
from app.delivery.wire import NO_CONNECTION

StillBlocked = Literal["no", "perhaps", "yes"]

_TAKEN = frozenset({Outcome.DONE, Outcome.ALREADY, Outcome.ACCEPTED})
# What stands behind a NoAnswer where nothing was sent.
_NO_WAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)
_CONFIRMS = " What it only accepted it confirms later."


class Exchange(msgspec.Struct, frozen=True):
    """One request of the adapter, or one file that it wrote (`WRITE`). The hash is that of method, address and body, of
    a file that of its content, as on the audit log of deliveries; `status` is null where nothing whole came back, and
    for files."""

    method: str
    address: str
    request_sha256: str
    ms: float
    status: int | None = None


class Step(msgspec.Struct, frozen=True):
    """The partner told one thing: the key of the call, what went over the wire, and our reading of the answer."""

    op: Op
    key: str
    exchanges: list[Exchange]
    ms: float
    outcome: Outcome
    code: str = ""
    words: str = ""
    ref: str = ""
    fault: str = ""

    @property
    def taken(self) -> bool:
        return self.outcome in _TAKEN

    @property
    def why(self) -> str:
        """Why it was not taken, in a few words."""
        return (
            self.fault or " ".join(filter(None, (self.code, self.words))) or f"it answered '{self.outcome}'"
        )


class Trial(msgspec.Struct, frozen=True):
    """A try of a partner. `taken`: each step was; `still_blocked`: whether the identifier is left blocked there."""

    partner_id: int
    partner: str
    adapter: str
    identifier: str
    kind: Kind
    steps: list[Step]
    taken: bool
    still_blocked: StillBlocked
    verdict: str


class Verdict(NamedTuple):
    """What the steps come to."""

    taken: bool
    still_blocked: StillBlocked
    sentence: str


def verdict(partner: str, identifier: str, steps: Sequence[Step]) -> Verdict:
    """What the steps of a try come to, in a sentence that says what is left to do."""
    by_op = {step.op: step for step in steps}
    enrol, block, release = (by_op.get(op) for op in Op)
    if release:
        return _released(partner, identifier, block, release)
    if block is None:
        why = enrol.why if enrol else ""
        return Verdict(False, "no", f"{partner} did not take the enrolment: {why}. No block was sent.")
    if block.taken:
        text = (
            f"{partner} had {identifier} blocked before this try, perhaps on somebody else's word, so it is left"
            " blocked as it was found. If the block is yours, try again with release_only."
        )
        return Verdict(False, "yes", text)
    return Verdict(False, "no", f"{partner} did not take the block: {block.why}. No release was sent.")


def _released(partner: str, identifier: str, block: Step | None, release: Step) -> Verdict:
    if not release.taken:
        return _not_released(partner, identifier, block, release)
    if block and not block.taken:
        text = f"Nobody knows whether {partner} took the block: {block.why}. It took the release after it."
        return Verdict(False, "no", text)
    later = _CONFIRMS if Outcome.ACCEPTED in (release.outcome, block and block.outcome) else ""
    done = "was blocked and released again" if block else "was released"
    return Verdict(True, "no", f"{partner} took it: {identifier} {done}.{later}")


def _not_released(partner: str, identifier: str, block: Step | None, release: Step) -> Verdict:
    todo = "Mend that and try again with release_only, or have it released there."
    if block and block.taken and release.outcome is not Outcome.UNKNOWN:
        text = f"{identifier} IS STILL BLOCKED at {partner}, which did not take the release: {release.why}. {todo}"
        return Verdict(False, "yes", text)
    text = f"{identifier} MAY STILL BE BLOCKED at {partner}: the release was not taken: {release.why}. {todo}"
    return Verdict(False, "perhaps", text)


def plainly(error: Exception) -> str:
    """What an adapter raised, as a person who has to mend it wants to hear it."""
    match error:
        case NoAnswer() if never_arrived(error):
            return f"nothing reached it: {error}"
        case Throttled(after=after):
            again = f", and to come again after {after:g} s" if after is not None and after < 1e9 else ""
            return f"it asks us to slow down{again}: {error}"
        case NoAnswer():
            return f"no whole answer: {error}; it may have acted or not"
        case Denied() | Gone():
            return str(error)
        case PartnerFault():
            return _unread(error)
        case _:
            return f"the adapter broke: {type(error).__name__}; whoever wrote it must mend it"


def _unread(fault: PartnerFault) -> str:
    if isinstance(fault, NotReady):
        return f"it was not called: {fault}"
    if isinstance(fault, NotLeft):
        return f"nothing was left there: {fault}"
    return f"no answer that we understand: {fault}; it may have acted or not"


def never_arrived(error: BaseException) -> bool:
    """Whether there was no connection at all, so that the partner cannot have acted."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NO_CONNECTION) or getattr(cause, "errno", None) in _NO_WAY:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


class Hushed:
    """Takes a partner's secrets out of whatever is told about it."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets: set[str] = set()
        self.hide(*secrets)

    def hide(self, *secrets: str) -> None:
        """These too, as they are and as addresses write them."""
        for secret in filter(None, secrets):
            self._secrets.update((secret, quote(secret), quote(secret, safe=""), quote_plus(secret)))

    def text(self, said: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            said = said.replace(secret, MASK)
        return said

    def answer(self, answer: Answer) -> Answer:
        code, words, ref = map(self.text, (answer.code, answer.words, answer.ref))
        return Answer(answer.outcome, code, words, ref)

    def address(self, url: str) -> str:
        """An address without what may be a secret in it: values of its query, a user, a password."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return "no address"
        names = [pair.partition("=")[0] for pair in parts.query.split("&") if pair]
        query = "?" + "&".join(f"{name}={MASK}" for name in names) if names else ""
        host = parts.netloc.rpartition("@")[2]
        return shown(self.text(f"{parts.scheme}://{host}{parts.path}{query}"), 300)


class NotLeft(Failing):
    """A file could not be put there, and a half one is not seen."""


class Overheard:
    """A wire that notes, for people, what goes over it."""

    def __init__(self, wire: Wire, hushed: Hushed) -> None:
        self._wire = wire
        self._hushed = hushed
        self.exchanges: list[Exchange] = []
        self._unsent = 0

    def reading(self, outcome: Outcome) -> Outcome:
        """What a fault of the call means once it is known how far each request of it came: `unknown` where one had
        been answered with success, `retry` where none has reached the partner."""
        if any(one.status is not None and 200 <= one.status < 300 for one in self.exchanges):
            return Outcome.UNKNOWN
        return Outcome.RETRY if self.exchanges and self._unsent == len(self.exchanges) else outcome

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        self._hushed.hide(*(headers or {}).get("authorization", "").split(" ")[1:])
        witnessed, began = Witnessed(self._wire), time.monotonic()
        try:
            return await witnessed.send(method, url, headers=headers, body=body)
        except NoAnswer as error:
            self._unsent += never_arrived(error)
            raise
        finally:
            ms = round((time.monotonic() - began) * 1000, 1)
            (seen,) = witnessed.exchanges
            address = self._hushed.address(url)
            self.exchanges.append(
                Exchange(shown(method), address, seen["request_sha256"], ms, seen.get("status"))
            )

    def files(self, place: Place) -> Files:
        return _OverheardFiles(self._wire.files(place), self._hushed.address(place.url), self)

    def left(self, exchange: Exchange, *, arrived: bool) -> None:
        self.exchanges.append(exchange)
        self._unsent += not arrived


class _OverheardFiles:
    """Files of which it is noted what was written."""

    def __init__(self, files: Files, address: str, overheard: Overheard) -> None:
        self._files = files
        self._address = address
        self._overheard = overheard

    async def names(self) -> Sequence[str]:
        return await self._files.names()

    async def read(self, name: str) -> bytes:
        return await self._files.read(name)

    async def write(self, name: str, body: bytes) -> None:
        began, arrived = time.monotonic(), True
        try:
            await self._files.write(name, body)
        except Failing as error:
            arrived = False
            raise NotLeft(str(error)) from error
        finally:
            ms = round((time.monotonic() - began) * 1000, 1)
            address = f"{self._address.rstrip('/')}/{shown(name)}"
            exchange = Exchange("WRITE", address, hashlib.sha256(body).hexdigest(), ms)
            self._overheard.left(exchange, arrived=arrived)

    async def move(self, name: str, to: str) -> None:
        await self._files.move(name, to)

"""Has packs made: each in a process of its own, bounded in time and memory, so that nobody who asks for a status waits
for one; and a few at once. What was made is on the audit log before anybody has a byte of it."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from app.access.roles import Permission, Principal
from app.audit import signing
from app.audit.record import Entry, record
from app.audit.signing import Signing
from app.core import errors
from app.core.config import Settings
from app.core.db import Connection, Pool, transaction
from app.core.errors import Conflict, GatewayError, Unavailable
from app.evidence import proofs
from app.evidence.asked import Asked, checked
from app.evidence.pack import Packed

AT_ONCE = 2
WITHIN = 120.0
"""Seconds for one pack."""
MOST_MEMORY = 2 * 2**30
TO_SEAL = 5.0
"""Seconds for the sealer to come to an incident's newest entries."""
_LOOK = 0.25


class Order(msgspec.Struct, frozen=True):
    """What the process that makes a pack is told, on its standard input."""

    database_url: str
    asked: Asked
    actor: Principal
    keys: str
    folder: str


class Refused(msgspec.Struct, frozen=True):
    """An error of ours, from there to here."""

    error: str
    detail: str
    code: str


class Made(msgspec.Struct, frozen=True):
    """A pack, in a folder of its own, which whoever takes it removes."""

    packed: Packed
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "pack.zip"

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Packs:
    """The packs that are being made by this process."""

    def __init__(self, pool: Pool, settings: Settings, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._settings = settings
        self._now = now
        self._under_way = 0

    async def make(self, actor: Principal, asked: Asked) -> Made:
        """Raises Forbidden, Invalid, Missing, Conflict where no key signs or nothing is sealed, Unavailable."""
        actor.require(Permission.EVIDENCE_READ)
        checked(asked)
        keys = signed_by(signing.load(self._settings))
        if self._under_way >= AT_ONCE:
            raise Unavailable(
                f"{AT_ONCE} evidence packs are being made here, as many as may be; ask again in a moment.",
                "packs-busy",
            )
        self._under_way += 1
        try:
            return await self._make(actor, asked, keys)
        finally:
            self._under_way -= 1

    async def _make(self, actor: Principal, asked: Asked, keys: str) -> Made:
        await self._wait(asked)
        folder = Path(tempfile.mkdtemp(prefix="imei-gateway-pack-"))
        try:
            order = Order(self._settings.database_url, asked, actor, keys, str(folder))
            made = Made(await _in_a_process(order), folder)
            await transaction(self._pool, lambda conn: _remember(conn, actor, asked, made, self._now))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return made

    async def _wait(self, asked: Asked) -> None:
        """Until what happened so far is under a signed checkpoint, or it has been long enough."""
        for _ in range(int(TO_SEAL / _LOOK)):
            async with self._pool.acquire(timeout=10) as conn:
                found = await proofs.places(conn, asked.incident, asked.partner)
                with suppress(Conflict):
                    head = await proofs.head(conn, found)
                    if all(one.seq is not None and one.seq < head["size"] for one in found):
                        return
            await asyncio.sleep(_LOOK)


def signed_by(found: Signing) -> str:
    """The keys in one text, as settings have them. Raises Conflict where none signs."""
    if not found.signers:
        raise Conflict(
            "No key signs the audit log, so no pack could be proven. 'imei-gateway audit new-key NAME' makes one;"
            " IMEI_GATEWAY_AUDIT_KEY_FILE names its file.",
            "audit-key-missing",
        )
    own = {one.verifier for one in found.signers}
    lines = [one.written() for one in found.signers]
    return "\n".join([*lines, *(one.written() for one in found.known if one not in own)])


async def _in_a_process(order: Order) -> Packed:
    made = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.evidence.press",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN):
            out, told = await made.communicate(msgspec.json.encode(order))
    except TimeoutError:
        raise Unavailable(f"The pack was not made within {WITHIN:g} s.", "pack-too-slow") from None
    finally:
        if made.returncode is None:
            made.kill()
            await made.wait()
    if made.returncode:
        raise RuntimeError(f"the evidence pack was not made: {told.decode(errors='replace')[-2000:]}")
    if "error" in json.loads(out):
        raise _error(msgspec.json.decode(out, type=Refused))
    return msgspec.json.decode(out, type=Packed)


def _error(refused: Refused) -> GatewayError:
    found: type[GatewayError] = getattr(errors, refused.error)
    return found(refused.detail, refused.code)


async def _remember(
    conn: Connection, actor: Principal, asked: Asked, made: Made, now: Callable[[], datetime]
) -> None:
    detail = {
        "for": asked.to, "partner": asked.partner, "owner": asked.owner, "sha256": made.packed.sha256,
        "size": made.packed.size,
    }  # fmt: skip
    # Of a subject of its own: the next pack would otherwise differ for this one.
    await record(conn, [Entry("evidence.made", f"evidence:{asked.incident}", actor.label, now(), detail)])

"""The checker, in the manner of Jepsen's total queue: what went in must come out. It reads the partners' own books,
in their processes, and the decisions as those who made them remember them."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import httpx

from app.adapters.contract import Order
from app.core import imei
from app.core.db import Pool
from app.delivery import send

_CHUNKS = "SELECT chunk_id, op, partners, keys, versions FROM chunk JOIN command USING (command_id)"
_CALLS = """
SELECT body::jsonb -> 'detail' ->> 'key' AS key, (body::jsonb -> 'detail' ->> 'ms')::double precision / 1000 AS took,
       (body::jsonb -> 'detail' ->> 'chunk')::bigint AS chunk
FROM audit_entry WHERE kind = 'delivery.attempted'
"""


class Verdict(NamedTuple):
    """Identifiers `lost` (to be blocked, and not), `wrong` (blocked, and not to be), `regressed` (an older state came
    after a newer one) and `unlisted` (our own list is not what was decided); `asleep` are those of them whose call a
    worker slept through between its lease check and its sending. `repeats` are harmless."""

    lost: set[str]
    wrong: set[str]
    regressed: set[str]
    unlisted: set[str]
    asleep: set[str]
    repeats: int

    @property
    def clean(self) -> bool:
        return not (self.lost or self.wrong or self.regressed or self.unlisted)


class Keys:
    """What version of what a call's key meant, and how long the call took, as far as that can be known: every call of
    one order can, others where their worker lived to settle them."""

    def __init__(self) -> None:
        self.versions: dict[tuple[str, str], int] = {}
        self.took: dict[str, float] = {}

    @classmethod
    async def read(cls, pool: Pool) -> Keys:
        made = cls()
        chunks = {row["chunk_id"]: row for row in await pool.fetch(_CHUNKS)}
        for row in chunks.values():
            for key, version in zip(row["keys"], row["versions"], strict=True):
                made._add_single(row, key, version)
        for call in await pool.fetch(_CALLS):
            made.took[call["key"]] = max(call["took"], made.took.get(call["key"], 0))
            row = chunks[call["chunk"]]
            for key, version in zip(row["keys"], row["versions"], strict=True):
                made.versions[call["key"], f"{key:014d}"] = version
        return made

    def _add_single(self, row: Any, key: int, version: int) -> None:
        work: Any = SimpleNamespace(chunk_id=row["chunk_id"], op=row["op"])
        for partner in row["partners"]:
            call = send._key(partner, work, [Order(key, version, imei=imei.full(key))])
            self.versions[call, f"{key:014d}"] = version


async def judge(pool: Pool, urls: Mapping[str, str], blocked: set[str], lease: float) -> Verdict:
    """`blocked` is what the decisions come to, by 14 digits."""
    keys = await Keys.read(pool)
    lost, wrong, regressed, asleep = set[str](), set[str](), set[str](), set[str]()
    repeats = 0
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        for name, url in urls.items():
            held = set((await client.get(f"{url}/sandbox/identifiers?state=blocked")).json()["identifiers"])
            free = set((await client.get(f"{url}/sandbox/identifiers?state=released")).json()["identifiers"])
            repeats += (await client.get(f"{url}/sandbox")).json()["duplicates"]
            lost |= {f"{name} {one}" for one in blocked - held}
            wrong |= {f"{name} {one}" for one in held - blocked}
            for one in held | free:
                said = (await client.get(f"{url}/sandbox/identifiers/{one}")).json()["history"]
                behind = late(one, said, keys)
                regressed |= {f"{name} {one}"} if behind else set()
                asleep |= {f"{name} {one}"} if any(keys.took.get(key, 0) > lease for key in behind) else set()
    rows = await pool.fetch("SELECT key FROM listing WHERE blocked_by > 0")
    unlisted = {f"{row['key']:014d}" for row in rows} ^ blocked
    return Verdict(lost, wrong, regressed, unlisted, asleep & (lost | wrong | regressed), repeats)


def late(name: str, history: list[str], keys: Keys) -> list[str]:
    """The keys of the calls that brought an older state after a newer one."""
    newest, behind = 0, []
    for words in history:
        key = words.partition(" ")[2]
        version = keys.versions.get((key, name), newest)
        if version < newest:
            behind.append(key)
        newest = max(newest, version)
    return behind

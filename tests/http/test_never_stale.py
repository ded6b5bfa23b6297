"""Whoever asks while others decide: no answer is older than the last decision that was answered, of whatever process it
was asked; and who follows the changes is told each once, in order, and ends with what is true."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import msgspec
import pytest

from app.cli import service
from app.core.config import Settings
from app.core.keyring import new_key

from .asking import decided, drafted, stock
from .conftest import Gateway, serving

DECISIONS = 24
# From each status, what may be decided, by whom, and what it becomes.
STEPS = {
    "unknown": [("submit", "suspect")],
    "suspect": [
        ("approve", "blocked"),
        ("approve", "blocked"),
        ("reject", "unknown"),
        ("withdraw", "unknown"),
    ],
    "blocked": [("lift", "unknown"), ("withdraw", "unknown")],
}
BY = {"approve": "approver", "reject": "approver", "lift": "approver"}


@dataclass
class Life:
    """What one IMEI was, as those who decided know it: each status with when it was asked for, and when it was answered
    that it holds."""

    imei: str
    turns: list[tuple[str, float, float]] = field(default_factory=lambda: [("unknown", 0.0, 0.0)])

    def possible(self, asked: float, answered: float) -> set[str]:
        """What may be answered to a question of that time: what held when it was asked, and what became so since."""
        began = max(at for at, (_, _, known) in enumerate(self.turns) if known <= asked)
        return {status for status, said, _ in self.turns[began:] if said <= answered}


@pytest.fixture(scope="module")
async def pair(cluster, template, tmp_path_factory) -> AsyncIterator[tuple[Gateway, str]]:
    """A gateway, and the address of a second web process on the same database."""
    folder = tmp_path_factory.mktemp("pair")
    async with serving(cluster, template, folder / "one", "web") as gateway:
        own = {"data_dir": folder / "two", "port": 0, "log_level": "error"}
        settings = Settings(database_url=gateway.dsn, secrets_key=new_key(secrets.token_bytes), **own)
        async with service.running(settings, ("web",)) as other:
            yield gateway, other.url


async def decides(gateway: Gateway, life: Life, dice: Random) -> None:
    """One IMEI's incidents, one decision after the other."""
    incident = 0
    for _ in range(DECISIONS):
        verb, becomes = dice.choice(STEPS[life.turns[-1][0]])
        if verb == "submit":
            incident = await drafted(gateway["incident-manager"], imeis=[life.imei])
        said: dict[str, Any] = {"reason": "a mistake"} if verb in ("reject", "withdraw") else {}
        if verb == "lift":
            said = {"scope": {"imeis": [life.imei]}}
        began = time.monotonic()
        life.turns.append((becomes, began, float("inf")))
        await decided(gateway[BY.get(verb, "incident-manager")], incident, verb, **said)
        life.turns[-1] = (becomes, began, time.monotonic())
        await asyncio.sleep(dice.random() * 0.05)


async def asks(client: httpx.AsyncClient, lives: list[Life], over: asyncio.Event, dice: Random) -> int:
    """Asks for one or for all, until it is over; each answer must be possible. How many were asked for."""
    count = 0
    while not over.is_set():
        some = [dice.choice(lives)] if dice.random() < 0.7 else lives
        asked = time.monotonic()
        if len(some) == 1:
            told = [(await client.get(f"/v1/status/{some[0].imei}")).json()["status"]]
        else:
            results = await client.post("/v1/status", json={"imeis": [life.imei for life in some]})
            told = [result["status"] for result in results.json()["results"]]
        answered = time.monotonic()
        for life, status in zip(some, told, strict=True):
            assert status in life.possible(asked, answered), (life.imei, status, life.turns)
        count += len(some)
    return count


async def follows(client: httpx.AsyncClient, over: asyncio.Event, dice: Random) -> list[dict[str, Any]]:
    """All changes from the first, as they come, in pages of any size."""
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {}
    while True:
        last = over.is_set()
        page = (
            await client.get(
                "/v1/blocklist/changes", params={**params, "wait": 1, "limit": dice.randint(1, 4)}
            )
        ).json()
        found += page["changes"]
        assert [change["position"] for change in found] == list(range(1, len(found) + 1))
        params["cursor"] = page["cursor"]
        if last and not page["changes"]:
            return found


def client_of(gateway: Gateway, url: str) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {gateway.keys['carrier']}"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False)


@pytest.mark.parametrize("seed", [5, 29, 511])
async def test_nobody_is_told_what_holds_no_more_and_nobody_misses_a_change(pair, seed):
    gateway, other = pair
    lives = [Life(number) for number in stock(3).imeis]
    over = asyncio.Event()
    async with client_of(gateway, gateway.url) as here, client_of(gateway, other) as there:
        readers = [
            asyncio.create_task(asks(client, lives, over, Random(seed + place)))
            for place, client in enumerate((here, there, there))
        ]
        followers = [
            asyncio.create_task(follows(client, over, Random(seed - place)))
            for place, client in enumerate((here, there))
        ]
        try:
            await asyncio.gather(*(decides(gateway, life, Random(f"{seed}-{life.imei}")) for life in lives))
        finally:
            over.set()
        asked = await asyncio.gather(*readers)
        told, same = await asyncio.gather(*followers)
        assert min(asked) > 50
        assert told == same
        _tell_all(told, lives)
        whole = {row["imei"]: row["status"] for row in await everything(here) if "imei" in row}
    for life in lives:
        assert whole.get(life.imei[:14], "unknown") == life.turns[-1][0]


async def everything(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    text = (await client.get("/v1/blocklist")).text
    return [msgspec.json.decode(line) for line in text.splitlines()]


def _tell_all(told: list[dict[str, Any]], lives: list[Life]) -> None:
    """The changes of an IMEI are what was decided of it, in that order."""
    for life in lives:
        mine = [change for change in told if change["imei"] == life.imei[:14]]
        became = [status.replace("unknown", "clear") for status, _, _ in life.turns[1:]]
        assert [change["status"] for change in mine] == became
        versions = [change["version"] for change in mine]
        assert versions == sorted(versions)

"""What the night is played on: database, service, partners, keys; up when it begins, gone when it ends."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import msgspec

from app.access import keys
from app.audit.record import Entry, record
from app.cli import ground, service
from app.cli.service import Service
from app.core.clock import utc_now
from app.core.config import Settings
from app.core.db import Connection, Pool, transaction
from app.core.errors import Conflict
from app.delivery import partners
from app.demo.goods import Goods
from app.demo.line import Line, line
from app.demo.memory import Memory
from app.demo.players import CALLBACK, PLAYERS, introduce
from app.demo.screen import Screen
from app.devices import find
from app.sandbox import server
from app.sandbox.server import Running


class Keys(msgspec.Struct, frozen=True):
    """The people of the night, each by a key of their own."""

    administrator: str
    warehouse: str
    manager: str
    approver: str
    carrier: str


_ROLES = {
    "warehouse": "goods-in",
    "manager": "incident-manager",
    "approver": "approver",
    "carrier": "carrier",
}


class Scene(msgspec.Struct):
    """Everything that runs. `numbers` are the partners' numbers, by kind."""

    pool: Pool
    keys: Keys
    service: Service
    gateway: Line
    sandboxes: dict[str, Running]
    partners: dict[str, Line]
    numbers: dict[str, int]
    memory: Memory

    def weigh(self) -> None:
        """Looks how much memory every process has taken so far."""
        sandboxes = {f"practice partner {kind}": each.pid for kind, each in self.sandboxes.items()}
        ours = {name: child.pid for name, child in self.service.children.items()}
        self.memory.note({**ours, **sandboxes})
        self.memory.note_alone("demo", os.getpid())


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for this night alone."""
    # What a process that is being killed still writes must not keep the rest from being removed.
    with tempfile.TemporaryDirectory(prefix="imei-gateway-demo-", ignore_cleanup_errors=True) as made:
        yield Path(made)


def settings(data_dir: Path, database_url: str, port: int) -> Settings:
    """The night's settings; nothing in the environment points it at another gateway."""
    wanted = Settings(data_dir, database_url=database_url, port=port or _free_port(), log_level="error")
    return ground.with_keys(wanted)


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        number: int = held.getsockname()[1]
        return number


@asynccontextmanager
async def scene(wanted: Settings, goods: Goods, screen: Screen, seed: int) -> AsyncIterator[Scene]:
    """The scene, with every partner added and nothing registered yet. Raises Conflict on data of others."""
    async with AsyncExitStack() as stack:
        with screen.step("database", "Start PostgreSQL") as step:
            found = await stack.enter_async_context(ground.database(wanted))
            pool = await stack.enter_async_context(ground.opened(found))
            held = await _keys(pool, found)
            step.told = "PostgreSQL is up, the schema is in place, five people have their keys"
        with screen.step("partners", "Start four practice partners") as step:
            sandboxes = {each.kind: each for each in server.run_all(kinds=tuple(PLAYERS), seed=seed)}
            for each in sandboxes.values():
                stack.callback(each.stop)
            step.told = "Four practice partners listen, each in a process of its own"
        with screen.step("service", "Start the gateway") as step:
            running = await stack.enter_async_context(service.running(found))
            gateway = await stack.enter_async_context(line(running.url))
            lines = {
                kind: await stack.enter_async_context(line(each.url)) for kind, each in sandboxes.items()
            }
            numbers = {
                kind: await introduce(
                    gateway, held.administrator, held.approver, sandboxes[kind], goods.brand
                )
                for kind in PLAYERS
            }
            url = running.url + CALLBACK.format(numbers["knox_guard"])
            await lines["knox_guard"].told("PUT", "/sandbox/callback", said={"url": url})
            step.told = f"The gateway answers at {running.url}, its workers are at work"
        yield Scene(pool, held, running, gateway, sandboxes, lines, numbers, Memory())


async def _keys(pool: Pool, settings: Settings) -> Keys:
    async with pool.acquire() as conn:
        await _refuse_data_of_others(conn)
    first = await ground.first_key(pool, settings.data_dir)

    async def work(conn: Connection) -> dict[str, str]:
        return {name: await _key(conn, name, role) for name, role in _ROLES.items()}

    made = await transaction(pool, work)
    if first is None:
        first = await transaction(pool, lambda conn: _key(conn, "administrator of the demo", "admin"))
    return Keys(administrator=first, **made)


async def _refuse_data_of_others(conn: Connection) -> None:
    held = await find.count(conn)
    others = len(await partners.everyone(conn))
    if held or others:
        raise Conflict(
            f"This database holds {held:,} devices and {others} partners already, and the demo would mix its"
            " own with them. Name an empty one, or none: then the demo makes one and removes it.",
            "database-in-use",
        )


async def _key(conn: Connection, name: str, role: str) -> str:
    now = utc_now()
    made = await keys.create(conn, name=name, role=role, by="demo", now=now, random=secrets.token_bytes)
    await record(
        conn, [Entry("key.created", f"key:{made.key_id}", "demo", now, {"name": name, "role": role})]
    )
    return made.key

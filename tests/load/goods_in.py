"""Goods-in against its floor, side by side in one run: a file over HTTP into the gateway, and the same rows by psql
and one hand-written merge into the same indexed tables of the same server.

    python -m tests.load.goods_in --devices 1000000 [--registered 10000000]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import asyncpg
import httpx

from app.access import keys
from app.access.roles import Role
from app.cli import service
from app.core import gs1, imei, postgres_binaries
from app.core.config import Settings
from app.core.db import open_pool
from app.core.migrate import migrate
from app.core.postgres import running
from app.demo.catalogue import MODELS
from app.demo.goods import Unit

from ..unit import workbooks
from .memory import Memory

FLOOR = Path(__file__).with_name("floor.sql")
HEADER = "SSCC,IMEI 1,IMEI 2,Serial No,EAN,Description,Owner,Site,Unit price,Currency\n"
# Coprime to a million, and to 2^32.
STRIDE, SERIAL_STRIDE = 611_953, 2_654_435_761
# DIRBS Core, on two cores: a million registrations of one IMEI each in 24 seconds.
PEER = 1_000_000 / 24


# Rows of the workbook that is sent at the end.
WORKBOOK = 100_000
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class Measured(NamedTuple):
    name: str
    seconds: float
    devices: int
    imeis: int


def units(seed: int, count: int) -> Iterator[Unit]:
    """As many clean devices, a million at most; another seed gives others. Two of three IMEI slots are filled, and
    serials and serial numbers within a TAC come in no order."""
    rng = Random(seed)
    models = rng.choices(range(len(MODELS)), [model.weight for model in MODELS], k=count)
    for number, place in enumerate(models):
        model, drawn = MODELS[place], number * STRIDE % 10**6
        # A TAC has room for a million numbers, so each seed and model has TACs of its own.
        first = 35_000000 + 100 * seed + 2 * place
        imeis = tuple((first + n) * 10**6 + drawn for n in range(len(model.tacs)))
        body = f"3{seed:06d}{number // 1_700:010d}"
        serial = f"{model.serial}{seed:X}{drawn * SERIAL_STRIDE % 2**32:08X}"
        pallet = f"{body}{gs1.check_digit(body)}"
        yield Unit(imeis, serial, model.gtin.zfill(14), pallet, model.name, model.cents)


def cells(unit: Unit) -> list[str]:
    numbers = [*map(imei.full, unit.imeis), "", ""][:2]
    value = f"{unit.cents / 100:.2f}"
    return [unit.pallet, *numbers, unit.serial, unit.gtin, unit.model, "Retailer", "PAR-1", value, "EUR"]


def write_workbook(path: Path, seed: int, count: int) -> None:
    """A workbook as spreadsheets save it: every text once, in a table of its own."""
    numbers: dict[str, int] = {}
    rows = [HEADER.strip().split(","), *map(cells, units(seed, count))]
    sheet = "".join(
        workbooks.row(
            line,
            *(
                f'<c r="{chr(65 + place)}{line}" t="s"><v>{numbers.setdefault(text, len(numbers))}</v></c>'
                for place, text in enumerate(texts)
                if text
            ),
        )
        for line, texts in enumerate(rows, 1)
    )
    strings = "".join(f"<si><t>{text}</t></si>" for text in numbers)
    path.write_bytes(workbooks.book(sheet, strings=strings))


def write(folder: Path, seed: int, count: int) -> tuple[Path, Path, int]:
    """The file that a warehouse sends, the same as COPY text for the floor, and how many IMEIs they name."""
    sent, copied, imeis = folder / f"{seed}.csv", folder / f"{seed}.tsv", 0
    with sent.open("w") as csv, copied.open("w") as tsv:
        csv.write(HEADER)
        for unit in units(seed, count):
            ours, value = cells(unit), f"{unit.cents / 100:.2f}"
            names = "{" + ",".join(map(str, sorted(unit.imeis))) + "}"
            clean = (
                names,
                unit.serial,
                unit.gtin,
                unit.pallet,
                "PAR-1",
                "Retailer",
                unit.model,
                value,
                "EUR",
            )
            csv.write(",".join(ours) + "\n")
            tsv.write("\t".join(clean) + "\n")
            imeis += len(unit.imeis)
    return sent, copied, imeis


def psql(dsn: str, copied: Path) -> float:
    """Seconds that the floor takes."""
    program = postgres_binaries.find(None)[0] / "psql"
    environ = {**os.environ, "PGOPTIONS": "-c jit=off"}
    began = time.monotonic()
    with copied.open("rb") as rows:
        command = [str(program), "-q", "-v", "ON_ERROR_STOP=1", "-f", str(FLOOR), dsn]
        subprocess.run(command, stdin=rows, env=environ, check=True)
    return time.monotonic() - began


async def send(
    client: httpx.AsyncClient, sent: Path, confirm: int, sent_as: str = "text/csv"
) -> tuple[float, dict[str, Any]]:
    """Seconds that the gateway takes, and its receipt."""

    async def body() -> AsyncIterator[bytes]:
        with sent.open("rb") as file:
            while block := file.read(1 << 20):
                yield block

    began = time.monotonic()
    answer = await client.post(
        "/v1/receipts", params={"confirm": confirm}, content=body(), headers={"content-type": sent_as}
    )
    assert answer.status_code == 201, answer.text
    return time.monotonic() - began, answer.json()


async def database(cluster: str, name: str) -> str:
    conn = await asyncpg.connect(cluster)
    await conn.execute(f"CREATE DATABASE {name}")
    await conn.close()
    dsn = cluster.replace("/gateway?", f"/{name}?")
    conn = await asyncpg.connect(dsn)
    await migrate(conn)
    await conn.close()
    return dsn


async def measure(cluster: str, folder: Path, devices: int, registered: int) -> tuple[list[Measured], int]:
    floor, ours = await database(cluster, "floor"), await database(cluster, "ours")
    for seed in range(2, 2 + registered // 1_000_000):
        _, copied, _ = write(folder, seed, 1_000_000)
        for dsn in (floor, ours):
            psql(dsn, copied)
        copied.unlink()
    sent, copied, imeis = write(folder, 1, devices)
    conn = await asyncpg.connect(cluster)
    await conn.execute("CHECKPOINT")
    found = [Measured("floor: psql \\copy and one merge", psql(floor, copied), devices, imeis)]
    await conn.execute("CHECKPOINT")
    await conn.close()
    settings = Settings(data_dir=folder, database_url=ours, port=0, log_level="error")
    async with service.running(settings, ("web",)) as gateway:
        headers = {"authorization": f"Bearer {await key(ours)}"}
        async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=None) as client:
            memory = Memory(gateway)
            watching = asyncio.create_task(memory.watch())
            seconds, receipt = await send(client, sent, devices)
            assert receipt["registered"] == devices, receipt
            found.append(Measured("gateway: the file over HTTP", seconds, devices, imeis))
            seconds, receipt = await send(client, sent, devices)
            assert receipt["unchanged"] == devices, receipt
            found.append(Measured("gateway: the same file again", seconds, devices, imeis))
            book = folder / "book.xlsx"
            write_workbook(book, 99, WORKBOOK)
            seconds, receipt = await send(client, book, WORKBOOK, XLSX)
            assert receipt["registered"] == WORKBOOK, receipt
            found.append(Measured("gateway: a workbook", seconds, WORKBOOK, 0))
            watching.cancel()
        return found, memory.most


async def key(dsn: str, role: Role = Role.GOODS_IN) -> str:
    async with await open_pool(dsn, size=1) as pool, pool.acquire() as conn:
        now = datetime.now(UTC)
        made = await keys.create(conn, name="Load", role=role, by="load", now=now, random=secrets.token_bytes)
    return made.key


def report(found: list[Measured], most: int) -> None:
    base, book = found[0].seconds, found.pop()
    print(f"{'':36}{'seconds':>9}{'devices/s':>11}{'IMEIs/s':>10}{'of the floor':>14}{'of the peer':>13}")
    for one in found:
        pace, imeis = one.devices / one.seconds, one.imeis / one.seconds
        ratios = f"{base / one.seconds:>13.2f}{imeis / PEER:>13.2f}"
        print(f"{one.name:36}{one.seconds:9.1f}{pace:11,.0f}{imeis:10,.0f} {ratios}")
    print(f"{book.name:36}{book.seconds:9.1f}{book.devices / book.seconds:11,.0f}")
    print(f"Peak memory of the web process and its readers: {most} MiB.")
    print("The peer is counted in IMEIs, of which it takes one a row.")


async def run(devices: int, registered: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with running(folder / "data") as cluster:
            report(*await measure(cluster, folder, devices, registered))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.goods_in", description=__doc__)
    parser.add_argument("--devices", type=int, default=1_000_000)
    parser.add_argument(
        "--registered", type=int, default=0, help="how many devices are there before: a multiple of a million"
    )
    given = parser.parse_args()
    asyncio.run(run(given.devices, given.registered))


if __name__ == "__main__":
    main()

"""DIRBS Core's stolen list: exact rows, each IMEI once, all of a file or nothing."""

import asyncio
import io
import zipfile
from datetime import UTC, datetime

from app.adapters import registry
from app.adapters.contract import Op, Order
from app.core.imei import full
from app.sandbox.ledger import State

from .conftest import SINCE, imeis
from .drops import left


def _rows(body: bytes) -> tuple[list[str], list[str]]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return archive.namelist(), archive.read(archive.namelist()[0]).decode().split("\n")


async def test_dirbs_rows_are_what_its_schema_asks_for():
    adapter = registry.make("dirbs_file", {"url": "file:///dirbs"})
    files, _ = await left(adapter, since=SINCE, number=77)
    ((name, body),) = files.items()
    assert name == "stolen-000000000077-block-key-1.zip"
    assert _rows(body) == (
        ["stolen-000000000077-block-key-1.csv"],
        [
            "imei,reporting_date,status,change_type",
            "35000000000000,20260301,blacklist,add",
            "35000000000001,20260301,blacklist,add",
            "",
        ],
    )
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        # Neither time nor compression may differ between machines: a repeat is the same bytes.
        assert [(it.date_time, it.compress_size == it.file_size) for it in archive.infolist()] == [
            ((1980, 1, 1, 0, 0, 0), True)
        ]
    files, _ = await left(adapter, op=Op.RELEASE, since=datetime(1999, 12, 31, tzinfo=UTC))
    assert _rows(*files.values())[1][1:3] == [
        "35000000000000,,blacklist,remove",
        "35000000000001,,blacklist,remove",
    ]


async def test_dirbs_gets_an_imei_once_and_never_what_it_has():
    """Its other forms have the same 14 digits; a block with a reference is on the other side already."""
    adapter = registry.make("dirbs_file", {"url": "file:///dirbs"})
    orders = (
        Order(1, 1, imei=full(35_000_000_000_000)),
        Order(1, 1, imei="350000000000000"),
        Order(2, 5, imei=full(35_000_000_000_001), ref="stolen-000000000003-block-old.zip"),
    )
    files, answers = await left(adapter, orders=orders)
    assert _rows(*files.values())[1][1:] == ["35000000000000,,blacklist,add", ""]
    assert [answer.outcome for answer in answers] == ["done", "done", "already"]
    assert (await left(adapter, orders=orders[2:]))[0] == {}
    released, _ = await left(adapter, op=Op.RELEASE, orders=orders[2:])
    assert _rows(*released.values())[1][1] == "35000000000001,,blacklist,remove"


async def test_dirbs_refuses_a_whole_file_for_one_add_that_it_has(drop):
    partner = await drop("dirbs_file")
    await partner.tell(Op.BLOCK, imeis(1))
    await partner.acknowledged()
    await partner.tell(Op.BLOCK, imeis(3), "key-2")
    assert {outcome for *_, outcome in await partner.acknowledged()} == {"refused"}
    await partner.tell(Op.RELEASE, imeis(2), "key-3")
    assert {outcome for *_, outcome in await partner.acknowledged()} == {"refused"}
    assert partner.stage.ledger.counts()["blocked"] == 1


async def test_dirbs_is_set_right_by_the_whole_list(drop):
    partner = await drop("dirbs_file")
    await partner.tell(Op.BLOCK, imeis(10))
    await partner.acknowledged()
    orders = imeis(300, 35_000_000_000_005)
    for _ in range(2):
        answer = await partner.adapter.publish("resync-1", (order for order in orders), partner.wire, SINCE)
        assert (answer.outcome, answer.ref) == ("done", "stolen-full-resync-1.zip")
    async with asyncio.timeout(5):
        while partner.stage.ledger.counts()["blocked"] != 300:
            await asyncio.sleep(0.02)
    assert partner.stage.ledger.page(State.BLOCKED, "", 1000) == [order.imei[:14] for order in orders]

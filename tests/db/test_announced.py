"""Goods that were announced without a pallet: for which pallet they count as announced."""

from __future__ import annotations

from app.devices.moves import Move

from .test_goods_in import ASN, OTHER, dock, moved

__all__ = ["moved"]


async def test_what_was_announced_for_no_pallet_is_announced_for_none(pool, registers, phones, moved):
    pallet, lines = phones(0, 1).split(",")[4], phones(0, 3).splitlines()
    bare = [line.replace(pallet, "") for line in lines]
    await registers("\n".join([lines[0], *bare[1:]]) + "\n", **ASN)
    await registers("\n".join([bare[0], lines[1], bare[2]]) + "\n")
    await registers(lines[2] + "\n")

    async def surplus() -> list[tuple[str, str]]:
        seen = await dock(pool, pallet)
        assert (seen.announced, seen.missing_count, seen.elsewhere_count) == (1, 0, 0)
        return [(each.serial, each.announced_for) for each in seen.surplus]

    assert await surplus() == [("SN000001", ""), ("SN000002", "")]
    for to in (OTHER, pallet):
        await moved(Move(to=to, imeis=(lines[1].split(",")[0],)))
    assert await surplus() == [("SN000001", ""), ("SN000002", "")]


async def test_an_announcement_that_is_completed_is_announced_for_its_pallet(pool, registers, phones):
    pallet, line = phones(0, 1).split(",")[4], phones(0, 1)
    await registers(line.replace(pallet, ""), **ASN)
    await registers(line, **ASN)
    await registers(line)
    seen = await dock(pool, pallet)
    assert (seen.announced, seen.arrived, seen.complete) == (1, 1, True)

"""Before the theft: the goods come in, every device is registered, and a brand hears of its own."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

from app.access import keys
from app.core.clock import utc_now
from app.core.db import Connection, transaction
from app.delivery.progress import enrolments
from app.demo.night import Night
from app.demo.patience import Patience
from app.demo.screen import Bar
from app.devices import register
from app.devices.incoming import opened
from app.devices.intake import Defaults, Mapped, guess
from app.devices.receipts import Receipt, Terms


async def goods_in(night: Night) -> None:
    """Every device is registered, tied to its pallet; the receipt must say what the goods say."""
    wanted = night.goods.verdicts
    with night.screen.step("register", f"Goods-in: register {wanted.rows:,} rows") as step:
        receipt = await _register(night, lambda rows: step.show(Bar("rows", rows, wanted.rows)))
        pace = wanted.rows / step.seconds
        step.told = (
            f"Goods-in: {receipt.registered:,} devices registered, {receipt.unchanged:,} rows repeated,"
            f" {receipt.rejected:,} rejected with reasons ({pace:,.0f} rows/s)"
        )
    said = (receipt.rows, receipt.registered, receipt.unchanged, receipt.rejected)
    counts = (wanted.rows, wanted.registered, wanted.unchanged, len(wanted.rejected))
    night.checks.same("receipt: rows, registered, unchanged, rejected", counts, said)
    lines = await _rejected_lines(night, receipt.receipt_id)
    wrong = (str(line) for line in wanted.rejected)
    night.checks.same_set("receipt: the rejected lines are the spoilt ones", wrong, lines)
    night.scene.weigh()


async def _register(night: Night, on_rows: Callable[[int], None]) -> Receipt:
    scene, path = night.scene, night.goods.path
    async with scene.pool.acquire() as conn:
        actor = await keys.authenticate(conn, scene.keys.warehouse)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        file.seek(0)
        form = guess(path.name, "", file.read(4096))

        async def work(conn: Connection) -> Receipt:
            async with opened(file, form, Defaults(), Mapped()) as incoming:
                terms = Terms(f"demo:{form}", digest)
                return await register.register(conn, actor, incoming, terms, now=utc_now(), on_rows=on_rows)

        return await transaction(scene.pool, work, also=register.MET_ANOTHER)


async def _rejected_lines(night: Night, receipt: int) -> set[str]:
    lines: set[str] = set()
    cursor: str | None = "0"
    while cursor is not None:
        page = await night.scene.gateway.told(
            "GET",
            f"/v1/receipts/{receipt}/rejections?limit=10000&cursor={cursor}",
            night.scene.keys.warehouse,
        )
        lines |= {str(finding["line"]) for finding in page["rejections"]}
        cursor = page["next"]
    return lines


async def enrolment(night: Night) -> None:
    """A brand can lock only what it knows, so it hears of its devices as they come in."""
    brand, patience = night.goods.brand.name, Patience()
    with night.screen.step("enrol", f"Enrol what {brand} could lock one day") as step:
        while True:
            async with night.scene.pool.acquire() as conn:
                found = await enrolments(conn)
            done, wanted = sum(each.done for each in found), sum(each.wanted for each in found)
            step.show(Bar("identifiers", done, wanted))
            if all(each.settled for each in found) or patience.ends(done):
                break
            await asyncio.sleep(0.2)
        step.told = f"{brand}'s lock knows {done:,} identifiers, should one of them be stolen"
    night.checks.same("enrolled at goods-in, by the gateway's count", len(night.goods.enrolled), done)

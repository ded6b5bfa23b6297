"""A call that outlasts its lease: what it may have overwritten at the partner is told again."""

from __future__ import annotations

from aiohttp import web


async def test_what_a_worker_told_after_its_lease_is_told_again_as_it_stands(town, pool, keys):
    heard: list[str] = []

    async def take(request: web.Request) -> web.Response:
        heard.append((await request.json())["type"])
        if len(heard) == 1:
            # While it is being told, the lease passes on, and the newer decision reaches the partner first.
            await town.release(incident, keys(1))
            await pool.execute(
                "UPDATE partner_lane SET lease_token = lease_token + 1 WHERE lease_until > now()"
            )
            await pool.execute("UPDATE delivery SET state = 1, open_at = '{}'")
            await pool.execute("UPDATE partner_lane SET pending = 0, lease_until = '-infinity'")
        return web.Response(status=204)

    await town.listener("late", take)
    incident = await town.incident()
    await town.block(incident, keys(1))
    async with town.worker():
        await town.until(
            incident, lambda all_: all_["late"].again is not None and all_["late"].again.done == 1
        )
    assert heard == ["imei-gateway.block", "imei-gateway.release"]

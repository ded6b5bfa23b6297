"""The block list: since when an identifier is what it is."""

from datetime import UTC, datetime, timedelta

from app.blocklist import listing

KEY = 35_555555_000000
NIGHT = datetime(2026, 11, 21, 3, tzinfo=UTC)


async def test_what_is_blocked_is_so_since_its_first_block(conn):
    """Carriers are told since when; a second theft of the same device changes nothing of it."""
    hours = iter(NIGHT + timedelta(hours=hour) for hour in range(9))

    async def since():
        return (await conn.fetchval("SELECT since FROM listing") - NIGHT) // timedelta(hours=1)

    seen = []
    for turn in (
        listing.suspect, listing.block,
        listing.suspect, listing.block,
        listing.release, listing.suspect, listing.release,
    ):  # fmt: skip
        await turn(conn, [KEY], next(hours))
        seen.append(await since())
    assert seen == [0, 1, 1, 1, 1, 1, 6]

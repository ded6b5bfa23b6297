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
    for turn, incident in (
        (listing.suspect, 1), (listing.block, 1),
        (listing.suspect, 2), (listing.block, 2),
        (listing.release, 1), (listing.suspect, 3), (listing.release, 2),
    ):  # fmt: skip
        await turn(conn, incident, [KEY], next(hours))
        seen.append(await since())
    assert seen == [0, 1, 1, 1, 1, 1, 6]


async def test_who_blocks_comes_before_who_suspects(conn):
    """The first incident is the one whose reason and reference carriers are told."""
    seen = []
    for turn, incident in (
        (listing.suspect, 7), (listing.suspect, 3), (listing.suspect, 5),
        (listing.block, 5), (listing.block, 3),
        (listing.release, 5), (listing.acquit, 7), (listing.release, 3),
    ):  # fmt: skip
        await turn(conn, incident, [KEY], NIGHT)
        seen.append(await conn.fetchval("SELECT held_by FROM listing"))
    assert seen == [[7], [7, 3], [7, 3, 5], [5, 7, 3], [5, 3, 7], [3, 7], [3], []]

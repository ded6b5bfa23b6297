"""Transactions: repeated after a passing fault, never after an unknown outcome."""

from __future__ import annotations

import asyncio
import io

import asyncpg
import pytest

from app.core.db import Connection, Lost, Pool, asks_again, copied, open_pool, transaction
from app.core.errors import Unavailable

END_MYSELF = "SELECT pg_terminate_backend(pg_backend_pid())"


@pytest.fixture
async def pool(owner: Pool) -> Pool:
    """The tables here are the tests' own."""
    return owner


@pytest.fixture
async def stock(pool: Pool) -> Pool:
    await pool.execute("CREATE TABLE test_stock (id int PRIMARY KEY, count int NOT NULL)")
    await pool.execute("INSERT INTO test_stock VALUES (1, 0), (2, 0)")
    return pool


async def add(conn: Connection, row: int) -> None:
    await conn.execute("UPDATE test_stock SET count = count + 1 WHERE id = $1", row)


async def counts(pool: Pool) -> list[int]:
    return [row["count"] for row in await pool.fetch("SELECT count FROM test_stock ORDER BY id")]


async def test_returns_what_the_work_returns(stock: Pool) -> None:
    assert await transaction(stock, lambda conn: conn.fetchval("SELECT 7")) == 7


async def test_deadlock_is_repeated_until_both_succeed(stock: Pool) -> None:
    met, tries = asyncio.Barrier(2), []

    async def add_both(first: int, second: int) -> None:
        async def work(conn: Connection) -> None:
            tries.append(first)
            await add(conn, first)
            if tries.count(first) == 1:
                await met.wait()
            await add(conn, second)

        await transaction(stock, work)

    await asyncio.gather(add_both(1, 2), add_both(2, 1))
    assert len(tries) == 3
    assert await counts(stock) == [2, 2]


async def test_serialization_failure_is_repeated(stock: Pool) -> None:
    tries = []

    async def work(conn: Connection) -> None:
        tries.append(1)
        await conn.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        await conn.fetchval("SELECT sum(count) FROM test_stock")
        if len(tries) == 1:
            await stock.execute("UPDATE test_stock SET count = 10")
        await add(conn, 1)

    await transaction(stock, work)
    assert len(tries) == 2
    assert await counts(stock) == [11, 10]


async def test_connection_lost_in_the_work_is_repeated_on_another(stock: Pool) -> None:
    backends = []

    async def work(conn: Connection) -> None:
        backends.append(conn.get_server_pid())
        await add(conn, 1)
        if len(backends) == 1:
            await conn.execute(END_MYSELF)

    await transaction(stock, work)
    assert len(set(backends)) == 2
    assert await counts(stock) == [1, 0]


async def test_connection_lost_between_work_and_commit_is_no_unknown_outcome(stock: Pool) -> None:
    tries = []

    async def work(conn: Connection) -> None:
        tries.append(1)
        await add(conn, 1)
        if len(tries) == 1:
            await stock.execute("SELECT pg_terminate_backend($1)", conn.get_server_pid())
            await asyncio.sleep(0.2)

    await transaction(stock, work)
    assert len(tries) == 2
    assert await counts(stock) == [1, 0]


async def test_connection_that_died_in_the_pool_is_replaced(database: str, stock: Pool) -> None:
    async with stock.acquire() as conn:
        victim = conn.get_server_pid()
    killer = await asyncpg.connect(database)
    await killer.execute("SELECT pg_terminate_backend($1)", victim)
    await transaction(stock, lambda conn: add(conn, 2))
    assert await counts(stock) == [0, 1]
    await killer.close()


async def test_gives_up_after_its_attempts(stock: Pool) -> None:
    tries = []

    async def work(conn: Connection) -> None:
        tries.append(1)
        await conn.execute(END_MYSELF)

    with pytest.raises(Lost) as caught:
        await transaction(stock, work, attempts=3)
    assert len(tries) == 3
    assert asks_again(caught.value)


async def test_calls_at_once_have_attempts_of_their_own(stock: Pool) -> None:
    tries = [0] * 20

    async def call(index: int) -> None:
        async def work(conn: Connection) -> None:
            tries[index] += 1
            raise asyncpg.SerializationError

        with pytest.raises(asyncpg.SerializationError):
            await transaction(stock, work, attempts=3)

    await asyncio.gather(*map(call, range(20)))
    assert tries == [3] * 20


async def test_mistakes_are_not_repeated_and_leave_nothing(stock: Pool) -> None:
    tries = []

    async def work(conn: Connection) -> None:
        tries.append(1)
        await add(conn, 1)
        await conn.execute("INSERT INTO test_stock VALUES (1, 0)")

    with pytest.raises(asyncpg.UniqueViolationError):
        await transaction(stock, work)
    assert len(tries) == 1
    assert await counts(stock) == [0, 0]


async def test_refused_commit_is_a_definite_no(stock: Pool) -> None:
    await stock.execute(
        "CREATE TABLE test_item (stock int REFERENCES test_stock DEFERRABLE INITIALLY DEFERRED)"
    )
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await transaction(stock, lambda conn: conn.execute("INSERT INTO test_item VALUES (99)"))


async def test_connection_lost_during_commit_is_an_unknown_outcome(stock: Pool) -> None:
    tries = []
    await stock.execute(
        "CREATE FUNCTION test_end() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; END $$"
    )
    await stock.execute(
        "CREATE CONSTRAINT TRIGGER test_end AFTER UPDATE ON test_stock DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION test_end()"
    )

    async def work(conn: Connection) -> None:
        tries.append(1)
        await add(conn, 1)

    with pytest.raises(Unavailable, match="lost during COMMIT"):
        await transaction(stock, work)
    assert len(tries) == 1


async def test_cancelling_rolls_back_and_frees_the_connection(database: str, stock: Pool) -> None:
    single = await open_pool(database, size=1, as_owner=True)
    reached = asyncio.Event()

    async def work(conn: Connection) -> None:
        await add(conn, 1)
        reached.set()
        await conn.execute("SELECT pg_sleep(30)")

    task = asyncio.create_task(transaction(single, work))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await counts(single) == [0, 0]
    single.terminate()


async def test_pool_speaks_json_and_carries_its_settings(database: str) -> None:
    pool = await open_pool(database, statement_timeout=2.5, application_name="test")
    assert await pool.fetchval("SELECT $1::jsonb", {"a": [1, None]}) == {"a": [1, None]}
    settings = ["statement_timeout", "application_name", "jit", "idle_in_transaction_session_timeout"]
    found = [await pool.fetchval("SELECT current_setting($1)", name) for name in settings]
    assert found == ["2500ms", "test", "off", "75s"]
    pool.terminate()


async def test_pool_gives_up_on_slow_commands(database: str) -> None:
    pool = await open_pool(database, command_timeout=0.2)
    with pytest.raises(TimeoutError):
        await pool.execute("SELECT pg_sleep(30)")
    pool.terminate()


@pytest.fixture
async def stuck(stock: Pool) -> Pool:
    """A server that reads no more of a COPY once it has begun."""
    await stock.execute(
        "CREATE FUNCTION test_sleep() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN PERFORM pg_sleep(60); RETURN new; END'"
    )
    await stock.execute(
        "CREATE TRIGGER test_stuck BEFORE INSERT ON test_stock FOR EACH ROW EXECUTE FUNCTION test_sleep()"
    )
    return stock


async def copying(pool: Pool, within: float) -> None:
    text = io.BytesIO("".join(f"{number}\t0\n" for number in range(2_000_000)).encode())
    async with asyncio.timeout(20), pool.acquire() as conn:
        await copied(conn, conn.copy_to_table("test_stock", source=text, format="text"), within=within)


async def test_a_copy_that_stands_still_is_given_up(stuck: Pool) -> None:
    with pytest.raises(Lost):
        await copying(stuck, 1)


async def test_a_copy_whose_connection_is_gone_is_given_up(stuck: Pool) -> None:
    under_way = asyncio.create_task(copying(stuck, 60))
    await asyncio.sleep(1)
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%test_stock%'"
    assert await stuck.fetchval(ended)
    with pytest.raises(Lost):
        await under_way


async def test_wrong_arguments_do_not_ask_again(pool: Pool) -> None:
    with pytest.raises(asyncpg.DataError) as caught:
        await pool.fetchval("SELECT $1::int", "seven")
    assert not asks_again(caught.value)
    assert not asks_again(asyncpg.UniqueViolationError())
    assert asks_again(ConnectionRefusedError())
    assert asks_again(TimeoutError())
    assert asks_again(asyncpg.CannotConnectNowError())
    assert asks_again(asyncpg.InternalClientError())

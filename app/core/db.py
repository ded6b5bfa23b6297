"""The way to the database: a pool that never waits for ever, and transactions that survive passing faults.

Only momentary faults are repeated here. Work that must outlast an outage keeps its retry in a column.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from app.core.errors import Unavailable
from app.core.sql import queries

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy
    from asyncpg.transaction import Transaction

    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection

T = TypeVar("T")

_CONNECT = 10.0
# Seconds for one COPY: of some thousand rows, which take one.
_COPY = 60.0
# A plan that was kept from when a table was empty reads the whole of it for ever after. One statement takes one core:
# the others are for those who ask meanwhile.
_PLANNED_ANEW = {"plan_cache_mode": "force_custom_plan", "max_parallel_workers_per_gather": "0"}
# To plan a look-up takes longer than to look up.
_BY_INDEX = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_PASSING = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    # Refused, reset, or no socket there; TimeoutError is one of them.
    OSError,
)


class Lost(ConnectionError):
    """The connection went away before COMMIT was sent: nothing of the transaction was kept."""


async def open_pool(
    dsn: str,
    *,
    size: int = 8,
    min_size: int = 1,
    command_timeout: float = 60.0,
    statement_timeout: float | None = None,
    longest_transaction: float | None = None,
    application_name: str = "imei-gateway",
    look_ups: bool = False,
    as_owner: bool = False,
) -> Pool:
    """A pool of at most `size` connections. Times are in seconds; the server ends a statement after
    `statement_timeout`, the client gives up on it after `command_timeout`. From version 17 on the server ends the
    connection whose transaction takes longer than `longest_transaction`: a process that froze in the middle of a
    message to it would keep its locks for ever. For `look_ups` alone statements are planned once, to go by indexes.
    Where the database has a role for the service, that is what the connections act as, unless `as_owner`: then as
    whoever they log in as.
    """
    settings = {"application_name": application_name, "jit": "off"}
    # Longer than a part of a goods-in file may take to read.
    settings["idle_in_transaction_session_timeout"] = "75s"
    settings |= _BY_INDEX if look_ups else _PLANNED_ANEW
    if statement_timeout is not None:
        settings["statement_timeout"] = f"{statement_timeout * 1000:.0f}ms"
    return await asyncpg.create_pool(
        dsn,
        min_size=min_size,
        max_size=size,
        timeout=_CONNECT,
        command_timeout=command_timeout,
        server_settings=settings,
        init=partial(_prepare, longest_transaction=longest_transaction, as_owner=as_owner),
        connection_class=_Stateless,
    )


class _Stateless(asyncpg.Connection[asyncpg.Record] if TYPE_CHECKING else asyncpg.Connection):  # type: ignore[misc]
    """Nobody leaves anything on a connection (no SET, LISTEN, cursor or lock of a session), so nothing is reset when
    it goes back: that was one statement in three."""

    def get_reset_query(self) -> str:
        return ""


async def _prepare(
    conn: asyncpg.Connection[asyncpg.Record], longest_transaction: float | None, as_owner: bool
) -> None:
    if not as_owner:
        await conn.execute(queries("grants").act_as_service)
    if longest_transaction is not None and conn.get_server_version().major >= 17:
        await conn.execute(f"SET transaction_timeout = '{longest_transaction * 1000:.0f}ms'")
    await conn.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_json, decoder=msgspec.json.decode, format="text"
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def asks_again(error: BaseException) -> bool:
    """Whether the database was only away for a moment, so that the same call may succeed soon."""
    # Arguments that do not fit their query are InterfaceErrors too, and stay wrong.
    return isinstance(error, _PASSING) and not isinstance(error, ValueError)


async def transaction(
    pool: Pool,
    work: Callable[[Connection], Awaitable[T]],
    *,
    attempts: int = 5,
    also: tuple[type[Exception], ...] = (),
) -> T:
    """What `work(conn)` returns, in a transaction which is committed then.

    `work` runs again from its start after a serialization failure, a deadlock or a connection that was lost
    before COMMIT: it must change nothing but the database, and let the database's errors out. Unavailable
    means that the connection was lost during COMMIT: nobody knows whether it was kept, the caller must look.
    `also` names errors that a second run may not meet, such as a row that somebody else has just written.
    """
    # One shared by several callers would count their attempts together.
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(
            (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, Lost, *also)
        ),
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        reraise=True,
    )
    return await retrying(_once, pool, work)


async def copied(conn: Connection, copy: Coroutine[Any, Any, str], *, within: float = _COPY) -> None:
    """Awaits a COPY of `conn`. Raises Lost where the connection is gone, or `within` seconds have passed.

    By itself asyncpg 0.32 waits for ever for a server that reads no more, and for one that is gone.
    """
    task = asyncio.ensure_future(copy)
    deadline = time.monotonic() + within
    try:
        while not (await asyncio.wait({task}, timeout=0.5))[0]:
            if _is_closed(conn) or time.monotonic() > deadline:
                _drop(conn)
                raise Lost("The connection to the database was lost, or stood still, during COPY")
        await task
    finally:
        task.cancel()


async def _once(pool: Pool, work: Callable[[Connection], Awaitable[T]]) -> T:
    conn = await _acquire(pool)
    try:
        running = conn.transaction()
        result = await _before_commit(conn, running, work)
        await _commit(conn, running)
    finally:
        # A connection that can't be given back is thrown away; what was committed stays committed.
        with suppress(Exception):
            await pool.release(conn)
    return result


async def _acquire(pool: Pool) -> PoolConnectionProxy[asyncpg.Record]:
    try:
        return await pool.acquire(timeout=_CONNECT)
    except TimeoutError:
        # Ten seconds were no moment, and waiting again would only lengthen the queue.
        raise
    except Exception as error:
        if asks_again(error):
            raise Lost(f"The database could not be reached: {error}") from error
        raise


async def _before_commit(
    conn: PoolConnectionProxy[asyncpg.Record],
    running: Transaction,
    work: Callable[[Connection], Awaitable[T]],
) -> T:
    try:
        await running.start()
        return await work(conn)
    except BaseException as error:
        if isinstance(error, Exception) and _is_gone(conn, error):
            _drop(conn)
            raise Lost(f"The connection to the database was lost before COMMIT: {error}") from error
        with suppress(Exception):
            await running.rollback()
        raise


async def _commit(conn: PoolConnectionProxy[asyncpg.Record], running: Transaction) -> None:
    if _is_closed(conn):
        raise Lost("The connection to the database was lost before COMMIT")
    try:
        await running.commit()
    except Exception as error:
        if isinstance(error, asyncpg.PostgresError) and not _is_gone(conn, error):
            raise
        _drop(conn)
        raise Unavailable(
            "The connection to the database was lost during COMMIT, so nobody knows whether the change was "
            f"kept: look before you try again ({error})"
        ) from error


def _is_gone(conn: PoolConnectionProxy[asyncpg.Record], error: Exception) -> bool:
    """The server's farewell (severity FATAL) arrives before the connection is seen to be closed."""
    fatal = isinstance(error, asyncpg.PostgresError) and error.severity_en in ("FATAL", "PANIC")
    return fatal or isinstance(error, asyncpg.InternalClientError) or _is_closed(conn)


def _is_closed(conn: Connection) -> bool:
    """The pool takes a lost connection out of its proxy, which then refuses even this question."""
    try:
        return conn.is_closed()
    except asyncpg.InterfaceError:
        return True


def _drop(conn: Connection) -> None:
    with suppress(asyncpg.InterfaceError):
        conn.terminate()

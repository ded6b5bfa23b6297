"""Commands that run the service: everything at once, or the API and the worker each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import rich_click as click

from app.cli import ending, ground, options, service, show
from app.cli.alone import alone, is_held
from app.cli.ground import ADMIN_KEY
from app.core.config import Settings
from app.core.db import open_pool


@click.command()
@options.listening
@options.located
def up(host: str | None, port: int | None) -> None:
    """Start everything: the database (ours, or the one that you name), the API and the worker.

    The first start makes an administrator key, prints it once and keeps it in admin.key of the data
    directory (mode 600), where the other commands find it. Ctrl-C or SIGTERM lets work under way end, then
    stops everything. A data directory is for one 'up' at a time.

    \b
    Examples
      $ imei-gateway up
      $ imei-gateway up --port 0 --data-dir ./practice
      $ imei-gateway up --database-url postgresql://gateway@db.internal/gateway
    """
    settings = options.settings(host=host, port=port)
    with alone(settings.data_dir) as says:
        until_told(_up(settings, ("web", "worker"), "IMEI gateway is up", says))


@click.command()
@options.listening
@options.located
def serve(host: str | None, port: int | None) -> None:
    """Start the API alone, with as many of them as you need on one database; 'work' belongs to it.

    \b
    Example
      $ imei-gateway serve --host 0.0.0.0 --database-url postgresql://gateway@db.internal/gateway
    """
    settings = options.settings(host=host, port=port)
    until_told(_up(settings, ("web",), "IMEI gateway serves its API"))


@click.command()
@options.located
def work() -> None:
    """Start the worker alone: it tells the partners and seals the audit log. Run as many as you need.

    \b
    Example
      $ imei-gateway work --database-url postgresql://gateway@db.internal/gateway
    """
    service.follow_input()
    until_told(_work(options.settings()), says=False)


async def _work(settings: Settings) -> None:
    from app import worker

    async with ground.database(settings) as found:
        await worker.run(found)


@click.command()
@options.as_json
@options.located
def migrate(as_json: bool) -> None:
    """Bring the database up to this release, and say what was applied. Up, serve and work do it too.

    \b
    Example
      $ imei-gateway migrate --database-url postgresql://owner@db.internal/gateway
    """
    applied = ending.run(ground.migrated(options.settings(log_level="warning")))
    if as_json:
        show.json({"applied": applied})
        return
    for name in applied:
        click.echo(f"Applied {name}")
    click.echo(f"The database is up to date; {show.count(len(applied), 'migration')} applied.")


async def _up(
    settings: Settings, names: tuple[str, ...], headline: str, says: Callable[[str], None] | None = None
) -> None:
    # A port that is taken ends it here, before a key is made and shown to nobody.
    settings = await service.with_port(settings)
    async with ground.database(settings) as found:
        # A key that cannot be read ends it here, and not each child again and again.
        ground.opened_keyring(found)
        key = await _first_key(found)
        async with service.running(found, names) as running, _left(found.data_dir, running.url, says):
            click.echo(f"{headline} at {running.url}")
            click.echo(f"Documentation: {running.url}/docs")
            click.echo(f"Data directory: {found.data_dir}")
            if key:
                click.echo(f"Administrator key (shown once; kept in {found.data_dir / ADMIN_KEY}): {key}")
            await asyncio.Event().wait()


@asynccontextmanager
async def _left(data_dir: Path, url: str, says: Callable[[str], None] | None) -> AsyncIterator[None]:
    """The address is left for other commands. That of an `up`, which `says` it, goes before that of a `serve`."""
    if says is None and is_held(data_dir):
        yield
        return
    say = says or (lambda url: None)
    say(url)
    try:
        async with ground.address_left(data_dir, url):
            yield
    finally:
        say("")


async def _first_key(settings: Settings) -> str | None:
    pool = await open_pool(settings.database_url, size=1)
    try:
        return await ground.first_key(pool, settings.data_dir)
    finally:
        await pool.close()


def until_told(work: Coroutine[Any, Any, None], *, says: bool = True) -> None:
    """Runs `work` until the process is told to end, which is its proper end."""
    try:
        ending.run(work, lambda: _say("Stopping; what is under way may end.", says))
    except click.Abort:
        _say("Stopped.", says)


def _say(text: str, says: bool) -> None:
    # The terminal may be gone, which is no reason to stop halfway.
    with suppress(OSError):
        if says:
            click.echo(text)

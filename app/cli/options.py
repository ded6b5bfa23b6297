"""Options that commands share, and the settings that they come to.

They may stand before the command's name or after it; what comes later wins.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import rich_click as click

from app.core import clock

if TYPE_CHECKING:
    from app.core.config import Settings


_TIME = "like 2026-12-22T02:00:00+01:00 or 2026-12-22T01:00:00Z, with or without a fraction of a second"


class Number(click.IntRange):
    """The number of something: of an incident, of a receipt."""

    def __init__(self, thing: str) -> None:
        super().__init__(1)
        self._thing = thing

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            found: int = super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"'{value}' is not a number of {self._thing}; it would be 1 or more.", param, ctx)
        return found


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """A time with its offset from UTC (RFC 3339); its seconds may be left out."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value.strip().upper())
    except ValueError:
        raise click.BadParameter(f"'{value}' is not a time; it would be {_TIME}.") from None
    if not found.tzinfo:
        raise click.BadParameter(f"'{value}' does not say its offset from UTC; it would be {_TIME}.")
    if not clock.is_possible(found):
        lies = "lies outside of the years 1 to 9999 in UTC and cannot be right"
        raise click.BadParameter(f"'{value}' {lies}; it would be {_TIME}.")
    return found


Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[f"{__name__}.{param.name}"] = value


def _kept(name: str) -> str | None:
    ctx = click.get_current_context()
    found: str | None = ctx.meta.get(f"{__name__}.{name}") if ctx else None
    return found


def located(command: Decorated) -> Decorated:
    """Where the gateway's data are."""
    place = click.option(
        "--data-dir",
        metavar="DIR",
        expose_value=False,
        callback=_keep,
        help="Where the gateway keeps its data. [env: IMEI_GATEWAY_DATA_DIR]"
        "  [default: ~/.local/state/imei-gateway; for root /var/lib/imei-gateway]",
    )
    database = click.option(
        "--database-url",
        metavar="URL",
        expose_value=False,
        callback=_keep,
        help="A PostgreSQL of yours; without one, ours is started in the data directory."
        " [env: IMEI_GATEWAY_DATABASE_URL, DATABASE_URL]",
    )
    return place(database(command))


def again() -> list[str]:
    """What was said of where the data are, to be said again; but no password."""
    data_dir, database_url = _kept("data_dir"), _kept("database_url")
    said = ["--data-dir", data_dir] if data_dir else []
    secret = database_url and urlsplit(database_url).password
    return [*said, *(["--database-url", database_url] if database_url and not secret else [])]


def acting(command: Decorated) -> Decorated:
    """Where the data are, and who acts."""
    key = click.option(
        "--key",
        metavar="KEY",
        expose_value=False,
        callback=_keep,
        help="The API key to act with; without one, the administrator's of the data directory."
        " [env: IMEI_GATEWAY_KEY]",
    )
    return located(key(command))


def listening(command: Decorated) -> Decorated:
    """Where the API answers."""
    host = click.option("--host", help="The address to listen on.  [default: 127.0.0.1]")
    port = click.option(
        "--port",
        type=click.IntRange(0, 65535),
        help="The port to listen on; 0 takes a free one.  [default: 8470]",
    )
    return host(port(command))


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def settings(log_level: str | None = None, **given: Any) -> Settings:
    """The settings in force for the command at hand; `given` wins where it is not None."""
    import msgspec

    from app.core import config, log

    found = config.load(data_dir=_kept("data_dir"), database_url=_kept("database_url"))
    log.set_up(log_level or found.log_level)
    changes = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(found, **changes)


def key() -> str | None:
    """The key that was given, if one was."""
    return _kept("key") or os.environ.get("IMEI_GATEWAY_KEY") or None

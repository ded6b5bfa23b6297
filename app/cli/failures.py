"""What went wrong, said on standard error as a sentence (or a problem document), and as an exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import rich_click as click

from app.core.errors import Flaw, GatewayError, Invalid, Unavailable

ERROR, USAGE, ROWS_REJECTED, NOT_IN_TIME, AUDIT_FAULT, NOT_ALLOWED, INTERRUPTED = 1, 2, 3, 4, 5, 6, 130
MOST_FLAWS = 20


def told(run: Callable[[], Any], arguments: Sequence[str]) -> int:
    """The exit code of `run`, whose failures are told. A fault of ours keeps its traceback."""
    try:
        return run() or 0
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        return _tell(_usage(error), error.exit_code, "--json" in arguments)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except Exception as error:
        known = _known(error)
        if known is None:
            raise
        return _tell(known, NOT_ALLOWED if known.status in (401, 403) else ERROR, "--json" in arguments)


def _usage(error: click.ClickException) -> GatewayError:
    ctx = getattr(error, "ctx", None)
    hint = f" See '{ctx.command_path} --help'." if ctx else ""
    said = error.format_message()
    return Invalid(f"{said}{'' if said.endswith(('.', '?', '!')) else '.'}{hint}", "usage")


def _known(error: Exception) -> GatewayError | None:
    """What a person can do something about."""
    import asyncpg

    from app.core.db import asks_again

    if isinstance(error, GatewayError):
        return error
    if isinstance(error, OSError) and error.filename:
        return Unavailable(f"{error.filename} cannot be used: {error.strerror}.", "file")
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError) and not asks_again(error):
        return Unavailable(f"The database cannot be used: {error}.", "database-refused")
    if asks_again(error) or isinstance(error, TimeoutError):
        return Unavailable(f"The database cannot be reached: {error or 'no answer'}.", "database-away")
    return None


def _tell(error: GatewayError, code: int, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(_problem(error)), err=True)
        return code
    from app.cli import show

    show.say(error.detail, "red", stderr=True)
    for flaw in _untold(error)[:MOST_FLAWS]:
        show.say(f"  • {_place(flaw)}{flaw.detail}", stderr=True)
    if len(error.flaws) > MOST_FLAWS:
        show.say(f"  … and {len(error.flaws) - MOST_FLAWS:,} more; --json lists them.", stderr=True)
    return code


def _untold(error: GatewayError) -> Sequence[Flaw]:
    """The flaws that the sentence does not tell already: a single one often is all that it says."""
    alone = len(error.flaws) == 1 and error.flaws[0].detail in error.detail
    return () if alone else error.flaws


def _place(flaw: Flaw) -> str:
    return f"{flaw.pointer.lstrip('/')}: " if flaw.pointer else ""


def _problem(error: GatewayError) -> dict[str, Any]:
    """The same members as an answer of the API has."""
    problem = {"type": "about:blank", "title": error.title, "status": error.status, "detail": error.detail}
    flaws = [
        {"detail": flaw.detail, "pointer": flaw.pointer, "code": flaw.code or error.code}
        for flaw in error.flaws
    ]
    return {**problem, "code": error.code, **({"errors": flaws} if flaws else {})}

"""The command `demo`: the Paris night, from an installed package, in minutes and with nothing left behind."""

from __future__ import annotations

from pathlib import Path

import rich_click as click


@click.command()
@click.option(
    "--devices",
    type=click.IntRange(500, 2_000_000),
    default=250_000,
    show_default=True,
    help="How many devices come in; a fifth of them is stolen.",
)
@click.option(
    "--input",
    "own_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A goods-in file of yours instead; a fifth of its pallets is stolen.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to keep the data; else they are removed at the end.",
)
@click.option(
    "--database-url", default="", help="An empty PostgreSQL database of yours; else the demo starts one."
)
@click.option("--port", type=click.IntRange(1, 65_535), help="Where the gateway answers; else a free port.")
@click.option("--seed", type=int, default=1, show_default=True, help="Other goods, thieves and chances.")
@click.option("--kill-worker", is_flag=True, help="Kill the workers while partners are being told.")
@click.option("--keep", is_flag=True, help="Keep everything running afterwards, until Ctrl-C.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the summary as JSON; the show goes to standard error."
)
def demo(
    *,
    devices: int,
    own_file: Path | None,
    data_dir: Path | None,
    database_url: str,
    port: int | None,
    seed: int,
    kill_worker: bool,
    keep: bool,
    as_json: bool,
) -> int:
    """See a theft from goods-in to the last partner.

    Real processes and sockets: PostgreSQL, the gateway and its worker, and four practice partners that
    misbehave. Everything is checked against what the goods really were; the exit code is 0 only if all of
    it is exactly right, and else 1.

    \b
    Examples
      $ imei-gateway demo
      $ imei-gateway demo --devices 5000 --kill-worker
    """
    import msgspec

    from app.cli import show
    from app.core import log
    from app.demo.play import Wishes, play
    from app.demo.screen import Screen

    log.set_up("error")
    screen = Screen(show.console(stderr=as_json))
    wishes = Wishes(
        devices, seed, port or 0, own_file, data_dir, database_url, kill_worker=kill_worker, keep=keep
    )
    right = play(wishes, screen, lambda said: click.echo(msgspec.json.encode(said)) if as_json else None)
    return 0 if right else 1

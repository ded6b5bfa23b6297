"""Adapters, from the command line: which are installed, what their settings are, and how to begin a new one."""

from __future__ import annotations

import shlex
from pathlib import Path

import rich_click as click

from app.adapters import registry
from app.cli import kinds, options, show, skeleton


@click.group()
def adapter() -> None:
    """List and show the kinds of adapters, and write the package of a new one. It needs no gateway.

    \b
    Example
      $ imei-gateway adapter list
    """


@adapter.command("list")
@options.as_json
def list_(as_json: bool) -> None:
    """List the adapters that are installed, ours and those of other packages.

    \b
    Example
      $ imei-gateway adapter list
    """
    found = sorted(registry.adapters().items())
    if as_json:
        show.json({"adapters": [kinds.described(kind, it) for kind, it in found]})
        return
    rows = [
        (
            kind,
            it.title,
            " and ".join(sorted(it.kinds)),
            "at goods-in" if it.enrols else "",
            registry.origin(kind),
        )
        for kind, it in found
    ]
    show.draw(show.table("", ("kind", "title", "blocks by", "enrols", "package"), rows))
    for wrong in registry.broken().values():
        show.say(wrong, "red")


@adapter.command("show")
@click.argument("kind")
@options.as_json
def show_(kind: str, as_json: bool) -> None:
    """Show one kind of adapter and its settings: each one's type, default, what would be right, and whether it
    is a secret, which is never shown again once it is set.

    \b
    Example
      $ imei-gateway adapter show ceir
    """
    found = registry.adapter(kind)
    if as_json:
        show.json(kinds.described(kind, found))
        return
    kinds.draw(kind, found)
    kinds.warn_of_files(it.right for it in kinds.settings(kind, found.settings))


@adapter.command()
@click.argument("name")
@click.argument("directory", type=click.Path(path_type=Path), required=False)
@options.as_json
def new(name: str, directory: Path | None, as_json: bool) -> None:
    """Write the package of a new adapter: one that works as it stands, its tests, and a README with the next
    steps. NAME is the kind, DIRECTORY a new one, by default NAME-adapter here.

    \b
    Examples
      $ imei-gateway adapter new atlantis
      $ imei-gateway adapter new atlantis ../atlantis
    """
    package = skeleton.named(name, registry.adapters())
    directory = directory or Path(package.package)
    written = skeleton.write(package, directory)
    if as_json:
        show.json(
            {"kind": package.kind, "directory": str(directory), "files": [str(path) for path in written]}
        )
        return
    for path in written:
        click.echo(path)
    show.say(
        f"\nThe adapter '{package.kind}' is in {directory}; its README has the next steps, these first:",
        "green",
    )
    place = str(directory) if directory.is_absolute() else f"./{directory}"
    python = skeleton.interpreter()
    click.echo(f"  python3 -m pip --python {python} install -e {shlex.quote(f'{place}[test]')}")
    click.echo(f"  (cd {shlex.quote(place)} && {python} -m pytest)")
    show.say("A gateway that runs knows the adapter once it is restarted.")

"""One night from curtain to curtain: the goods, the scene, the acts, the summary; and everything put away."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from app.demo import arrival, proof, summary, theft
from app.demo.check import Checks
from app.demo.generate import generate
from app.demo.goods import Goods
from app.demo.night import Night
from app.demo.own_file import own
from app.demo.scene import Scene, folder, scene, settings
from app.demo.screen import Bar, Screen

TITLE = "The Paris night"
STORY = (
    "A gang drives off from a fulfilment centre near Paris with pallets of phones; every IMEI on them was"
    " registered at goods-in. The pallets are named, a second person approves, and four partners are told,"
    " though they fail, refuse and fall asleep, while carriers hear “blocked” from that second on."
)

Tell = Callable[[dict[str, Any]], object]

_ACTS = (
    arrival.goods_in, arrival.enrolment, theft.trouble, theft.declare, theft.approve, theft.told, theft.lift,
    proof.sets, proof.prove,
)  # fmt: skip


class Wishes(msgspec.Struct, frozen=True):
    """What the caller wants of the night."""

    devices: int
    seed: int
    port: int = 0
    own_file: Path | None = None
    data_dir: Path | None = None
    database_url: str = ""
    kill_worker: bool = False
    keep: bool = False


def play(wishes: Wishes, screen: Screen, tell: Tell) -> bool:
    """Whether the night went exactly right. `tell` hears the summary, before anything is kept running."""
    return asyncio.run(_until_told_to_stop(wishes, screen, tell))


async def _until_told_to_stop(wishes: Wishes, screen: Screen, tell: Tell) -> bool:
    playing = asyncio.ensure_future(_play(wishes, screen, tell))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Once: what is being put away then is put away to the end.
        loop.add_signal_handler(number, _once(playing.cancel))
    try:
        return await playing
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _once(act: Callable[[], object]) -> Callable[[], object]:
    acts = [act]
    return lambda: acts.pop()() if acts else None


async def _play(wishes: Wishes, screen: Screen, tell: Tell) -> bool:
    began = time.monotonic()
    screen.open(TITLE, STORY)
    with folder() as passing:
        goods = await _goods(wishes, passing, screen)
        chosen = settings(wishes.data_dir or passing, wishes.database_url, wishes.port)
        async with scene(chosen, goods, screen, wishes.seed) as playing:
            night = Night(goods, playing, screen, Checks(), wishes.kill_worker)
            for act in _ACTS:
                await act(night)
            said = summary.summary(night, time.monotonic() - began)
            summary.draw(screen.console, said)
            tell({**said, "kept": _kept(playing)} if wishes.keep else said)
            if wishes.keep:
                await _keep(playing, screen)
    return not night.checks.faults


async def _goods(wishes: Wishes, passing: Path, screen: Screen) -> Goods:
    if wishes.own_file:
        with screen.step("csv", f"Read {wishes.own_file.name}") as step:
            goods = await asyncio.to_thread(own, wishes.own_file, wishes.seed)
            step.told = f"{wishes.own_file.name}: {goods.verdicts.rows:,} rows are expected to give"
            step.told += f" {goods.verdicts.registered:,} devices"
            return goods
    with screen.step("csv", f"Write a goods-in file of {wishes.devices:,} devices") as step:
        goods = await asyncio.to_thread(
            generate, passing / "goods-in.csv", wishes.devices, wishes.seed,
            lambda rows: step.show(Bar("devices", rows, wishes.devices)),
        )  # fmt: skip
        step.told = (
            f"The goods: {wishes.devices:,} devices in {goods.verdicts.rows:,} rows, some spoilt on purpose"
        )
        return goods


def _kept(playing: Scene) -> dict[str, Any]:
    """Where everything answers, and with which keys."""
    return {
        "url": playing.service.url,
        "keys": msgspec.to_builtins(playing.keys),
        "partners": {kind: each.url for kind, each in playing.sandboxes.items()},
    }


async def _keep(playing: Scene, screen: Screen) -> None:
    kept = _kept(playing)
    screen.say("", f"The gateway goes on at {kept['url']} (for people: {kept['url']}/docs) until Ctrl-C.")
    screen.say(*(f"{name:<14} {key}" for name, key in kept["keys"].items()))
    screen.say(*(f"{kind:<14} {url}" for kind, url in kept["partners"].items()))
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()

"""Watching the partners being told: a bar for each, until the last one has given its last word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

import msgspec

from app.cli.bars import Bars
from app.delivery.progress import Standing, Tally
from app.demo.patience import Patience
from app.demo.scene import Scene
from app.demo.screen import Step

PULSE = 0.4


async def watch(
    scene: Scene,
    incident: int,
    op: Literal["block", "release"],
    step: Step,
    on_share: Callable[[float], None] = lambda share: None,
) -> dict[str, Standing]:
    """Shows how far `op` has come until all of the incident is settled, or nothing moves any more; gives
    the partners' standings by adapter kind. `on_share` hears which part of the identifiers is told."""
    bars, patience = Bars(), Patience()
    while True:
        answer = await scene.gateway.told("GET", f"/v1/incidents/{incident}", scene.keys.manager)
        standings = [_only(op, each) for each in msgspec.convert(answer["partners"], list[Standing])]
        bars.update(standings)
        step.show(bars)
        scene.weigh()
        share = _share(standings, op)
        if answer["settled"] or patience.ends(share):
            return {standing.adapter: standing for standing in standings}
        on_share(share)
        await asyncio.sleep(PULSE)


def _only(op: str, standing: Standing) -> Standing:
    other = "release" if op == "block" else "block"
    return msgspec.structs.replace(standing, **{other: None})


def _share(standings: list[Standing], op: str) -> float:
    tallies: list[Tally] = [tally for standing in standings if (tally := getattr(standing, op))]
    told = sum(tally.wanted - tally.open - tally.accepted for tally in tallies)
    return told / max(1, sum(tally.wanted for tally in tallies))

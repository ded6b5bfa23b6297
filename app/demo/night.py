"""The night as it goes on: what it is played with, and what has come of it so far."""

from __future__ import annotations

import msgspec

from app.audit.verify import Report
from app.delivery.progress import Standing
from app.demo.check import Checks
from app.demo.goods import Goods
from app.demo.scene import Scene
from app.demo.screen import Screen


class Night(msgspec.Struct):
    """`fan_out` is where each partner stood when all had confirmed, and `repeats` what it was told twice."""

    goods: Goods
    scene: Scene
    screen: Screen
    checks: Checks
    kill_worker: bool = False
    incident: int = 0
    fan_out: dict[str, Standing] = {}
    repeats: dict[str, int] = {}
    audit: Report | None = None

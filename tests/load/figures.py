"""Figures as they are shown: median and spread beside goal and floor, with the machine's pace around them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

HEAD = f"{'':56}{'goal':>12}{'measured':>12}{'spread':>22}{'floor':>12}{'ratio':>8}  "


class Figure(NamedTuple):
    """One figure, measured as often as it has values. `floor` was measured beside each of them; the goal is of the
    figure itself or, with `of_floor`, of its ratio to the floor."""

    name: str
    values: Sequence[float]
    at_most: float | None = None
    at_least: float | None = None
    floor: Sequence[float] = ()
    of_floor: bool = False

    @property
    def ratio(self) -> float | None:
        if not self.floor:
            return None
        return median(ours / floor for ours, floor in zip(self.values, self.floor, strict=True))

    @property
    def met(self) -> bool | None:
        """None where there is no goal."""
        judged = self.ratio if self.of_floor else median(self.values)
        assert judged is not None
        if self.at_most is not None:
            return judged <= self.at_most
        return judged >= self.at_least if self.at_least is not None else None

    def line(self) -> str:
        spread = f"{_number(min(self.values))}–{_number(max(self.values))} (n={len(self.values)})"
        floor = _number(median(self.floor)) if self.floor else ""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        return (
            f"{self.name:56}{self._goal:>12}{_number(median(self.values)):>12}{spread:>22}{floor:>12}{ratio:>8}"
            f"  {verdict}"
        ).rstrip()

    @property
    def _goal(self) -> str:
        sign, goal = ("≤", self.at_most) if self.at_most is not None else ("≥", self.at_least)
        return "" if goal is None else f"{sign} {_number(goal)}{' ×' if self.of_floor else ''}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class Machine:
    """How fast the machine is, and how busy, before and after a measurement."""

    def __init__(self) -> None:
        self._before = _pace(), os.getloadavg()[0]

    def line(self) -> str:
        (pace, load), (pace_now, load_now) = self._before, (_pace(), os.getloadavg()[0])
        return (
            f"Machine: a fixed loop took {pace:.2f} s before and {pace_now:.2f} s after;"
            f" load {load:.1f} before and {load_now:.1f} after, on {os.cpu_count()} cores."
        )


def _pace() -> float:
    began, total = time.perf_counter(), 0
    for number in range(5_000_000):
        total += number & 7
    return time.perf_counter() - began

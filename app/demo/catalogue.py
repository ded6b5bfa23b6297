"""What lies on the pallets: makers and models that exist, with TACs and GTINs in the form of real ones."""

from __future__ import annotations

from typing import Any, NamedTuple

from app.core import gs1

OLD_TAC = 1_020_300
"""Begins with a zero, which spreadsheets drop; it then looks like one that begins with 10."""


class Model(NamedTuple):
    """A product. `tacs` has one for each IMEI that a device carries; tablets and laptops carry none."""

    name: str
    gtin: str
    tacs: tuple[int, ...]
    cents: int
    weight: int
    serial: str

    @property
    def brand(self) -> str:
        return self.name.partition(" ")[0]


def _model(name: str, *made: Any) -> Model:
    body, tacs, euros, weight, serial = made
    return Model(name, f"{body}{gs1.check_digit(body)}", tacs, euros * 100 - 1, weight, serial)


MODELS = (
    _model("Samsung Galaxy S25 Ultra", "880609581001", (35_102_641, 35_102_642), 1_449, 80, "R5CX"),
    _model("Samsung Galaxy S25", "880609581002", (35_218_733, 35_218_734), 899, 110, "R5CY"),
    _model("Samsung Galaxy A56", "880609581003", (35_677_190, 35_677_191), 479, 120, "R9AY"),
    _model("Samsung Galaxy Z Flip7", "880609581004", (35_490_365, 35_490_366), 1_199, 30, "RFCY"),
    _model("Samsung Galaxy Tab S10 WiFi", "880609581005", (), 899, 35, "R52Y"),
    _model("Apple iPhone 17 Pro", "019594920001", (35_341_286, 35_341_287), 1_329, 140, "F2L"),
    _model("Apple iPhone 17", "019594920002", (35_826_054, 35_826_055), 969, 120, "GX7"),
    _model("Apple iPhone 16e", "019594920003", (35_063_918, 35_063_919), 719, 60, "K9Q"),
    _model("Apple iPad Air 11 WiFi", "019594920004", (), 669, 30, "H4V"),
    _model("Apple MacBook Air 13", "019594920005", (), 1_199, 25, "C02"),
    _model("Google Pixel 10 Pro", "084024420001", (35_745_821, 35_745_822), 1_099, 50, "4A11"),
    _model("Google Pixel 10a", "084024420002", (35_951_407, 35_951_408), 549, 40, "4B21"),
    _model("Xiaomi 15", "694181250001", (86_420_507, 86_420_508), 999, 55, "X15"),
    _model("Xiaomi Redmi Note 14 Pro", "694181250002", (86_731_906, 86_731_907), 399, 70, "XN4"),
    _model("Honor Magic7 Lite", "693652010001", (86_093_706, 86_093_707), 399, 40, "HN7"),
    _model("Motorola Edge 60", "084002330001", (35_580_214, 35_580_215), 399, 35, "ZY2"),
    _model("Fairphone 6", "871837490001", (35_369_512, 35_369_513), 599, 10, "FP6"),
    _model("Lenovo ThinkPad X1 Carbon", "019789110001", (), 1_899, 20, "PF4"),
    _model("Microsoft Surface Pro", "088984290001", (), 1_099, 20, "MS9"),
)
OWNERS = ("Orange Retail", "Boulanger", "Fnac Darty", "Amazon EU", "Bouygues Boutiques")

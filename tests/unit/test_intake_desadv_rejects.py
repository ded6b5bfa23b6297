"""Devices of a dispatch advice as they are given back: with all that it says of them, to be fixed and sent again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

import pytest

from app.core import imei
from app.devices.intake import Defaults, Format, Reading, desadv, read

from .test_intake_desadv import (
    GLN,
    KEY,
    LINE,
    OTHER_TAC,
    PALLET,
    WORSE,
    WRONG,
    A,
    B,
    C,
    D,
    E,
    advice,
    findings,
    readings,
)  # fmt: skip


def given_back(found: Iterable[Reading]) -> bytes:
    """These readings as a file with a header."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([desadv.COLUMNS, *(cells for _, _, cells in found if cells)])
    return text.getvalue().encode()


@pytest.mark.parametrize(
    "price", ["PRI+AAA:1.234", "PRI+AAA:10:::3", "PRI+AAA:499", "MOA+146:499,90:USD", "FTX+AAI"]
)
def test_devices_are_given_back_with_all_that_the_advice_says_of_them(price: str) -> None:
    head = (f"NAD+DP+{GLN}::9", "CUX+2:EUR", "CPS+1", f"GIN+BJ+{PALLET}", LINE, "IMD+F++:::Phone, black")
    source = advice(*head, price, f"GIR+1+{A}:EI+{B}:EI+F1:BN", f"GIN+BN+F7+{C}")
    for defaults in (Defaults(), Defaults("PAR1", "ACME", "GBP")):
        first = list(readings(source, defaults))
        again = read(io.BytesIO(given_back(first)), Format.CSV, Defaults()).readings
        assert [row and row[1:] for row, _, _ in again] == [row and row[1:] for row, _, _ in first]


@pytest.mark.parametrize(
    "segment",
    [
        f"GIN+BN+{WRONG}", f"GIN+BN+{WRONG}:{WORSE}", "GIN+BN+F9:F8", "GIR+1+F1:BN+F2:BN", "GIN+EI+35209900",
        f"GIR+1+{A}:EI+{B}:EI+{C}:EI+{D}:EI+{E}:EI", "GIN+BN+F?'\t1", f"GIN+BN+{A}:{OTHER_TAC}",
    ],
)  # fmt: skip
def test_what_was_rejected_and_given_back_is_rejected_again(segment: str) -> None:
    source = advice("CPS+1", LINE, segment, f"GIN+BN+{imei.full(KEY + 9)}")
    refused = [reading for reading in readings(source) if reading[0] is None]
    (again,) = read(io.BytesIO(given_back(refused)), Format.CSV, Defaults()).readings
    assert again[0] is None


def test_a_finding_names_its_segment_and_its_device() -> None:
    (finding,) = findings(advice("CPS+1", "LIN+1++12:SRV", f"GIN+BN+F1+{A}"))[:1]
    assert finding.sentence.startswith("Segment 5, serial F1: '12' is not a GTIN")

"""On which pallet a dispatch advice says that a device stands: packages in packages, and their SSCCs."""

from __future__ import annotations

import pytest

from .test_intake_desadv import CARTON, LINE, PALLET, SECOND, A, B, advice, coded, findings, rows

CARTONS = f"GIN+BJ+{CARTON}:{CARTON[:-1]}8"


@pytest.mark.parametrize(
    ("segments", "pallet"),
    [
        (["CPS+1", f"GIN+BJ+{PALLET}", LINE], PALLET),
        (["CPS+1", f"GIN+AW+{PALLET}", "CPS+2+1", "CPS+3+2", LINE], PALLET),
        (["CPS+1", f"GIN+BJ+{PALLET}", "CPS+2+1", f"GIN+BJ+{CARTON}", "CPS+3", LINE], ""),
        (["CPS+1", f"GIN+BJ+{PALLET}", "CPS+2+1", f"GIN+BJ+{CARTON}:{SECOND}", LINE], PALLET),
        (["CPS+1+1", f"GIN+BJ+{PALLET}", LINE], PALLET),
        (["CPS+1+1", f"GIN+BJ+{CARTON}", "CPS+1+1", f"GIN+BJ+{PALLET}", LINE], PALLET),
        (["CPS+1", f"GIN+BJ+{PALLET}", LINE, "GIN+BX+BATCH7"], PALLET),
        (["CPS+1", "PAC+3", "CPS+2+1", f"GIN+BJ+{PALLET}", "CPS+3+2", f"GIN+BJ+{CARTON}", LINE], PALLET),
        (["CPS+2", f"GIN+BJ+{PALLET}", "CPS+3+2", f"GIN+BJ+{CARTON}:{SECOND}", "CPS+4+3", LINE], PALLET),
        (["CPS+2", f"GIN+BJ+{PALLET}", "CPS+3", f"GIN+BJ+{SECOND}", "CPS+4+2", f"GIN+BJ+{CARTON}", LINE], PALLET),
        (["CPS+1", f"GIN+BJ+{PALLET}", LINE, "PCI+33E", f"GIN+BJ+{CARTON}"], PALLET),
        (["CPS+1", f"GIN+BJ+{PALLET}+{SECOND}", LINE, "QTY+12:1", "PCI+33E", f"GIN+BJ+{SECOND}"], SECOND),
        (["CPS+1", f"GIN+BJ+{PALLET}:{SECOND}", "CPS+2+1", f"GIN+BJ+{SECOND}", "CPS+3+2", CARTONS, LINE], SECOND),
    ],
)  # fmt: skip
def test_the_pallet_is_the_outermost_package_with_an_sscc(segments: list[str], pallet: str) -> None:
    source = advice(*segments, f"GIN+BN+{A}")
    assert [row.shared.pallet for row in rows(source)] == [pallet]
    assert findings(source) == []


def test_each_package_of_an_item_has_its_own_serials() -> None:
    source = advice(
        "CPS+1", LINE, "QTY+12:2", "PCI+33E", f"GIN+BJ+{PALLET}", f"GIN+BN+{A}", "PCI+33E", "QTY+12:1",
        f"GIN+BJ+{SECOND}", f"GIN+BN+{B}",
    )  # fmt: skip
    assert [row.shared.pallet for row in rows(source)] == [PALLET, SECOND]
    assert findings(source) == []


@pytest.mark.parametrize("below", [[], ["CPS+2+1"], ["CPS+2+1", "CPS+3+2", CARTONS]])
def test_several_ssccs_without_a_choice_are_no_pallet(below: list[str]) -> None:
    source = advice("CPS+1", f"GIN+BJ+{PALLET}:{SECOND}", *below, LINE, f"GIN+BN+{A}", f"GIN+BN+{B}")
    assert [row.shared.pallet for row in rows(source)] == ["", ""]
    assert coded(source) == [(5 + len(below), "pallet-unclear")]

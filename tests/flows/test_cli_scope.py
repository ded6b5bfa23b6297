"""Files of names: what people write into them is taken, and what is wrong is told by its line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.cli.scope import Places, scope
from app.core.errors import Invalid
from app.incidents import scope as scopes
from app.incidents.scope import Scope

GOOD, WRONG = "490154203237518", "490154203237517"
NOTHING: dict[str, Any] = {
    "pallet": (), "pallets": None, "receipt": (), "imei": (), "imeis": None, "serial": (), "serials": None,
}  # fmt: skip


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "stolen.txt"
        path.write_text(text, encoding="utf-8-sig")
        return path

    return write


def _refusal(wanted: Scope, places: Places) -> Invalid:
    with pytest.raises(Invalid) as refused, places.told():
        scopes.read(wanted, datetime.now(UTC))
    return refused.value


@pytest.mark.parametrize("header", ["SSCC", "Pallet", '"pallet id"', "sscc_no", "# my pallets", ""])
def test_a_header_quotes_and_comments_are_passed_over(written: Any, header: str) -> None:
    path = written(f'{header}\n"106141412345678908"\n\n# more\n  340123450000000017  \n')
    wanted, _ = scope(**{**NOTHING, "pallets": path})
    assert wanted == Scope(pallets=("106141412345678908", "340123450000000017"))


@pytest.mark.parametrize(("field", "header"), [("imeis", "IMEI 1"), ("serials", "Serial No.")])
def test_each_kind_of_name_has_headers_of_its_own(written: Any, field: str, header: str) -> None:
    wanted, _ = scope(**{**NOTHING, field: written(f"{header}\n{GOOD}\n")})
    assert getattr(wanted, field) == (GOOD,)


def test_only_the_first_line_is_a_header(written: Any) -> None:
    wanted, _ = scope(**{**NOTHING, "serials": written("A-1\nserial\n")})
    assert wanted.serials == ("A-1", "serial")


def test_what_is_wrong_is_told_by_its_line_in_the_file(written: Any) -> None:
    path = written(f"# van\nIMEI\n{GOOD}\n\n{WRONG}\nx\n")
    error = _refusal(*scope(**{**NOTHING, "imei": (WRONG,), "imeis": path}))
    assert [flaw.pointer for flaw in error.flaws] == ["--imei", "stolen.txt line 5", "stolen.txt line 6"]
    assert error.detail == "The scope holds 3 things that cannot be right. Nothing was done."


def test_a_single_flaw_is_one_sentence_with_its_line(written: Any) -> None:
    error = _refusal(*scope(**{**NOTHING, "imeis": written(f"{GOOD}\n{WRONG}\n")}))
    assert error.detail == (
        f"stolen.txt line 2: IMEI {WRONG} fails the Luhn check: its last digit would be 8. Nothing was done."
    )

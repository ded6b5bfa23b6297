"""What foreign text can do to a terminal: nothing."""

from __future__ import annotations

import io

import pytest
from rich.text import Text

from app.cli import show
from app.core.visible import visible

# Clears the screen, sets its title, goes up a line, turns the direction, is a C1 order, parts lines.
ORDERS = "\x1b[2J\x1b]0;owned\x07\x1b[1A\u202e\x9b31m\u2028\u2066\ufeff\r\x08"


@pytest.mark.parametrize(
    "drawn",
    [
        show.table("", ("a", "b"), [(f"x{ORDERS}y", Text(ORDERS, style="red"))]),
        show.table(ORDERS, ("a",), [(ORDERS * 60,)]),
        show.facts([("name", ORDERS)]),
        Text(f"said {ORDERS}", style="bold"),
        ORDERS,
    ],
    ids=["a table", "a title", "facts", "a sentence", "bare"],
)
@pytest.mark.parametrize("width", [20, 160])
def test_foreign_text_gives_no_orders(drawn: object, width: int) -> None:
    out = io.StringIO()
    show.Screen(file=out, width=width, markup=False, highlight=False, emoji=False).print(drawn)
    assert out.getvalue().strip()
    assert out.getvalue().replace("\n", "").isprintable()


def test_our_own_colours_stay() -> None:
    out = io.StringIO()
    show.Screen(file=out, width=40, force_terminal=True, color_system="standard").print(
        Text("x", style="red")
    )
    assert out.getvalue() == "\x1b[31mx\x1b[0m\n"


def test_other_scripts_stay() -> None:
    text = "1\u00a0299,00\u202f€ Zażółć gęślą jaźń 東京 Ωμέγα \U0001f4f1\nnext"
    assert visible(text) == text

"""Progress bars: what they show, at every width, and never more than is true."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from app.cli.bars import Bars, Paces
from app.delivery.progress import Standing, Tally


def _standing(health: str = "working", fault: str = "", **counts: int) -> Standing:
    ends = ("done", "already", "accepted", "refused", "superseded", "parked", "not_ours")
    fields = {name: counts.get(name, 0) for name in ("wanted", *ends, "calls", "failed_calls")}
    ended = sum(fields[name] for name in ends)
    block = Tally(**fields, open=fields["wanted"] - ended, rate=None, seconds_left=None)
    return Standing(1, "Operator Nord", "eir_push", health, fault, None, None, block)


def _drawn(*moments: tuple[float, Standing], width: int = 80) -> str:
    now = [0.0]
    bars = Bars(clock=lambda: now[0])
    for at, standing in moments:
        now[0] = at
        bars.update([standing])
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(bars)
    return out.getvalue()


def test_a_partner_under_way_shows_rate_and_time_left() -> None:
    text = _drawn((0, _standing(wanted=1000)), (2, _standing(wanted=1000, done=300, already=100)))
    assert "400/1,000" in text
    assert "200/s" in text
    assert "0:03" in text


def test_a_settled_partner_is_full_and_says_so() -> None:
    text = _drawn((0, _standing(wanted=10, done=10)))
    assert "settled" in text
    assert "·" not in text


def test_one_that_is_not_done_is_never_drawn_as_full() -> None:
    assert "·" in _drawn((0, _standing(wanted=93_000, done=92_999)))


def test_refusals_faults_and_rest_are_named() -> None:
    standing = _standing(
        "resting", "HTTP 503", wanted=10, done=1, refused=2, accepted=3, calls=4, failed_calls=1
    )
    text = " ".join(_drawn((0, standing), width=100).split())
    assert "2 refused" in text
    assert "3 accepted" in text
    assert "1 of 4 calls failed" in text
    assert "HTTP 503" in text


def test_a_paused_partner_says_what_makes_it_go_on() -> None:
    text = " ".join(_drawn((0, _standing("paused", "Their maintenance", wanted=10))).split())
    assert "paused: Their maintenance · goes on after 'imei-gateway partner resume 1'" in text


def test_one_that_refuses_our_credentials_is_not_to_be_resumed_before_they_are_corrected() -> None:
    fault = "HTTP 401: the partner does not accept our credentials"
    text = " ".join(_drawn((0, _standing("paused", fault, wanted=10))).split())
    assert f"paused: {fault} · correct its settings" in text
    assert text.index("correct its settings") < text.index("partner resume 1")


def test_one_at_which_orders_are_parked_is_not_called_settled() -> None:
    text = " ".join(_drawn((0, _standing("parked", wanted=10, done=8, parked=2))).split())
    assert "settled" not in text
    assert "2 parked · given up until 'imei-gateway partner replay 1 --which parked'" in text


def test_a_single_look_knows_no_rate_and_shows_none() -> None:
    assert "–" not in _drawn((0, _standing(wanted=10)))
    assert "0/s" not in _drawn((0, _standing(wanted=10)))
    assert "0/s" in _drawn((0, _standing(wanted=10)), (2, _standing(wanted=10)))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    standing = _standing("resting", "HTTP 503", wanted=93_000, done=1, refused=2, calls=900, failed_calls=1)
    assert max(map(len, _drawn((0, standing), width=width).splitlines())) <= width


def test_lines_say_the_same_without_a_terminal() -> None:
    bars = Bars()
    bars.update([_standing(wanted=10, done=8, refused=2)])
    assert list(bars.lines()) == ["Operator Nord block: 8 of 10 confirmed; 2 refused; settled"]


def test_what_was_given_up_is_told_apart_from_what_is_not_ours() -> None:
    drawn = _drawn((0, _standing(wanted=100, done=50, parked=30, not_ours=20)))
    assert "30 parked · 20 not ours to release" in drawn
    assert drawn.count("▓") > drawn.count("▒") > 0


def test_the_time_that_is_left_goes_by_the_last_seconds_and_not_by_the_first() -> None:
    """It stood still for an hour, which an average would never forget."""
    now = 0.0
    paces = Paces(clock=lambda: now)
    paces.update([_standing(wanted=1000, done=100)])
    for now, done in ((3600.0, 100), (3605.0, 200), (3610.0, 300)):  # noqa: B007 (the clock reads it)
        paces.update([standing := _standing(wanted=1000, done=done)])
    block = paces.recent(standing).block
    assert block is not None
    assert (block.rate, block.seconds_left) == (20.0, 35.0)

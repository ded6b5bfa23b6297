"""A stretch: the calls of about a second, made out of one delivery, and what they settle of it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from app.adapters.contract import Answer, Order, Outcome
from app.audit.record import Entry
from app.delivery import judge
from app.delivery.judge import Judgement
from app.delivery.lanes import Work
from app.delivery.settle import Settlement

FAILURES_IN_A_ROW = 3
_MOST_HALVED = 12
_POISON = "Given up: the workers that told it ended without a word, again and again."


class Call(msgspec.Struct, frozen=True):
    """One call to make: the places in the chunk that it is about, and the batch."""

    places: list[int]
    orders: tuple[Order, ...]
    key: str


class Stretch(msgspec.Struct):
    """The calls made since the last settlement, judged. `leave`: the lane must be left after settling them."""

    made: list[tuple[Call, Judgement]] = []
    entries: list[Entry] = []
    leave: bool = False

    @property
    def last(self) -> Judgement | None:
        return self.made[-1][1] if self.made else None

    @property
    def answered(self) -> bool:
        """Whether any call of it found the partner well."""
        return any(judged.answered for _, judged in self.made)

    @property
    def failing(self) -> bool:
        """Whether the latest calls failed in a row: the partner is not well, so let it be."""
        tail = self.made[-FAILURES_IN_A_ROW:]
        return len(tail) == FAILURES_IN_A_ROW and all(judged.failed for _, judged in tail)


def calls_of(work: Work, size: int, partner_id: int) -> list[Call]:
    """The calls that tell what has not had its turn, of so many orders each."""
    calls = []
    for start in range(0, len(work.untried), size):
        places = work.untried[start : start + size]
        orders = tuple(work.orders[place] for place in places)
        calls.append(Call(places, orders, _key(partner_id, work, places)))
    return calls


def _key(partner_id: int, work: Work, places: Sequence[int]) -> str:
    """The same for every repeat of the same orders of the same chunk, which never changes, and for nothing else."""
    return hashlib.sha256(f"{partner_id}:{work.chunk_id}:{work.op}:{places}".encode()).hexdigest()[:32]


def exceptions(call: Call, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """The orders that did not simply succeed, by their place in the chunk."""
    return [
        {"place": place, "outcome": answer.outcome, "code": answer.code, "words": answer.words}
        for place, answer in zip(call.places, answers, strict=True)
        if answer.outcome not in ("done", "already")
    ]


def settlement(work: Work, stretch: Stretch, not_ours: Sequence[int]) -> Settlement:
    """What the stretch settled. What failed goes behind what has not had its turn; once all had theirs, the
    delivery waits and a new round begins."""
    answers = {
        place: answer
        for call, judged in stretch.made
        for place, answer in zip(call.places, judged.answers, strict=True)
        if judge.settled(answer)
    }
    spent = {place for call, judged in stretch.made if judged.spent for place in call.places}
    untried = [place for place in work.untried if place not in spent]
    left = work.orders.keys() - answers.keys() - set(untried)
    failed = [place for place in work.orders if place in left]
    faults = [judged.fault for _, judged in stretch.made if judged.fault]
    return Settlement(
        open_at=untried + failed,
        untried=len(untried) or None,
        answers=answers,
        untold=[*(place for place in work.dropped if place in work.fresh), *not_ours],
        outlived=[place for place in work.dropped if place not in work.fresh],
        calls=len(stretch.made),
        failed_calls=len(faults),
        entries=stretch.entries,
        not_ours=len(not_ours),
        halved=_halved(work, stretch),
        again=bool(failed) and not untried,
        fault=faults[-1] if faults else "",
    )


def _halved(work: Work, stretch: Stretch) -> int:
    """Calls grow smaller while whole ones come to nothing, and larger again once all are answered."""
    if any(judged.failed and len(call.orders) > 1 for call, judged in stretch.made):
        return min(_MOST_HALVED, work.halved + 1)
    if stretch.made and all(judged.answered for _, judged in stretch.made):
        return max(0, work.halved - 1)
    return work.halved


def give_up(work: Work, done: Settlement, poison: Sequence[int]) -> None:
    """Parks what cannot be told: at which workers died, or what has been tried for too long. A person may have it
    told again."""
    parked = {place: Answer(Outcome.UNKNOWN, "poison", _POISON) for place in poison}
    if done.again and work.late:
        words = f"Given up after {work.tries + 1:,} rounds of tries; the last came to: {done.fault}"[:300]
        parked = {place: Answer(Outcome.UNKNOWN, "late", words) for place in done.open_at}
        done.again = False
    left = [place for place in done.open_at[: done.untried] if place not in parked]
    done.untried = len(left) if done.untried and left else None
    done.open_at = [place for place in done.open_at if place not in parked]
    done.parked = parked

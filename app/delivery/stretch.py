"""A stretch: the calls of about a second, made out of a few deliveries, and what they settle of each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
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
_SIMPLE = {"done", "already"}
_POISON = "Given up: the workers that told it ended without a word, again and again."


class Call(msgspec.Struct, frozen=True):
    """One call to make: the delivery, the places in its chunk that it is about, and the batch."""

    work: Work
    places: list[int]
    orders: tuple[Order, ...]
    key: str


class Stretch(msgspec.Struct):
    """The calls made since the last settlement, judged. So many were `allowed` by the partner's rate. `leave`: the
    lane must be left after settling them."""

    allowed: int = 0
    made: list[tuple[Call, Judgement]] = []
    entries: list[Entry] = []
    leave: bool = False

    def concerns(self, work: Work) -> bool:
        """Whether there is anything to settle of a delivery: calls were made, or there is none to make."""
        return not work.untried or any(call.work is work for call, _ in self.made)

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
        calls.append(Call(work, places, orders, _key(partner_id, work, places)))
    return calls


def _key(partner_id: int, work: Work, places: Sequence[int]) -> str:
    """The same for every repeat of the same orders of the same chunk, which never changes, and for nothing else."""
    return hashlib.sha256(f"{partner_id}:{work.chunk_id}:{work.op}:{places}".encode()).hexdigest()[:32]


def spans(places: Sequence[int]) -> str:
    """Places in few words: `1-500`, or `3,7-9`. An entry about a whole chunk would otherwise list them all."""
    if places == list(range(places[0], places[0] + len(places))):
        return _span(places[0], places[-1])
    starts = [place for before, place in pairwise([-1, *places]) if place != before + 1]
    ends = [place for place, after in pairwise([*places, -1]) if after != place + 1]
    return ",".join(map(_span, starts, ends))


def _span(first: int, last: int) -> str:
    return f"{first}-{last}" if first < last else str(first)


def exceptions(call: Call, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """The orders that did not simply succeed, by their place in the chunk."""
    if judge.tally(answers).keys() <= _SIMPLE:
        return []
    return [
        {"place": place, "outcome": answer.outcome, "code": answer.code, "words": answer.words}
        for place, answer in zip(call.places, answers, strict=True)
        if answer.outcome not in _SIMPLE
    ]


def settlement(work: Work, stretch: Stretch) -> Settlement:
    """What the stretch settled of a delivery. What failed goes behind what has not had its turn; once all had theirs,
    the delivery waits and a new round begins."""
    made = [(call, judged) for call, judged in stretch.made if call.work is work]
    answers = {
        place: answer
        for call, judged in made
        for place, answer in zip(call.places, judged.answers, strict=True)
        if judge.settled(answer)
    }
    spent = {place for call, judged in made if judged.spent for place in call.places}
    untried = [place for place in work.untried if place not in spent]
    left = work.orders.keys() - answers.keys() - set(untried)
    failed = [place for place in work.orders if place in left]
    faults = [judged.fault for _, judged in made if judged.fault]
    return Settlement(
        work=work,
        open_at=untried + failed,
        untried=len(untried) or None,
        answers=answers,
        untold=[*(place for place in work.dropped if place in work.fresh), *work.not_ours],
        outlived=[place for place in work.dropped if place not in work.fresh],
        calls=len(made),
        failed_calls=len(faults),
        halved=_halved(work, made),
        new_round=bool(failed) and not untried,
        fault=faults[-1] if faults else "",
    )


def _halved(work: Work, made: Sequence[tuple[Call, Judgement]]) -> int:
    """Calls grow smaller while whole ones come to nothing, and larger again once all are answered."""
    if any(judged.failed and len(call.orders) > 1 for call, judged in made):
        return min(_MOST_HALVED, work.halved + 1)
    if made and all(judged.answered for _, judged in made):
        return max(0, work.halved - 1)
    return work.halved


def give_up(done: Settlement, stretch: Stretch, poison: Sequence[int]) -> None:
    """Parks, in the settlement, what cannot be told: at which workers died, or what has been tried for too long. A
    person may have it told again."""
    done.parked = {place: Answer(Outcome.UNKNOWN, "poison", _POISON) for place in poison}
    if done.new_round and done.work.late:
        done.parked = {place: _late(done.work, words) for place, words in _last_words(done, stretch).items()}
        done.new_round = False
    left = [place for place in done.open_at[: done.untried] if place not in done.parked]
    done.untried = len(left) if done.untried and left else None
    done.open_at = [place for place in done.open_at if place not in done.parked]


def _last_words(done: Settlement, stretch: Stretch) -> dict[int, str]:
    """What was said last of each order that is left."""
    words = dict.fromkeys(done.open_at, done.fault)
    for call, judged in stretch.made:
        if call.work is done.work and not judged.fault:
            told = zip(call.places, judged.answers, strict=True)
            words |= {place: answer.words or answer.code for place, answer in told if place in words}
    return words


def _late(work: Work, words: str) -> Answer:
    rounds = f"{work.tries + 1:,} round{'s' if work.tries else ''} of tries"
    text = f"Given up after {rounds}; the last came to: {words or 'nothing'}"
    return Answer(Outcome.UNKNOWN, "late", text[:300])

"""A stretch: the calls of about a second, made out of a few deliveries, and what they settle of each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from app.adapters.contract import Answer, Outcome
from app.delivery import judge
from app.delivery.calls import Made
from app.delivery.judge import Judgement
from app.delivery.lanes import Work
from app.delivery.settle import Settlement

FAILURES_IN_A_ROW = 3
_MOST_HALVED = 12
_POISON = "Given up: the workers that told it ended without a word, again and again."


class Stretch(msgspec.Struct):
    """The calls made since the last settlement, judged. So many were `allowed` by the partner's rate. `leave`: the
    lane must be left after settling them."""

    allowed: int = 0
    made: list[Made] = []
    leave: bool = False

    def concerns(self, work: Work) -> bool:
        """Whether there is anything to settle of a delivery: calls were made, or there is none to make."""
        return not work.untried or any(made.call.work is work for made in self.made)

    @property
    def last(self) -> Judgement | None:
        return self.made[-1].judged if self.made else None

    @property
    def answered(self) -> bool:
        """Whether any call of it found the partner well."""
        return any(made.judged.answered for made in self.made)

    @property
    def failing(self) -> bool:
        """Whether the latest calls failed in a row: the partner is not well, so let it be."""
        tail = self.made[-FAILURES_IN_A_ROW:]
        return len(tail) == FAILURES_IN_A_ROW and all(made.judged.failed for made in tail)


def settlement(work: Work, stretch: Stretch) -> Settlement:
    """What the stretch settled of a delivery. What failed goes behind what has not had its turn; once all had theirs,
    the delivery waits and a new round begins."""
    made = [one for one in stretch.made if one.call.work is work]
    answers = {
        place: answer
        for one in made
        for place, answer in zip(one.call.places, one.judged.answers, strict=True)
        if judge.settled(answer)
    }
    spent = {place for one in made if one.judged.spent for place in one.call.places}
    untried = [place for place in work.untried if place not in spent]
    left = work.orders.keys() - answers.keys() - set(untried)
    failed = [place for place in work.orders if place in left]
    faults = [one.judged.fault for one in made if one.judged.fault]
    return Settlement(
        work=work,
        open_at=untried + failed,
        untried=len(untried) or None,
        answers=answers,
        untold=[*(place for place in work.dropped if place in work.fresh), *work.not_ours],
        outlived=[place for place in work.dropped if place not in work.fresh],
        calls=sum(not one.judged.held_back for one in made),
        failed_calls=sum(bool(one.judged.fault) and not one.judged.held_back for one in made),
        halved=_halved(work, made),
        new_round=bool(failed) and not untried,
        fault=faults[-1] if faults else "",
    )


def _halved(work: Work, made: Sequence[Made]) -> int:
    """Calls grow smaller while whole ones come to nothing, and larger again once all are answered."""
    if any(one.judged.failed and len(one.call.orders) > 1 for one in made):
        return min(_MOST_HALVED, work.halved + 1)
    if made and all(one.judged.answered for one in made):
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
    for made in stretch.made:
        if made.call.work is done.work and not made.judged.fault:
            told = zip(made.call.places, made.judged.answers, strict=True)
            words |= {place: answer.words or answer.code for place, answer in told if place in words}
    return words


def _late(work: Work, words: str) -> Answer:
    rounds = f"{work.tries + 1:,} round{'s' if work.tries else ''} of tries"
    text = f"Given up after {rounds}; the last came to: {words or 'nothing'}"
    return Answer(Outcome.UNKNOWN, "late", text[:300])

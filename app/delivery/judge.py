"""What a call's end means for the orders in it, and for the partner's pace. Pure: no clock, no database."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter

import msgspec

from app.adapters.contract import (
    Answer,
    Denied,
    Gone,
    NoAnswer,
    Order,
    Outcome,
    PartnerFault,
    Throttled,
)
from app.core.imei import shown
from app.delivery.introduction import HeldBack

LONGEST_REST = 60.0
_NAME = attrgetter("outcome._value_")
_SETTLED = frozenset({Outcome.DONE, Outcome.ALREADY, Outcome.ACCEPTED, Outcome.REFUSED})


class Judgement(msgspec.Struct, frozen=True):
    """One call, judged. `answers` has one for each order; a fault spoke for all of them at once. One that was
    `held_back` never went out."""

    answers: tuple[Answer, ...]
    fault: str = ""
    rest: float = 0.0
    failed: bool = False
    pause: bool = False
    held_back: bool = False

    @property
    def answered(self) -> bool:
        """Whether the partner is well: it answered, and wants neither rest nor pause."""
        return not (self.failed or self.stops)

    @property
    def stops(self) -> bool:
        """Whether the partner is to be called no more for now."""
        return bool(self.pause or self.rest)

    @property
    def spent(self) -> bool:
        """Whether the orders have had their turn: being throttled or shut out spends none, unless the partner may have
        acted on them all the same."""
        return not self.stops or any(answer.outcome is Outcome.UNKNOWN for answer in self.answers)


def tally(answers: Iterable[Answer]) -> Counter[str]:
    """How many orders ended how, by the outcome's name."""
    # Hashing members of an enumeration is slow, and there are hundreds of answers to a call.
    return Counter(map(_NAME, answers))


def settled(answer: Answer) -> bool:
    """Whether the order needs no further call."""
    return answer.outcome in _SETTLED


def heard(orders: Sequence[Order], answers: Sequence[Answer]) -> Judgement:
    """The partner answered. An adapter that answers too many or too few orders is not believed at all."""
    if len(answers) != len(orders):
        text = f"the adapter gave {len(answers)} answers to {len(orders)} orders"
        return _all(orders, Outcome.UNKNOWN, text, failed=True)
    clean = _clean(answers)
    if any(settled(answer) for answer in clean):
        return Judgement(clean)
    # Refusing for now what was understood is the identifiers' trouble; not being understood is the partner's.
    failed = any(answer.outcome is Outcome.UNKNOWN for answer in clean)
    first = clean[0]
    return Judgement(
        clean, fault=f"nothing was taken: {first.words or first.code or first.outcome}", failed=failed
    )


def _clean(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """Foreign words as they may be stored and shown: printable, and not without end. Most answers say the same."""
    known: dict[tuple[Outcome, str, str, str], Answer] = {}
    clean: list[Answer] = []
    before = None
    for answer in answers:
        if answer is not before:
            said = answer.outcome, answer.code, answer.words, answer.ref
            if said not in known:
                known[said] = Answer(
                    Outcome(answer.outcome),
                    shown(answer.code, 40),
                    shown(answer.words, 300),
                    shown(answer.ref, 200),
                )
            before, kept = answer, known[said]
        clean.append(kept)
    return tuple(clean)


def fault(orders: Sequence[Order], error: BaseException) -> Judgement:
    """The call came to nothing. Throttling spends no attempt; refused credentials pause the partner."""
    text = _said(error)
    match error:
        case Throttled(after=after):
            # What is no number of seconds, of an adapter that does not keep to its contract, is as good as none.
            seconds = after if isinstance(after, (int, float)) and not math.isnan(after) else 1.0
            rest = min(LONGEST_REST, max(0.1, seconds))
            return _all(orders, error.outcome, text, rest=rest)
        case HeldBack():
            return _all(orders, Outcome.RETRY, text, pause=True, held_back=True)
        case Denied() | Gone():
            return _all(orders, Outcome.RETRY, text, pause=True)
        case NoAnswer() | PartnerFault():
            return _all(orders, error.outcome, text, failed=True)
        case _:
            return _all(orders, Outcome.UNKNOWN, f"the adapter broke: {type(error).__name__}", failed=True)


def _said(error: BaseException) -> str:
    """The words of a fault, or its name where it has none: an empty one would be no fault."""
    try:
        words = str(error)
    except Exception:
        words = ""
    return shown(words.strip(), 300) or type(error).__name__


def _all(
    orders: Sequence[Order],
    outcome: Outcome,
    text: str,
    *,
    rest: float = 0,
    failed: bool = False,
    pause: bool = False,
    held_back: bool = False,
) -> Judgement:
    answers = (Answer(outcome, words=text),) * len(orders)
    return Judgement(answers, fault=text, rest=rest, failed=failed, pause=pause, held_back=held_back)


def back_off(tries: int, chance: float, *, base: float = 0.5, cap: float = 300.0) -> float:
    """Seconds until the next try: exponential to a cap, with jitter; `chance` is from [0, 1)."""
    return float(min(cap, base * 2 ** min(tries, 20)) * (0.5 + chance))

"""What can go wrong, said once for every face.

    GatewayError
    ├── Invalid       what was sent is wrong (400, or 422 where the form is right and the content is not)
    ├── Unauthorised  nobody we know (401)
    ├── Forbidden     known, but may not (403)
    ├── Missing       no such thing (404)
    ├── Conflict      not in this state (409)
    ├── Gone          it was there, and is not kept any more (410)
    ├── TooLarge      over a limit (413)
    ├── Exhausted     more than the quota allows; later (429)
    └── Unavailable   a part of ours is away; try again (503)

Every error says what is wrong, where, and what would be right. Rooms raise these; `api/problems.py`
turns them into problem documents and `cli` into a sentence and an exit code.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Flaw(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong in what was sent: a sentence, and where it stands (RFC 6901 pointer or parameter)."""

    detail: str
    pointer: str = ""
    code: str = ""


def told(flaws: Sequence[Flaw], many: str) -> str:
    """The sentence over these flaws: a single one's own, else `many` with `{}` for how many there are.

    Each is listed beside it, so none is told twice."""
    return flaws[0].detail if len(flaws) == 1 else many.format(f"{len(flaws):,}")


def below(at: str, name: str | int) -> str:
    """The RFC 6901 pointer of a part of what stands at `at`."""
    return f"{at}/{str(name).replace('~', '~0').replace('/', '~1')}"


class GatewayError(Exception):
    """Any refusal of ours. `code` is stable and for machines, the message is for people. The same may succeed
    after `wait` seconds; 0: not by waiting."""

    status = 500
    title = "Something failed"
    wait = 0

    def __init__(self, detail: str, code: str = "", flaws: tuple[Flaw, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).__name__.lower()
        self.flaws = flaws


class Invalid(GatewayError):
    """What was sent is wrong; the message and the flaws say what would be right."""

    status = 400
    title = "The request is wrong"


class Unauthorised(GatewayError):
    """No key, or one that we do not know."""

    status = 401
    title = "Who are you?"


class Forbidden(GatewayError):
    """The key is known, and may not do this."""

    status = 403
    title = "Not allowed"


class Missing(GatewayError):
    """Nothing stands at that name."""

    status = 404
    title = "Not found"


class Conflict(GatewayError):
    """The thing exists, but not in a state in which this can be done."""

    status = 409
    title = "Not in this state"


class Gone(GatewayError):
    """It was there, and is not kept any more; the message says where to begin anew."""

    status = 410
    title = "Not kept any more"


class TooLarge(GatewayError):
    """Over a limit; the message names the limit."""

    status = 413
    title = "Too large"


class Exhausted(GatewayError):
    """The quota is used up; there is more after `wait` seconds."""

    status = 429
    title = "Too many questions"

    def __init__(self, detail: str, wait: int) -> None:
        super().__init__(detail, "quota-exhausted")
        self.wait = wait


class Unavailable(GatewayError):
    """A part of ours is away for now; the same request may succeed in a moment."""

    status = 503
    title = "Not available now"
    wait = 2

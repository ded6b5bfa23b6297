"""A deed: what one person wants done and others must approve. It says all that is to be done, so that its digest is
what they approve."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar, NamedTuple

import msgspec

from app.access.approvals import Matter
from app.access.roles import Permission, Principal
from app.core.db import Connection
from app.core.keyring import Keyring


class Means(NamedTuple):
    """What deeds are done with. `undo`: for so long after its approval one person takes an incident back alone."""

    keyring: Keyring
    undo: timedelta
    random: Callable[[int], bytes]


class Done(NamedTuple):
    """What a deed came to. `becomes` is what others are shown, and approve: done later, it comes to the same or is
    not done. `matter`: what the rules judge it by; None where it takes nobody else, whatever they say. `place`:
    what was made, where something was."""

    result: Any
    becomes: dict[str, Any]
    matter: Matter | None
    place: str = ""


class Deed(msgspec.Struct, frozen=True, tag_field="deed"):
    """What is to be done; `name` is the word for it, and `place` what it is done to, as the audit log names it (''
    where that is not there before)."""

    needs: ClassVar[Permission]
    approved_with: ClassVar[Permission] = Permission.CHANGES_APPROVE
    has_secrets: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return str(self.__struct_config__.tag)

    @property
    def place(self) -> str:
        return ""

    @property
    def incident(self) -> int | None:
        """The number of the incident that it is about, whose reach it has."""
        return None

    async def do(self, conn: Connection, actor: Principal, means: Means, now: datetime) -> Done:
        """Does it, in the caller's transaction, which may take it back. Raises what its room does."""
        raise NotImplementedError

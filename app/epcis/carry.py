"""Where the effects of events are carried out: the hook that capture calls, once for each event that is new.

Both doors hand it in (`app/server.py` for single events, `app/worker.py` for captures), for what follows from a
report is for rooms above to know. It runs in the transaction that stores the event: what it raises undoes both.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from app.access.roles import Principal
from app.core.db import Connection
from app.epcis.effects import Effect
from app.epcis.events import Event


@runtime_checkable
class Carry(Protocol):
    """Carries out what an event means for us. A GatewayError refuses the event, and is told to its sender."""

    async def __call__(
        self, conn: Connection, actor: Principal, event: Event, effects: Sequence[Effect], now: datetime, /
    ) -> None: ...

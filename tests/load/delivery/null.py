"""A partner that does at once whatever it is told, within the worker: what is left is the engine and its database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from app.adapters.contract import Answer, Batch, Kind, Outcome, Wire

KIND = "null"
DONE = Answer(Outcome.DONE)


class NullSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    identifiers_per_call: int = 500


class Null:
    kind: ClassVar[str] = KIND
    title: ClassVar[str] = "Does everything at once"
    settings: ClassVar[type[msgspec.Struct]] = NullSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    enrols: ClassVar[bool] = False

    def __init__(self, settings: NullSettings) -> None:
        self._settings = settings

    @property
    def batch_size(self) -> int:
        return self._settings.identifiers_per_call

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        return [DONE] * len(batch.orders)

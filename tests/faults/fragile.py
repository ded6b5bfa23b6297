"""A third party's adapter that strikes its own process: at a chosen moment of a chosen call, once, or whenever a
certain IMEI comes. Otherwise it is an operator's EIR."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from app.adapters.contract import Answer, Batch, Wire
from app.adapters.eir_push import EirPush, EirPushSettings

_RAISED: dict[str, type[BaseException]] = {
    each.__name__: each for each in (SystemExit, asyncio.CancelledError, RecursionError, MemoryError)
}


class FragileSettings(EirPushSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`moment` is before, during or after a call; `signal` is sent to the own process (0: it just exits) in call
    number `call` of a process, if nobody has made the file `once` before; or for each call about `imei`. In place of
    the signal it may stand still for `blocks` seconds, or raise what is called `raises`."""

    moment: str = ""
    signal: int = 0
    call: int = 1
    once: str = ""
    imei: str = ""
    blocks: float = 0.0
    raises: str = ""


class Fragile:
    """An EIR behind an adapter that is not well."""

    kind: ClassVar[str] = "fragile"
    title: ClassVar[str] = "An adapter that breaks its process"
    settings: ClassVar[type[msgspec.Struct]] = FragileSettings
    kinds = EirPush.kinds
    enrols: ClassVar[bool] = False
    batch_size = 1

    def __init__(self, settings: FragileSettings) -> None:
        self._settings = settings
        self._eir = EirPush(EirPushSettings(url=settings.url))
        self._calls = 0

    async def send(self, batch: Batch, wire: Wire) -> Sequence[Answer]:
        self._calls += 1
        if self._is_time(batch, "before"):
            self._strike()
        if self._is_time(batch, "during"):
            asyncio.get_running_loop().call_later(0.001, self._strike)
        answers = await self._eir.send(batch, wire)
        if self._is_time(batch, "after"):
            self._strike()
        return answers

    def _is_time(self, batch: Batch, moment: str) -> bool:
        if self._settings.moment != moment:
            return False
        if self._settings.imei:
            return any(order.imei == self._settings.imei for order in batch.orders)
        return self._calls >= self._settings.call and self._first()

    def _first(self) -> bool:
        try:
            os.close(os.open(self._settings.once, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def _strike(self) -> None:
        if self._settings.blocks:
            time.sleep(self._settings.blocks)
            return
        if self._settings.raises:
            raise _RAISED[self._settings.raises]("an adapter that breaks")
        if not self._settings.signal:
            os._exit(70)
        os.kill(os.getpid(), self._settings.signal)

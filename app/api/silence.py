"""Connections on which nothing moves, which the server itself would keep for ever: those that never say which
HTTP they speak, and those whose client takes no answer. Found by what Linux knows of each socket.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

SWEEP = 5.0
# Seconds. A request begins soon after its connection; an answer may wait for a slow line, not for ever.
TO_BEGIN = 10.0
TO_TAKE = 60.0
# HTTP/2 is known by its first 24 bytes, and until one differs it might be that.
_PREFACE = 24

# Of struct tcp_info in linux/tcp.h, whose fields never move: the state, milliseconds since data went out and
# came in, all bytes that came in, and the bytes that still wait to go out.
_INFO = struct.Struct("=B43xI4xI72xQ8xI")
_ESTABLISHED = 1


async def end_silence(port: int) -> None:
    """Ends such connections to our `port` until it is cancelled; without effect where that is not Linux."""
    while hasattr(socket, "TCP_INFO"):
        await asyncio.sleep(SWEEP)
        await asyncio.to_thread(_sweep, port)


def _sweep(port: int) -> None:
    for found in _connections(port):
        if _is_stuck(found):
            with suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)


def _connections(port: int) -> Iterator[socket.socket]:
    """The server's own sockets. Each is a duplicate: no other connection can have its number meanwhile."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as found:
                    if found.family != socket.AF_UNIX and found.getsockname()[1] == port:
                        yield found


def _is_stuck(found: socket.socket) -> bool:
    info = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    if len(info) < _INFO.size:
        return False
    state, sent_ago, received_ago, received, unsent = _INFO.unpack_from(info)
    silent = received < _PREFACE and received_ago > TO_BEGIN * 1000
    untaken = unsent > 0 and sent_ago > TO_TAKE * 1000
    return bool(state == _ESTABLISHED and (silent or untaken))

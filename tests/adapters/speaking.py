"""Partners of a few lines, on real sockets: what they say to a request is up to the test."""

import asyncio
from contextlib import asynccontextmanager

from app.delivery.wire import HttpWire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def speaking(speak, tls=None):
    """A server that hands the request's head to `speak(reader, writer, head)`, again and again."""
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await speak(reader, writer, head)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, RuntimeError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        scheme = "https" if tls else "http"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/secret-path?token=secret-token"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def wired(**options):
    wire = HttpWire(**({"allow_private": True} | options))
    try:
        yield wire
    finally:
        await wire.close()


def saying(reply: bytes):
    async def speak(_reader, writer, _head):
        writer.write(reply)

    return speak

"""What an adapter leaves at a place where nobody takes it."""

from app.adapters.contract import Batch, Op

from .conftest import SINCE, imeis


async def left(partner, **batch):
    """The files that a batch leaves, where nobody takes them."""
    files = {}

    class Files:
        async def write(self, name, body):
            files[name] = body

    class Wire:
        def files(self, _):
            return Files()

    told = Batch("key-1", batch.pop("op", Op.BLOCK), batch.pop("orders", imeis(2)), SINCE, **batch)
    answers = await partner.send(told, Wire())
    return files, answers

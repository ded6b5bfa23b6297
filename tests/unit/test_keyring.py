"""Secrets at rest: the first key seals, all open, nothing opens elsewhere, and no key is ever repeated."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from app.core import config, keyring
from app.core.errors import Invalid
from app.core.keyring import Keyring, Locked, load, new_key

RANDOM = Random(11).randbytes
PLACE = "partner 1, settings/password"


def keyring_of(*keys: str) -> Keyring:
    return load(config.load({"IMEI_GATEWAY_SECRETS_KEY": ",".join(keys)}), RANDOM)


def test_what_is_sealed_opens_at_its_place_alone():
    keys = keyring_of(new_key(RANDOM))
    sealed = keys.seal(b"hunter2", PLACE)
    assert "hunter2" not in sealed
    assert keys.open(sealed, PLACE) == b"hunter2"
    for elsewhere in (
        "partner 2, settings/password",
        "partner 1, settings/secret",
        "partner 1, tls/password",
    ):
        with pytest.raises(Locked, match="sealed for another place"):
            keys.open(sealed, elsewhere)
    assert keys.seal(b"hunter2", PLACE) != sealed


@pytest.mark.parametrize("spoil", [lambda s: s[:-2] + "AA", lambda s: s[:12], lambda s: s[:-4]])
def test_what_was_changed_does_not_open(spoil):
    keys = keyring_of(new_key(RANDOM))
    with pytest.raises(Locked, match="was changed"):
        keys.open(spoil(keys.seal(b"hunter2" * 5, PLACE)), PLACE)


def test_the_first_key_seals_and_all_open():
    old, new = new_key(RANDOM), new_key(RANDOM)
    sealed = keyring_of(old).seal(b"hunter2", PLACE)
    both = keyring_of(new, old)
    assert both.open(sealed, PLACE) == b"hunter2"
    assert not both.is_first(sealed)
    again = both.seal(b"hunter2", PLACE)
    assert both.is_first(again)
    assert keyring_of(new).open(again, PLACE) == b"hunter2"
    with pytest.raises(Locked) as caught:
        keyring_of(new).open(sealed, PLACE)
    assert both.first in str(caught.value)
    assert sealed.partition(".")[0] in str(caught.value)
    assert new not in str(caught.value)


def test_without_a_key_nothing_is_sealed_and_the_setting_is_named():
    none = keyring_of()
    for use in (lambda: none.seal(b"hunter2", PLACE), lambda: none.first):
        with pytest.raises(Locked, match="IMEI_GATEWAY_SECRETS_KEY or IMEI_GATEWAY_SECRETS_KEY_FILE"):
            use()
    with pytest.raises(Locked, match="there is no key here: set IMEI_GATEWAY_SECRETS_KEY"):
        none.open(keyring_of(new_key(RANDOM)).seal(b"x", PLACE), PLACE)


def test_keys_come_from_a_file_too(tmp_path: Path):
    old, new = new_key(RANDOM), new_key(RANDOM)
    sealed = keyring_of(old).seal(b"hunter2", PLACE)
    file = tmp_path / "keys"
    file.write_text(f"{new}\n{old}\n")
    file.chmod(0o600)
    settings = config.load({"IMEI_GATEWAY_SECRETS_KEY_FILE": str(file)})
    assert load(settings, RANDOM).open(sealed, PLACE) == b"hunter2"
    assert load(settings, RANDOM).first == keyring_of(new).first


def test_who_has_not_read_the_file_since_is_to_be_restarted(tmp_path: Path):
    old, new = new_key(RANDOM), new_key(RANDOM)
    file = tmp_path / "keys"
    file.write_text(old)
    file.chmod(0o600)
    running = load(config.load({"IMEI_GATEWAY_SECRETS_KEY_FILE": str(file)}), RANDOM)
    sealed = keyring_of(new).seal(b"hunter2", PLACE)
    with pytest.raises(Locked, match="set IMEI_GATEWAY_SECRETS_KEY or"):
        running.open(sealed, PLACE)
    file.write_text(f"{new}\n{old}\n")
    with pytest.raises(Locked, match=f"which {file} holds by now; restart this process"):
        running.open(sealed, PLACE)
    file.unlink()
    with pytest.raises(Locked, match="set IMEI_GATEWAY_SECRETS_KEY or"):
        running.open(sealed, PLACE)


@pytest.mark.parametrize("word", ["hunter2", "imei_s_short", "imei_s_" + "!" * 43, new_key(RANDOM) + "x"])
def test_what_is_no_key_is_refused_and_not_repeated(word):
    with pytest.raises(Invalid, match="IMEI_GATEWAY_SECRETS_KEY holds what is no key") as caught:
        keyring_of(new_key(RANDOM), word)
    assert word not in str(caught.value)


def test_a_file_that_holds_none_is_refused_by_its_name(tmp_path: Path):
    for content in (None, b"", b"\xff\xfe"):
        file = tmp_path / "keys"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(Invalid, match=f"IMEI_GATEWAY_SECRETS_KEY_FILE is {file}"):
            load(config.load({"IMEI_GATEWAY_SECRETS_KEY_FILE": str(file)}), RANDOM)
    both = {"IMEI_GATEWAY_SECRETS_KEY_FILE": str(file), "IMEI_GATEWAY_SECRETS_KEY": new_key(RANDOM)}
    with pytest.raises(Invalid, match="both set"):
        load(config.load(both), RANDOM)


def test_a_new_key_is_256_bits_of_chance():
    asked: list[int] = []

    def random(size: int) -> bytes:
        asked.append(size)
        return bytes(size)

    assert new_key(random) == keyring.PREFIX + "A" * 43
    assert asked == [32]

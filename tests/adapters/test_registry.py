"""Adapters are found by their entry points, ours and other packages'; settings are told all their flaws."""

import sys
import traceback
from typing import Any

import msgspec
import pytest

from app.adapters import registry
from app.adapters import settings as forms
from app.core.errors import GatewayError, Invalid, Unavailable

from .subjects import SUBJECTS

KINDS = ("ceir", "dirbs_file", "eir_push", "eir_rest", "gsma_file", "knox_guard", "sftp_csv", "webhook")
GOOD = {kind: dict(SUBJECTS[kind].settings) for kind in KINDS}

MODULE = """
import msgspec

class Settings(msgspec.Struct):
    token: str = ""

class Pager:
    kind = {kind!r}
    title = "Pager"
    settings = Settings
    kinds = frozenset()
    enrols = False
    batch_size = 1

    def __init__(self, settings):
        self.settings_given = settings

    async def send(self, batch, wire):
        return []
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package that brings an adapter: a module and its dist-info, on the path."""

    def install(package: str, kind: str, module: str = MODULE, target: str = "Pager") -> None:
        (tmp_path / f"{package}.py").write_text(module.replace("{kind!r}", repr(kind)))
        info = tmp_path / f"{package}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{kind} = {package}:{target}\n")
        registry._installed.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    monkeypatch.undo()
    registry._installed.cache_clear()
    for name in [name for name in sys.modules if name.startswith("their_")]:
        del sys.modules[name]


def test_ours_are_there():
    assert set(registry.adapters()) >= set(KINDS)
    assert registry.broken() == {}


def test_another_packages_adapter_is_found(installed):
    installed("their_pager", "pager")
    made = registry.make("pager", {"token": "t"})
    assert made.settings_given.token == "t"
    assert type(made).__module__ == "their_pager"


def test_two_packages_with_one_kind_are_told_apart_by_name(installed):
    installed("their_ceir", "ceir")
    with pytest.raises(Unavailable, match=r"'ceir'.*their_ceir 1\.5|their_ceir 1\.5.*"):
        registry.make("ceir", GOOD["ceir"])
    assert registry.make("eir_push", GOOD["eir_push"])


@pytest.mark.parametrize(
    ("module", "target", "words"),
    [
        ("raise RuntimeError('no luck')", "Pager", "no luck"),
        ("Pager = 7", "Pager", "has no kind"),
        ("", "Pager", "Pager"),
    ],
)
def test_a_broken_package_is_named(installed, module, target, words):
    """And stops nobody else."""
    installed("their_broken", "broken", module, target)
    with pytest.raises(Unavailable, match="their_broken") as caught:
        registry.make("broken", {})
    assert words in str(caught.value)
    assert registry.broken() == {"broken": str(caught.value)}
    assert registry.make("eir_push", GOOD["eir_push"])


@pytest.mark.parametrize(
    ("was", "instead", "words"),
    [
        (
            "self.settings_given = settings",
            "raise RuntimeError(settings.token)",
            "cannot be made of these settings: RuntimeError",
        ),
        ("batch_size = 1", "batch_size = 0", "would tell 0 orders a call"),
        ("batch_size = 1", "batch_size = 'all'", "would tell 'all' orders a call"),
    ],
)
def test_an_adapter_that_cannot_be_made_says_so_and_repeats_no_secret(installed, was, instead, words):
    installed("their_pager", "pager", MODULE.replace(was, instead))
    with pytest.raises(GatewayError, match=words) as caught:
        registry.make("pager", {"token": "a-secret"})
    assert "a-secret" not in str(caught.value)


def test_an_unknown_kind_is_answered_with_the_known_ones():
    with pytest.raises(
        Invalid, match="ceir, dirbs_file, eir_push, eir_rest, gsma_file, knox_guard, sftp_csv, webhook"
    ):
        registry.make("ftp", {})


@pytest.mark.parametrize("kind", GOOD)
def test_good_settings_make_an_adapter(kind):
    assert registry.make(kind, GOOD[kind]).kind == kind


def test_every_flaw_is_told_at_once():
    with pytest.raises(Invalid) as caught:
        registry.make("ceir", {"url": "ftp://x", "username": "a:b", "devices_per_call": 0, "colour": 1})
    flaws = {flaw.pointer: flaw.code for flaw in caught.value.flaws}
    assert flaws == {
        "/url": "setting-wrong",
        "/username": "setting-wrong",
        "/devices_per_call": "setting-wrong",
        "/password": "setting-missing",
        "/colour": "setting-unknown",
    }
    (missing,) = (flaw.detail for flaw in caught.value.flaws if flaw.code == "setting-missing")
    assert "it would be the account's password" in missing
    assert caught.value.detail == "5 of the settings are wrong or missing."


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"form": "bulk"}, "Setting 'form': 'bulk' is none of its words; it would be structured"),
        ({"identifiers_per_call": "7"}, "it would be a whole number, not a string; it would be 1 to 1000"),
        ({"identifiers_per_call": 1001}, "it would be a whole number, at most 1000; it would be 1 to 1000"),
        ({"source": ""}, "its form is another; it would be a URI that names the sender"),
    ],
)
def test_a_flaw_is_told_in_words_for_people(setting, words):
    with pytest.raises(Invalid, match=words):
        registry.make("webhook", GOOD["webhook"] | setting)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "partner.example",
        "ftp://partner.example",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user:pass@partner.example",
        "https://@partner.example",
        "https://partner.example#top",
        "https://partner.example:99999",
        "https://partner.example:0",
        "https://partner .example",
        "https://partner.example\\@evil.example",
        "https://pärtner.example",
        "https://partner.example/\n",
        "https://[::1",
        7,
    ],
)
def test_an_address_is_http_with_a_host_and_no_more(url):
    with pytest.raises(Invalid) as caught:
        registry.make("eir_push", {"url": url})
    assert [flaw.pointer for flaw in caught.value.flaws] == ["/url"]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "https://partner.example/base/", "https://[::1]:9/x?y=z"]
)
def test_an_address_may_be(url):
    assert registry.make("eir_push", {"url": url})


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "secret", "whsec_c2hvcnQ=", "whsec_" + "!" * 40, "whsec_" + "A" * 33]
)
def test_a_signing_secret_that_is_none_is_refused_and_not_repeated(secret):
    with pytest.raises(Invalid) as caught:
        registry.make("webhook", GOOD["webhook"] | {"secret": secret})
    (flaw,) = caught.value.flaws
    assert flaw.pointer == "/secret"
    assert len(secret) < 10 or secret not in flaw.detail


@pytest.mark.parametrize(
    ("kind", "masked"),
    [
        ("ceir", {"password"}),
        ("eir_push", set()),
        ("eir_rest", {"provisioning_key"}),
        ("webhook", {"secret", "previous_secret"}),
        ("knox_guard", {"api_token", "webhook_secret"}),
        ("sftp_csv", {"password"}),
    ],
)
def test_secrets_are_never_shown_again(kind, masked):
    shown = registry.public_settings(kind, GOOD[kind])
    assert {name for name, value in shown.items() if value == "•••"} == masked
    assert shown.keys() == GOOD[kind].keys()


def test_what_nobody_knows_is_masked():
    assert registry.public_settings("gone", {"a": 1, "b": "x"}) == {"a": "•••", "b": "•••"}
    assert registry.public_settings("ceir", {"pasword": "typo"}) == {"pasword": "•••"}


def test_settings_that_are_no_object_are_refused():
    with pytest.raises(Invalid, match="JSON object"):
        registry.make("ceir", [])


# A key in PEM and a message to finders may have several lines, and a line of known_hosts may end.
LINES = {"private_key", "host_key", "message"}


def _texts(form: Any, value: object) -> list[str]:
    return [
        field.encode_name
        for field in msgspec.structs.fields(form)
        if isinstance(value, dict)
        and field.encode_name not in LINES
        and isinstance(value.get(field.encode_name, field.default), str)
    ]


TEXTS = [(kind, name) for kind in KINDS for name in _texts(registry.adapter(kind).settings, GOOD[kind])]


def test_texts_are_tried():
    assert {("knox_guard", "api_token"), ("ceir", "username"), ("sftp_csv", "put_away")} <= set(TEXTS)


@pytest.mark.parametrize(("kind", "name"), TEXTS, ids=lambda value: value)
def test_no_text_ends_with_a_line_feed(kind, name):
    form = registry.adapter(kind).settings
    made: Any = msgspec.to_builtins(msgspec.convert(GOOD[kind], form))
    with pytest.raises(Invalid) as caught:
        registry.make(kind, made | {name: (made[name] or "x") + "\n"})
    assert f"/{name}" in {flaw.pointer for flaw in caught.value.flaws}


@pytest.mark.parametrize("kind", KINDS)
def test_every_pattern_means_the_same_to_python_and_to_json_schema(kind):
    for pattern in _patterns(msgspec.json.schema(registry.adapter(kind).settings)):
        assert pattern.endswith(forms.END), pattern
        assert "\\Z" not in pattern


def _patterns(schema: object) -> list[str]:
    inside = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    own = [schema["pattern"]] if isinstance(schema, dict) and isinstance(schema.get("pattern"), str) else []
    return own + [pattern for part in inside for pattern in _patterns(part)]


@pytest.mark.parametrize(
    ("kind", "setting", "words"),
    [
        ("sftp_csv", {"columns": ["IMEI=imei", "IMEI=imei15"]}, "item 2 'IMEI=imei15': its form is another"),
        ("sftp_csv", {"columns": ["A\nB=imei"]}, "item 1 'A·B=imei': its form is another"),
        ("sftp_csv", {"columns": [7]}, "item 1: it would be a string, not a whole number"),
        ("sftp_csv", {"reasons": {"thft": "X"}}, "the name 'thft': it would be one of theft, robbery, loss, fraud"),
        ("sftp_csv", {"ops": {"blok": "B"}}, "the name 'blok': it would be one of block, release"),
        ("sftp_csv", {"reasons": {"theft": "X" * 101}}, "under 'theft' 'X"),
        ("sftp_csv", {"reasons": {"theft": ""}}, "under 'theft' '': its form is another"),
        ("sftp_csv", {"ack_results": {"OK": "fine"}}, "under 'OK' 'fine': it would be one of done, already, refused"),
        ("sftp_csv", {"ack_results": {str(n): "done" for n in range(101)}}, "at most 100 items"),
        ("ceir", {"reasons": {"thft": "X"}}, "the name 'thft': it would be one of theft, robbery, loss, fraud"),
    ],
)  # fmt: skip
def test_a_wrong_part_of_a_setting_is_named(kind, setting, words):
    with pytest.raises(Invalid) as caught:
        registry.make(kind, GOOD[kind] | setting)
    (flaw,) = caught.value.flaws
    assert f"Setting '{next(iter(setting))}': {words}" in flaw.detail or words in flaw.detail
    assert "; it would be a" in flaw.detail


@pytest.mark.parametrize("url", ["file:///.", "file:///./", "file:////", "file:///%2E", "file:///.//./"])
def test_the_root_of_files_is_no_partners_directory(url):
    with pytest.raises(Invalid, match="would name a directory below"):
        registry.make("sftp_csv", {"url": url})


def test_nor_is_it_one_of_acknowledgements():
    with pytest.raises(Invalid, match="ack_path would name a directory"):
        registry.make("sftp_csv", {"url": "file:///acme", "ack_path": "/."})
    assert registry.make("sftp_csv", {"url": "file:///acme", "ack_path": "/acme/acks"})


@pytest.mark.parametrize(
    ("part", "line"),
    [("init", "raise RuntimeError(settings.token)"), ("form", "raise KeyError(self.token)")],
)
def test_an_adapter_that_cannot_be_made_is_named_and_no_secret_repeated(installed, part, line):
    module = MODULE.replace("self.settings_given = settings", line if part == "init" else "pass")
    if part == "form":
        module = module.replace(
            'token: str = ""', f'token: str = ""\n    def __post_init__(self):\n        {line}'
        )
    installed("their_pager", "pager", module)
    said = {"token": "-".join(["hush"] * 2)}
    with pytest.raises(Invalid) as caught:
        registry.make("pager", said)
    shown = "".join(traceback.format_exception(caught.value))
    assert "hush-hush" not in shown
    assert "'pager' of their_pager 1.5 cannot be made of these settings: " in caught.value.detail
    assert caught.value.detail.endswith("Error.")

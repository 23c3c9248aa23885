from __future__ import annotations

import re
import stat
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from directory.nouns import Company, Dispatcher
from ivr.asterisk import conf
from ivr.asterisk.conf import DEFAULT_QUEUE, TEMPLATES, Layout, fill, render, write
from ivr.errors import SettingsError
from ivr.narrator import STATIC
from ivr.settings import Settings

SETTINGS = Settings(
    ami_secret="fictional-ami", test_resident="fictional-resident", trunk_peers=("192.0.2.7/32",)
)
SEVERNAYA = Company(id=1, code="severnaya", name="УК «Северная»", queue="dispatch")
RECHNOY = Company(id=2, code="rechnoy", name="УК «Речной квартал»", queue="river")
ANNA = Dispatcher(id=1, extension="101", name="Анна Петрова", password="fictional-101")
BORIS = Dispatcher(id=2, extension="102", name="Борис", password="fictional-102", serves=frozenset({2}))

EVIL_NAMES = [
    'Анна" <666>\n[intruder]\ntype = endpoint',
    "Анна\r\n#exec rm -rf /",
    "Анна; comment",
    "Анна\\",
    "[general]",
    "Анна,102,\"x\",PJSIP/trunk",
    "@{ami_secret}",
    "${SHELL(id)}",
    "Анна\0\x1b[31m",
    "Анна\u2028[intruder]\u2028",
    "#include /etc/passwd",
    "=> member",
]  # fmt: skip


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    folders = ["etc", "state", "modules", "data", "moh", "recordings", "messages", "static"]
    return Layout(**{name: tmp_path / name for name in folders})


def rendered(layout: Layout, *dispatchers: Dispatcher, settings: Settings = SETTINGS) -> dict[str, str]:
    return render(settings, layout, [SEVERNAYA, RECHNOY], dispatchers or (ANNA, BORIS))


def sections(text: str) -> list[str]:
    return re.findall(r"^\[([^]]+)\]", text, re.MULTILINE)


def values(text: str, section: str, name: str) -> list[str]:
    """What `name` is in a section of a file."""
    inside, found = "", []
    for line in text.splitlines():
        if head := re.match(r"\[([^]]+)\]", line):
            inside = head[1]
        elif inside == section and (pair := re.match(rf"{name}\s*=>?\s*(.*)", line)):
            found.append(pair[1])
    return found


def test_no_template_name_is_left_over(layout: Layout) -> None:
    for name, text in rendered(layout).items():
        assert "@{" not in text, name


def test_every_template_is_used(layout: Layout) -> None:
    for_each = {"dispatcher.conf", "queue.conf", "trunk-peers.conf", "trunk-login.conf", "trunk-account.conf"}
    assert {path.name for path in TEMPLATES.glob("*.conf")} == for_each | set(conf.PLAIN)


def test_a_name_nobody_gives_is_an_error_not_a_gap() -> None:
    with pytest.raises(KeyError):
        fill("dispatcher.conf", {"extension": "101"})


def test_asterisk_is_told_where_everything_lies(layout: Layout) -> None:
    text = rendered(layout)["asterisk.conf"]
    assert values(text, "directories", "astetcdir") == [str(layout.etc)]
    assert values(text, "directories", "astmoddir") == [str(layout.modules)]
    assert values(text, "options", "systemname") == ["dozvon"]


def test_each_dispatcher_has_her_account(layout: Layout) -> None:
    text = rendered(layout)["pjsip.d/101.conf"]
    assert values(text, "101", "password") == ["fictional-101"]
    assert values(text, "101", "callerid") == ['"Анна Петрова" <101>']


def test_each_queue_has_the_dispatchers_who_may_serve_it(layout: Layout) -> None:
    files = rendered(layout)
    assert values(files["queues.d/dispatch.conf"], "dispatch", "member") == [
        'PJSIP/101,0,"Анна Петрова",PJSIP/101'
    ]
    assert len(values(files["queues.d/river.conf"], "river", "member")) == 2


def test_there_is_a_queue_for_the_static_route_even_without_companies(layout: Layout) -> None:
    files = render(SETTINGS, layout, [], [])
    assert f"queues.d/{DEFAULT_QUEUE}.conf" in files
    assert f"QUEUE={DEFAULT_QUEUE}" in files["extensions.conf"]


@pytest.mark.parametrize("name", EVIL_NAMES)
def test_a_dispatcher_s_name_cannot_write_configuration(layout: Layout, name: str) -> None:
    evil = replace(ANNA, name=name)
    plain, files = rendered(layout, ANNA), rendered(layout, evil)
    assert files.keys() == plain.keys()
    for file, text in files.items():
        assert len(text.splitlines()) == len(plain[file].splitlines()), file
        assert sections(text) == sections(plain[file]), file
    (callerid,) = values(files["pjsip.d/101.conf"], "101", "callerid")
    assert re.fullmatch(r'"[^";,\[\]<>\\]*" <101>', callerid)
    (member,) = values(files["queues.d/dispatch.conf"], "dispatch", "member")
    assert re.fullmatch(r'PJSIP/101,0,"[^";,\[\]<>\\]*",PJSIP/101', member)


def test_random_names_cannot_write_configuration(layout: Layout, dice: Random) -> None:
    plain = rendered(layout, ANNA)["pjsip.d/101.conf"]
    for _ in range(300):
        name = "".join(chr(dice.choice([dice.randrange(128), dice.randrange(0x3000)])) for _ in range(20))
        text = rendered(layout, replace(ANNA, name=name))["pjsip.d/101.conf"]
        assert len(text.splitlines()) == len(plain.splitlines()), ascii(name)
        assert sections(text) == sections(plain), ascii(name)


def test_the_manager_listens_on_loopback_and_lets_only_loopback_in(layout: Layout) -> None:
    text = rendered(layout)["manager.conf"]
    assert values(text, "general", "bindaddr") == ["127.0.0.1"]
    assert values(text, "dozvon", "permit") == ["127.0.0.0/255.0.0.0"]
    assert values(text, "dozvon", "deny") == ["0.0.0.0/0.0.0.0"]


def test_the_manager_listens_beyond_loopback_only_when_asked_to(layout: Layout) -> None:
    text = rendered(layout, settings=replace(SETTINGS, ami_host="asterisk"))["manager.conf"]
    assert values(text, "general", "bindaddr") == ["0.0.0.0"]


def test_the_stream_names_our_own_events_as_the_file_does(layout: Layout) -> None:
    """Without it `LeftQueue` comes under its own name and is not understood: seen on a real Asterisk."""
    assert values(rendered(layout)["cel.conf"], "manager", "show_user_defined") == ["yes"]


def test_every_event_that_is_followed_is_let_through(layout: Layout) -> None:
    passed = re.findall(r"name\((\w+)\)", rendered(layout)["manager.conf"])
    assert {"CEL", "Hold", "Unhold", "QueueCallerJoin", "CoreShowChannel", "CoreShowChannelsComplete"} <= set(
        passed
    )


def test_there_is_a_trunk_only_when_one_is_given(layout: Layout) -> None:
    bare = rendered(layout, settings=replace(SETTINGS, trunk_peers=(), trunk_url=None, test_resident=None))
    assert not [name for name in bare if "trunk" in name]
    assert "match = 192.0.2.7/32" in rendered(layout)["pjsip.d/trunk-peers.conf"]


def test_an_operator_who_wants_us_to_log_in_is_logged_in_to(layout: Layout) -> None:
    settings = Settings.read({"DOZVON_TRUNK_URL": "sip:74951230001:fictional@sip.example:5080"})
    text = rendered(layout, settings=replace(SETTINGS, trunk_url=settings.trunk_url))[
        "pjsip.d/trunk-login.conf"
    ]
    assert values(text, "operator", "server_uri") == ["sip:sip.example:5080"]
    assert values(text, "operator", "client_uri") == ["sip:74951230001@sip.example:5080"]
    assert values(text, "operator", "password") == ["fictional"]
    assert values(text, "operator", "match") == ["sip.example"]


def test_a_file_asterisk_asks_for_is_there_even_when_it_is_empty(layout: Layout) -> None:
    assert {name for name, text in rendered(layout).items() if not text} == set(conf.EMPTY)


def test_who_waits_is_offered_a_call_back_at_the_pace_that_is_set(layout: Layout) -> None:
    text = rendered(layout, settings=replace(SETTINGS, offer_after=45.0))["queues.conf"]
    assert values(text, "dispatchers", "periodic-announce") == [f"{layout.static}/queue_offer"]
    assert values(text, "dispatchers", "periodic-announce-startdelay") == ["45"]
    assert values(text, "dispatchers", "periodic-announce-frequency") == ["45"]


def test_the_keys_of_who_waits_lead_somewhere(layout: Layout) -> None:
    """And nowhere else: any other key leaves her waiting."""
    files = rendered(layout)
    (keys,) = values(files["queues.conf"], "dispatchers", "context")
    extensions = values(files["extensions.conf"], keys, "exten")
    assert [extension.partition(",")[0] for extension in extensions] == ["1", "2"]


def test_everything_asterisk_says_by_itself_is_prepared(layout: Layout) -> None:
    text = "".join(rendered(layout).values())
    said = set(re.findall(r"\$\{STATIC\}/(\w+)", text)) | set(re.findall(rf"{layout.static}/(\w+)", text))
    assert {name for name in said if not name.endswith("_")} <= set(STATIC)


# -- on disk


def test_files_are_for_their_owner_only(layout: Layout) -> None:
    write(rendered(layout), layout)
    for path in layout.etc.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    for folder in (layout.recordings, layout.messages, layout.cel_file.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_nothing_new_is_nothing_written(layout: Layout) -> None:
    assert write(rendered(layout), layout)
    before = {path: path.stat().st_mtime_ns for path in layout.etc.rglob("*.conf")}
    assert not write(rendered(layout), layout)
    assert {path: path.stat().st_mtime_ns for path in layout.etc.rglob("*.conf")} == before


def test_a_dispatcher_who_left_leaves_no_account_behind(layout: Layout) -> None:
    write(rendered(layout), layout)
    assert write(rendered(layout, ANNA), layout)
    assert not (layout.etc / "pjsip.d/102.conf").exists()
    assert (layout.etc / "pjsip.d/101.conf").exists()


def test_a_new_password_is_written(layout: Layout) -> None:
    write(rendered(layout), layout)
    assert write(rendered(layout, replace(ANNA, password="another"), BORIS), layout)
    assert "another" in (layout.etc / "pjsip.d/101.conf").read_text("utf-8")


def test_a_file_half_written_by_a_crash_is_written_anew(layout: Layout) -> None:
    write(rendered(layout), layout)
    (layout.etc / "pjsip.new").write_text("half")
    (layout.etc / "pjsip.new").chmod(0o644)
    (layout.etc / "pjsip.conf").unlink()
    assert write(rendered(layout), layout)
    assert "[transport-udp]" in (layout.etc / "pjsip.conf").read_text("utf-8")
    assert stat.S_IMODE((layout.etc / "pjsip.conf").stat().st_mode) == 0o600


# -- the layout


def test_a_layout_is_read_as_it_was_written(layout: Layout, tmp_path: Path) -> None:
    assert Layout.read(layout.write(tmp_path / "deep" / "layout.toml")) == layout


def test_a_folder_with_a_quote_in_its_name_survives(layout: Layout, tmp_path: Path) -> None:
    odd = replace(layout, etc=tmp_path / 'a "quoted" \\ folder Ы')
    assert Layout.read(odd.write(tmp_path / "layout.toml")) == odd


def test_a_wrong_layout_is_told_every_problem(layout: Layout, tmp_path: Path) -> None:
    path = layout.write(tmp_path / "layout.toml")
    text = path.read_text("utf-8").replace("recordings =", "recrodings =").replace("moh =", "# moh =")
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError) as caught:
        Layout.read(path)
    assert set(caught.value.problems) == {
        "layout.toml: moh is missing",
        "layout.toml: recordings is missing",
        "layout.toml: recrodings: no such folder; did you mean 'recordings'?",
    }


@pytest.mark.parametrize("text", [None, "broken = ", "\0"])
def test_a_layout_that_cannot_be_read_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "layout.toml").write_text(text)
    with pytest.raises(SettingsError):
        Layout.read(tmp_path / "layout.toml")


def test_the_recorded_voice_is_found_by_its_long_name(layout: Layout) -> None:
    (layout.data / "sounds" / "ru_RU_f_IvrvoiceRU").mkdir(parents=True)
    assert layout.language("ru") == "ru_RU_f_IvrvoiceRU"
    (layout.data / "sounds" / "ru").mkdir()
    assert layout.language("ru") == "ru"
    assert layout.language("en") == "en"

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from ivr.errors import SettingsError
from ivr.settings import PREFIX, Settings


def refused(**given: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.read({PREFIX + name: text for name, text in given.items()})
    return list(caught.value.problems)


def test_nothing_need_be_given() -> None:
    assert Settings.read({}) == Settings()


def test_what_is_not_ours_is_passed_over() -> None:
    assert Settings.read({"PATH": "/bin", "HOME": "/nowhere"}) == Settings()


def test_what_is_given_is_read_into_its_own_kind() -> None:
    settings = Settings.read(
        {
            "DOZVON_HOME": "/srv/dozvon",
            "DOZVON_SIP_PORT": "5070",
            "DOZVON_QUEUE_LIMIT": "90.5",
            "DOZVON_TRUNK_PEERS": "192.0.2.7, 198.51.100.0/24",
        }
    )
    assert settings.home == Path("/srv/dozvon")
    assert (settings.sip_port, settings.queue_limit) == (5070, 90.5)
    assert settings.trunk_peers == ("192.0.2.7/32", "198.51.100.0/24")


def test_every_problem_is_named_at_once() -> None:
    problems = refused(
        SIP_PORT="many", TIME_ZONE="Mars/Olympus", VOISE="anna", LOG_LEVEL="loud", DATABASE_URL="mysql://h/d"
    )
    assert len(problems) == 5
    for name in ("SIP_PORT", "TIME_ZONE", "VOISE", "LOG_LEVEL", "DATABASE_URL"):
        assert any(problem.startswith(f"DOZVON_{name}") for problem in problems), name


def test_the_message_holds_every_problem_on_a_line_of_its_own() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({"DOZVON_SIP_PORT": "0", "DOZVON_AGI_PORT": "70000"})
    assert len(str(caught.value).splitlines()) == 3


def test_a_mistyped_name_is_told_its_near_miss() -> None:
    assert refused(PANEL_PROT="8080") == [
        "DOZVON_PANEL_PROT: no such setting; did you mean 'DOZVON_PANEL_PORT'?"
    ]


def test_a_mistyped_word_is_told_its_near_miss() -> None:
    (problem,) = refused(ASTERISK="embeded")
    assert problem.endswith("one of embedded, external; did you mean 'embedded'?")


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("SIP_PORT", "0", "a port is 1 to 65535"),
        ("SIP_PORT", "65536", "a port is 1 to 65535"),
        ("SIP_PORT", "", "invalid literal"),
        ("SIP_HOST", "localhost", "does not appear to be an IPv4 or IPv6 address"),
        ("TRUNK_PEERS", "192.0.2.7,sbc.example", "does not appear to be an IPv4 or IPv6 network"),
        ("QUEUE_LIMIT", "0", "seconds, at least 1 and less than a day"),
        ("QUEUE_LIMIT", "nan", "seconds, at least 1 and less than a day"),
        ("AMI_SECRET", "semi;colon", "8 to 128 printable characters"),
        ("AMI_SECRET", "short", "8 to 128 printable characters"),
        ("ASTERISK_NAME", "dozvon-2", "small Latin letters and digits"),
        ("TIME_ZONE", "../../etc/passwd", "no such time zone; try Europe/Moscow"),
        ("TIME_ZONE", "", "no such time zone; try Europe/Moscow"),
        ("TRUNK_URL", "sip:user@sip.example", "like sip:USER:PASSWORD@HOST"),
        ("TRUNK_URL", "sip:user:a\n[intruder]@sip.example", "like sip:USER:PASSWORD@HOST"),
        ("TRUNK_URL", "sip:user:a;b@sip.example", "like sip:USER:PASSWORD@HOST"),
        ("DATABASE_URL", "dozvon", "a database address starts with postgresql://"),
        ("DIAL_OUT", "{number}@operator", "like PJSIP/{number}@operator"),
        ("DIAL_OUT", "SIP/{number}@operator", "like PJSIP/{number}@operator"),
        ("DIAL_OUT", "PJSIP/{nubmer}@operator", "like PJSIP/{number}@operator"),
        ("DIAL_OUT", "PJSIP/{}@operator", "like PJSIP/{number}@operator"),
        ("DIAL_OUT", "PJSIP/{number", "like PJSIP/{number}@operator"),
        ("DIAL_OUT", "PJSIP/{number}@operator,30,S(1)", "like PJSIP/{number}@operator"),
        ("DIAL_OUT", "PJSIP/{number}&PJSIP/101", "like PJSIP/{number}@operator"),
        ("DIAL_OUT", "PJSIP/{number}@operator\n", "like PJSIP/{number}@operator"),
        ("OFFER_AFTER", "0", "seconds, at least 1 and less than a day"),
    ],
)
def test_a_wrong_value_is_refused_with_its_reason(name: str, text: str, why: str) -> None:
    (problem,) = refused(**{name: text})
    assert why in problem


def test_a_secret_is_not_shown_even_when_it_is_wrong() -> None:
    problems = refused(DATABASE_URL="mysql://dozvon:hunter2@db/dozvon", SIP_PORT="x")
    assert "hunter2" not in "".join(problems)
    assert "DOZVON_DATABASE_URL=…: a database address" in problems[0]


def test_a_secret_under_a_mistyped_name_is_not_shown() -> None:
    assert "hunter2" not in "".join(refused(AMI_SECRT="hunter2", PANEL_TOKN="hunter2"))


@pytest.mark.parametrize("word", ["SECRET", "TOKEN", "URL", "PASSWORD", "RESIDENT"])
def test_every_setting_that_names_a_secret_is_hidden(word: str) -> None:
    """Guards the list of words by which a message knows a secret against new settings."""
    from ivr.settings import _shown

    for field in fields(Settings):
        name = PREFIX + field.name.upper()
        if word in name:
            assert _shown(name, "hunter2") == "…", name


def test_the_operator_s_password_is_in_no_message() -> None:
    url = "sip:74951230001:hunter2@sip.example"
    assert "hunter2" not in "".join(refused(TRUNK_URL=f"{url};x", SIP_PORT="x"))
    assert "hunter2" not in repr(Settings.read({"DOZVON_TRUNK_URL": url}))


@pytest.mark.parametrize("name", ["ami_secret", "panel_token", "test_resident", "database_url"])
def test_settings_shown_in_a_trace_show_no_secret(name: str) -> None:
    assert "hunter2" not in repr(replace(Settings(), **{name: "postgresql://dozvon:hunter2@db/dozvon"}))


def test_a_very_long_value_does_not_fill_the_message() -> None:
    (problem,) = refused(SIP_PORT="9" * 10_000)
    assert len(problem) < 400


def test_two_parts_on_one_port_are_named_together() -> None:
    problems = refused(AMI_PORT="5000", AGI_PORT="5000", PANEL_PORT="5000")
    assert "DOZVON_AGI_PORT and DOZVON_AMI_PORT: both 5000" in problems
    assert len(problems) == 3


def test_too_few_audio_ports_are_refused() -> None:
    (problem,) = refused(RTP_FROM="10000", RTP_TO="10010")
    assert problem.startswith("DOZVON_RTP_TO: at least 20 ports above DOZVON_RTP_FROM")


def test_an_external_asterisk_needs_the_secret_of_its_manager() -> None:
    (problem,) = refused(ASTERISK="external")
    assert problem.startswith("DOZVON_AMI_SECRET")
    Settings.read({"DOZVON_ASTERISK": "external", "DOZVON_AMI_SECRET": "given-to-us"})


def test_a_dialplan_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (problem,) = refused(DIALPLAN=str(tmp_path / "nowhere"))
    assert problem.endswith("no such folder")


def test_no_secret_has_a_default() -> None:
    settings = Settings()
    assert (settings.ami_secret, settings.panel_token, settings.database_url) == (None, None, None)


@pytest.mark.parametrize(
    ("given", "rings"),
    [
        ({}, None),
        ({"TRUNK_URL": "sip:u:secret@sip.example"}, "PJSIP/{number}@operator"),
        ({"TRUNK_PEERS": "192.0.2.7,192.0.2.8"}, "PJSIP/trunk/sip:{number}@192.0.2.7"),
        ({"TRUNK_PEERS": "198.51.100.0/24,192.0.2.7"}, "PJSIP/trunk/sip:{number}@192.0.2.7"),
        ({"TRUNK_PEERS": "198.51.100.0/24"}, None),
        ({"TEST_RESIDENT": "a-long-password"}, "PJSIP/resident"),
        ({"TRUNK_PEERS": "198.51.100.0/24", "DIAL_OUT": "PJSIP/{digits}@sbc"}, "PJSIP/{digits}@sbc"),
        ({"TRUNK_URL": "sip:u:secret@sip.example", "DIAL_OUT": "PJSIP/{digits}@sbc"}, "PJSIP/{digits}@sbc"),
    ],
)
def test_a_resident_is_rung_the_way_her_calls_come_unless_told_otherwise(
    given: dict[str, str], rings: str | None
) -> None:
    assert Settings.read({PREFIX + name: text for name, text in given.items()}).outbound == rings


def test_nothing_but_sip_and_panel_could_listen_beyond_loopback_by_default() -> None:
    settings = Settings()
    assert {settings.ami_host, settings.agi_host} == {"127.0.0.1"}


def test_a_dialplan_of_ones_own_may_say_what_answers_mean(tmp_path: Path) -> None:
    shipped = Settings().understanding
    assert (shipped / "ru.toml").exists()
    assert Settings(dialplan=tmp_path).understanding == shipped, (
        "a dialplan without it goes with what is shipped"
    )
    (tmp_path / "understanding").mkdir()
    assert Settings(dialplan=tmp_path).understanding == tmp_path / "understanding", (
        "what it lacks is to be named"
    )

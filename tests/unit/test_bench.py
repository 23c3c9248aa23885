from __future__ import annotations

import math
import os
import struct
import time
from pathlib import Path

import pytest

from bench.callers import successes
from bench.cost import Stat, read_stat, seconds, tree
from bench.exchanges import LONG, SHORT, Greeting, record
from bench.figures import Spread, per_call, percentile, ratios, table
from bench.media import END_PACKETS, EVENT, KEY_PACKETS, PACKET, VOICE, Caller, answered
from bench.probe import agreed, audio_port, header, sdp, status
from ivr.dialplan.rules import read
from ivr.settings import Settings
from ivr.speech.sound import read_recording

ANSWER = (
    "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.3:5062;rport=5062\r\nCall-ID: probe-1\r\n"
    "From: <sip:+79160000001@127.0.0.3>;tag=a\r\nTo: <sip:short@127.0.0.21>;tag=b7\r\nCSeq: 1 INVITE\r\n\r\n"
    "v=0\r\nm=audio 20004 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
)


# figures


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.99) == 99
    assert percentile(values, 0.50) == 50
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3


def test_of_nothing_measured_there_is_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))


def test_rounds_are_compared_one_by_one() -> None:
    assert ratios([20.0, 30.0, 12.0], [10.0, 10.0, 10.0]) == Spread(1.2, 2.0, 3.0)


def test_variants_measured_a_different_number_of_times_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


def test_a_spread_shows_the_middle_and_the_ends() -> None:
    assert str(Spread.of([2.5, 2.0, 2.25])) == "2.25 (2.00–2.50)"


def test_what_a_part_spends_doing_nothing_is_not_a_calls_cost() -> None:
    spent = per_call({"Postgres": 10.0}, {"Postgres": 11.0}, {"Postgres": 0.05}, lasted=10.0, calls=100)
    assert spent == {"Postgres": pytest.approx(5.0)}


def test_a_quiet_round_costs_nothing_rather_than_less_than_nothing() -> None:
    assert per_call({"a": 1.0}, {"a": 1.0}, {"a": 0.1}, lasted=5.0, calls=10) == {"a": 0.0}


def test_a_tables_figures_stand_under_their_heads() -> None:
    assert table(["", "ms"], [["bare", "9.5"], ["hotline", "21.0"]]) == (
        "           ms\nbare      9.5\nhotline  21.0"
    )


# what processes cost


def test_a_process_whose_name_has_brackets_and_spaces_is_read_right() -> None:
    fields = "S 7 1 1 0 -1 4194560 100 0 0 0 250 150 30 20 20 0 1 0 100 1000 10"
    assert read_stat(f"42 (a) (b c) {fields}") == Stat(pid=42, parent=7, ticks=450)


def test_children_and_their_children_belong_to_the_process() -> None:
    stats = [Stat(1, 0, 1), Stat(2, 1, 10), Stat(3, 2, 100), Stat(4, 9, 1000)]
    assert sum(stat.ticks for stat in tree(stats, 1)) == 111


def test_work_done_by_this_very_process_is_seen() -> None:
    before = seconds({"me": os.getpid()})["me"]
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert seconds({"me": os.getpid()})["me"] - before >= 0.05


# sipp


def test_calls_that_went_well_are_counted_by_the_last_line_of_sipps_statistics() -> None:
    counts = ["SuccessfulCall(P);SuccessfulCall(C);FailedCall(C);\n", "5;5;0;\n", "4;9;1;\n"]
    assert successes(iter(counts)) == 9


def test_a_sipp_that_wrote_no_statistics_had_no_success() -> None:
    assert successes(iter(["SuccessfulCall(C);FailedCall(C);\n"])) == 0


def test_sipp_tells_where_a_calls_audio_comes_from() -> None:
    assert answered(b"127.0.0.20 20004 70") == (("127.0.0.20", 20004), 70)


# a caller's voice and key


def _said(caller: Caller, heard: int) -> list[tuple[int, int, bytes]]:
    """Payload type, timestamp and payload of what she says to each packet."""
    said = []
    for caller.heard in range(heard):
        _, kind, _, moment, _ = struct.unpack("!BBHII", caller.speaks()[:12])
        said.append((kind, moment, caller.speaks()[12:]))
    return said


def test_a_caller_speaks_a_packet_for_every_packet_she_hears() -> None:
    said = _said(Caller(1, press_after=100), 3)
    assert [(kind, moment, len(payload)) for kind, moment, payload in said] == [
        (VOICE, 0, PACKET),
        (VOICE, PACKET, PACKET),
        (VOICE, 2 * PACKET, PACKET),
    ]


def test_her_key_is_one_event_of_growing_length_whose_end_is_told_three_times() -> None:
    events = [said for said in _said(Caller(1, press_after=5), 20) if said[0] & 0x7F == EVENT]
    assert len(events) == KEY_PACKETS + END_PACKETS
    assert {moment for _, moment, _ in events} == {5 * PACKET}
    keys = [struct.unpack("!BBH", payload) for _, _, payload in events]
    assert {key for key, _, _ in keys} == {1}
    assert [bool(flags & 0x80) for _, flags, _ in keys] == [False] * KEY_PACKETS + [True] * END_PACKETS
    assert [length for _, _, length in keys] == [160, 320, 480, 640, 800, 800, 800, 800]


def test_only_the_first_packet_of_a_key_carries_the_mark() -> None:
    kinds = [kind for kind, _, _ in _said(Caller(1, press_after=0), KEY_PACKETS)]
    assert kinds == [EVENT | 0x80] + [EVENT] * (KEY_PACKETS - 1)


def test_after_the_key_she_speaks_again() -> None:
    assert _said(Caller(1, press_after=0), 9)[-1][0] == VOICE


# the probe's SIP


def test_an_answer_is_read() -> None:
    assert status(ANSWER) == 200
    assert audio_port(ANSWER) == 20004
    assert header(ANSWER, "call-id") == "probe-1"
    assert header(ANSWER, "To").endswith(";tag=b7")


def test_an_answer_without_audio_is_refused() -> None:
    with pytest.raises(ValueError, match="no audio"):
        audio_port("SIP/2.0 200 OK\r\n\r\nv=0\r\n")


def test_a_request_is_agreed_to_with_its_own_headers_and_all_its_vias() -> None:
    request = "BYE sip:a@b SIP/2.0\r\nVia: one\r\nVia: two\r\nCall-ID: x\r\nCSeq: 5 BYE\r\nX-Other: y\r\n\r\n"
    assert agreed(request) == (
        "SIP/2.0 200 OK\r\nVia: one\r\nVia: two\r\nCall-ID: x\r\nCSeq: 5 BYE\r\nContent-Length: 0\r\n\r\n"
    )


def test_the_offer_names_its_port_and_telephone_events() -> None:
    assert audio_port(sdp("127.0.0.3", 40_000)) == 40_000
    assert "telephone-event/8000" in sdp("127.0.0.3", 40_000)


# what is played


def test_every_prompt_of_the_shipped_rules_is_recorded(tmp_path: Path) -> None:
    record(tmp_path)
    rules = read(Settings().dialplan)
    assert not [name for name in rules.prompts() if not (tmp_path / f"{name}.wav").is_file()]


@pytest.mark.parametrize("greeting", [SHORT, LONG])
def test_the_key_falls_into_the_menu_and_the_call_ends_after_it(greeting: Greeting) -> None:
    pressed = greeting.press_after * 0.02
    assert greeting.welcome + greeting.notice < pressed < greeting.lasts - 0.5


def test_a_recorded_tone_is_loud_to_its_end(tmp_path: Path) -> None:
    record(tmp_path)
    sound = read_recording((tmp_path / "menu_main.wav").read_bytes())
    assert sound.rate == 8000
    assert abs(sound.samples[-80:]).max() > 0.1

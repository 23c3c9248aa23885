"""Calls as Asterisk's channel-event log tells them, written short: rows of a real log with fictional people.

A line is: seconds, event, channel, number of the channel, number of the call's first channel, fields.
"""

# ruff: noqa: E501 - rows as Asterisk writes them

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

from ivr.asterisk.cel import CallLog, Row
from ivr.call import Fact
from tests.fakes import NOON

CALLER, DIALLED = "+79000000001", "+74951230001"
CALL = "dozvon-1795298309.0"
"""The id of the story's call: channel number 0."""

ARRIVES = """
 0.00 CHAN_START   resident 0 0 context=from-trunk exten=+74951230001 num=+79000000001
 0.01 ANSWER       resident 0 0 context=from-trunk exten=+74951230001
"""
WAITS = f"""{ARRIVES}
 4.10 APP_START    resident 0 0 appname=Queue appdata=dispatch,,,,300
 4.11 CHAN_START   101      1 0 context=internal num=101
"""
TALKS = f"""{WAITS}
 9.00 ANSWER       101      1 0 appname=AppQueue
 9.01 BRIDGE_ENTER 101      1 0 {{"bridge_id": "one"}}
 9.02 BRIDGE_ENTER resident 0 0 {{"bridge_id": "one"}}
"""
ANSWERED = f"""{TALKS}
60.00 BRIDGE_EXIT  resident 0 0 {{"bridge_id": "one"}}
60.00 BRIDGE_EXIT  101      1 0 {{"bridge_id": "one"}}
60.01 HANGUP       101      1 0 {{"hangupcause": 16, "hangupsource": "PJSIP/resident-00000000", "dialstatus": ""}}
60.01 CHAN_END     101      1 0
60.02 HANGUP       resident 0 0 {{"hangupcause": 16, "hangupsource": "PJSIP/resident-00000000", "dialstatus": "ANSWER"}}
60.02 CHAN_END     resident 0 0
"""
GIVES_UP = f"""{WAITS}
20.00 HANGUP       101      1 0 {{"hangupcause": 0, "hangupsource": "", "dialstatus": ""}}
20.00 CHAN_END     101      1 0
20.01 HANGUP       resident 0 0 {{"hangupcause": 0, "hangupsource": "PJSIP/resident-00000000", "dialstatus": "CANCEL"}}
20.01 CHAN_END     resident 0 0
"""
NOBODY_THERE = f"""{ARRIVES}
 4.10 APP_START    resident 0 0 appname=Queue appdata=dispatch,,,,300
 4.11 USER_DEFINED resident 0 0 usereventname=LeftQueue {{"extra": "JOINEMPTY"}}
18.00 APP_START    resident 0 0 appname=Record
24.00 USER_DEFINED resident 0 0 usereventname=MessageLeft {{"extra": "SILENCE"}}
28.00 HANGUP       resident 0 0 {{"hangupcause": 16, "hangupsource": "dialplan/builtin", "dialstatus": ""}}
28.00 CHAN_END     resident 0 0
"""
WITHOUT_CONTROLLER = f"""{ARRIVES}
 0.02 USER_DEFINED resident 0 0 usereventname=StaticRoute {{"extra": ""}}
 9.00 APP_START    resident 0 0 appname=Queue appdata=dispatch,,,,300
20.01 HANGUP       resident 0 0 {{"hangupcause": 16, "hangupsource": "PJSIP/resident-00000000", "dialstatus": ""}}
20.01 CHAN_END     resident 0 0
"""
BLIND = f"""{TALKS}
30.00 BLINDTRANSFER 101     1 0 {{"extension": "102", "context": "internal", "bridge_id": "one", "transferee_channel_name": "PJSIP/resident-00000000"}}
30.00 BRIDGE_EXIT  101      1 0 {{"bridge_id": "one"}}
30.00 BRIDGE_EXIT  resident 0 0 {{"bridge_id": "one"}}
30.01 HANGUP       101      1 0 {{"hangupcause": 16, "hangupsource": "", "dialstatus": ""}}
30.01 CHAN_END     101      1 0
30.02 CHAN_START   102      2 0 context=internal num=102
33.00 ANSWER       102      2 0
33.01 BRIDGE_ENTER 102      2 0 {{"bridge_id": "two"}}
33.01 BRIDGE_ENTER resident 0 0 {{"bridge_id": "two"}}
60.00 BRIDGE_EXIT  resident 0 0 {{"bridge_id": "two"}}
60.00 BRIDGE_EXIT  102      2 0 {{"bridge_id": "two"}}
60.01 HANGUP       resident 0 0 {{"hangupcause": 16, "hangupsource": "PJSIP/resident-00000000", "dialstatus": "ANSWER"}}
60.01 CHAN_END     resident 0 0
"""
ATTENDED = f"""{TALKS}
30.00 CHAN_START   101      5 5 context=internal exten=102 num=101
30.01 CHAN_START   102      6 5 context=internal num=102
33.00 ANSWER       102      6 5
33.00 ANSWER       101      5 5
33.01 BRIDGE_ENTER 102      6 5 {{"bridge_id": "two"}}
33.01 BRIDGE_ENTER 101      5 5 {{"bridge_id": "two"}}
40.00 BRIDGE_EXIT  102      6 5 {{"bridge_id": "two"}}
40.00 BRIDGE_EXIT  101      1 0 {{"bridge_id": "one"}}
40.00 BRIDGE_ENTER 102      6 0 {{"bridge_id": "one"}}
40.01 ATTENDEDTRANSFER 101  1 0 {{"bridge1_id": "one", "channel2_name": "PJSIP/101-00000005", "bridge2_id": "two", "transferee_channel_name": "PJSIP/resident-00000000", "transfer_target_channel_name": "PJSIP/102-00000006"}}
40.01 HANGUP       101      1 0 {{"hangupcause": 16, "hangupsource": "", "dialstatus": ""}}
40.01 CHAN_END     101      1 0
40.02 BRIDGE_EXIT  101      5 5 {{"bridge_id": "two"}}
40.02 HANGUP       101      5 5 {{"hangupcause": 16, "hangupsource": "", "dialstatus": "ANSWER"}}
40.02 CHAN_END     101      5 5
60.00 BRIDGE_EXIT  102      6 0 {{"bridge_id": "one"}}
60.00 BRIDGE_EXIT  resident 0 0 {{"bridge_id": "one"}}
60.01 HANGUP       102      6 0 {{"hangupcause": 16, "hangupsource": "PJSIP/102-00000006", "dialstatus": ""}}
60.01 CHAN_END     102      6 0
60.02 HANGUP       resident 0 0 {{"hangupcause": 16, "hangupsource": "PJSIP/102-00000006", "dialstatus": "ANSWER"}}
60.02 CHAN_END     resident 0 0
"""
ALL = {
    "answered": ANSWERED,
    "gives up": GIVES_UP,
    "nobody there": NOBODY_THERE,
    "without a controller": WITHOUT_CONTROLLER,
    "blind transfer": BLIND,
    "attended transfer": ATTENDED,
}

_PLAIN = ["usereventname", "num", "exten", "context", "appname", "appdata"]


def lines(story: str, begins: datetime = NOON, call: int = 1795298309) -> list[dict[str, str]]:
    """The story as rows of the file `calls.jsonl`."""
    return [_line(text.split(maxsplit=5), begins, call) for text in story.splitlines() if text.strip()]


def _line(words: list[str], begins: datetime, call: int) -> dict[str, str]:
    seconds, event, channel, number, first, *rest = words
    fields = dict.fromkeys(_PLAIN, "")
    given, brace, extra = (rest[0] if rest else "").partition("{")
    fields |= dict(pair.split("=", 1) for pair in given.split())
    at = (begins + timedelta(seconds=float(seconds))).timestamp()
    return {
        "eventenum": event,
        "eventtime": f"{at:.6f}",
        "channame": f"PJSIP/{channel}-{int(number):08x}",
        "uniqueid": f"dozvon-{call}.{number}",
        "linkedid": f"dozvon-{call}.{first}",
        "eventextra": brace + extra,
        **fields,
    }


def as_heard(line: dict[str, str]) -> dict[str, str]:
    """The same event as the manager's stream tells it, a little later."""
    event = {
        "Event": "CEL",
        "Privilege": "call,all",
        "Timestamp": f"{float(line['eventtime']) + 0.0004:.6f}",
        "EventName": line["eventenum"],
        "CallerIDnum": line["num"],
        "Exten": line["exten"],
        "Context": line["context"],
        "Channel": line["channame"],
        "Application": line["appname"],
        "AppData": line["appdata"],
        "EventTime": "2026-11-18 12:00:00",
        "UniqueID": line["uniqueid"],
        "LinkedID": line["linkedid"],
    }
    if line["usereventname"]:
        event["UserDefType"] = line["usereventname"]
    if line["eventextra"]:
        event["Extra"] = line["eventextra"]
    return event


def as_written(line: dict[str, str]) -> str:
    return json.dumps(line, ensure_ascii=False)


def facts(story: str, log: CallLog | None = None) -> list[Fact]:
    """What a fresh log makes of it."""
    return list(_fed([Row.of(line) for line in lines(story)], log or CallLog()))


def _fed(rows: list[Row], log: CallLog) -> Iterator[Fact]:
    for row in rows:
        yield from log.feed(row)

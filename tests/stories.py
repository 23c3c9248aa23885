"""Calls as Asterisk's channel-event log tells them, written short: rows of a real log with fictional people.

A line is: seconds, event, channel, number of the channel, number of the call's first channel, fields. A call back
begins with the two halves of the resident's stand-in, whose numbers are A and B.
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
CALLBACK = "dozvon-callback-7-1"
"""The id of the story's call back: the first attempt of promise 7."""
SURVEY = "dozvon-survey-3-1"
"""The id of the story's robot's call: the first attempt of survey 3. Its channel's number is S."""

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

# calls back

PLACED = f"""
 0.00 CHAN_START   stand-in A A context=stand-in exten=s
 0.00 CHAN_START   stand-in B A context=stand-in exten=s
 0.00 ANSWER       stand-in B A context=stand-in exten=s num={CALLER}
 0.00 ANSWER       stand-in A A context=stand-in exten=s num={CALLER}
 0.00 USER_DEFINED stand-in A A context=callback exten=s num={CALLER} usereventname=Callback {{"extra": "7|{CALLER}|{DIALLED}|emergency|20"}}
 0.01 APP_START    stand-in A A appname=Queue appdata=dispatch,,,,120,,callback-accepted,,
"""
STAND_IN_ENDS = """
50.00 HANGUP       stand-in A A {"hangupcause": 16, "hangupsource": "", "dialstatus": "ANSWER"}
50.00 CHAN_END     stand-in A A
50.00 HANGUP       stand-in B A {"hangupcause": 16, "hangupsource": "", "dialstatus": ""}
50.00 CHAN_END     stand-in B A
"""
TAKEN = f"""{PLACED}
 0.02 CHAN_START   101      4 A context=internal exten=s num=101
 3.00 ANSWER       101      4 A context=internal exten=s num=101 appname=AppQueue
 3.00 USER_DEFINED 101      4 A context=callback-accepted exten=s num=101 usereventname=Accepted {{"extra": ""}}
"""
RINGS_RESIDENT = f"""{TAKEN}
 4.70 CHAN_START   resident 5 A context=from-trunk exten=s
"""
BACK_IN_QUEUE = """
48.00 BRIDGE_ENTER 101      4 A context=internal {"bridge_id": "of the queue"}
48.00 BRIDGE_ENTER stand-in A A context=callback {"bridge_id": "of the queue"}
48.00 BRIDGE_EXIT  101      4 A context=internal {"bridge_id": "of the queue"}
48.00 BRIDGE_EXIT  stand-in A A context=callback {"bridge_id": "of the queue"}
48.01 HANGUP       101      4 A {"hangupcause": 16, "hangupsource": "dialplan/builtin", "dialstatus": ""}
48.01 CHAN_END     101      4 A
"""
BACK_TALKS = f"""{RINGS_RESIDENT}
10.00 ANSWER       resident 5 A context=from-trunk exten=s appname=AppDial
10.50 BRIDGE_ENTER resident 5 A {{"bridge_id": "one"}}
10.50 BRIDGE_ENTER 101      4 A {{"bridge_id": "one"}}
"""
BACK_TALKED = f"""{BACK_TALKS}
40.00 BRIDGE_EXIT  resident 5 A {{"bridge_id": "one"}}
40.00 BRIDGE_EXIT  101      4 A {{"bridge_id": "one"}}
40.00 HANGUP       resident 5 A {{"hangupcause": 16, "hangupsource": "PJSIP/resident-00000005", "dialstatus": ""}}
40.00 CHAN_END     resident 5 A
{BACK_IN_QUEUE}{STAND_IN_ENDS}"""
BACK_BUSY = f"""{RINGS_RESIDENT}
 4.71 HANGUP       resident 5 A {{"hangupcause": 17, "hangupsource": "PJSIP/resident-00000005", "dialstatus": ""}}
 4.71 CHAN_END     resident 5 A
 4.71 USER_DEFINED 101      4 A usereventname=Tried {{"extra": "BUSY"}}
{BACK_IN_QUEUE}{STAND_IN_ENDS}"""
BACK_NO_ANSWER = f"""{RINGS_RESIDENT}
34.70 HANGUP       resident 5 A {{"hangupcause": 0, "hangupsource": "", "dialstatus": ""}}
34.70 CHAN_END     resident 5 A
34.70 USER_DEFINED 101      4 A usereventname=Tried {{"extra": "NOANSWER"}}
{BACK_IN_QUEUE}{STAND_IN_ENDS}"""
BACK_UNREACHABLE = f"""{TAKEN}
 4.70 USER_DEFINED 101      4 A usereventname=Tried {{"extra": "CHANUNAVAIL"}}
{BACK_IN_QUEUE}{STAND_IN_ENDS}"""
BACK_MACHINE = BACK_TALKED.replace(
    "\n40.00 BRIDGE_EXIT  resident",
    """
20.00 USER_DEFINED 101      4 A usereventname=Machine {"extra": ""}
40.00 BRIDGE_EXIT  resident""",
)
BACK_DISPATCHER_GONE = f"""{RINGS_RESIDENT}
 9.00 HANGUP       resident 5 A {{"hangupcause": 0, "hangupsource": "", "dialstatus": ""}}
 9.00 CHAN_END     resident 5 A
 9.00 HANGUP       101      4 A {{"hangupcause": 16, "hangupsource": "PJSIP/101-00000004", "dialstatus": "CANCEL"}}
 9.00 CHAN_END     101      4 A
{STAND_IN_ENDS}"""
BACK_BLIND = f"""{BACK_TALKS}
30.00 BLINDTRANSFER 101     4 A {{"extension": "102", "context": "internal", "bridge_id": "one", "transferee_channel_name": "PJSIP/resident-00000005"}}
30.00 BRIDGE_EXIT  101      4 A {{"bridge_id": "one"}}
30.00 BRIDGE_EXIT  resident 5 A {{"bridge_id": "one"}}
30.01 HANGUP       101      4 A {{"hangupcause": 16, "hangupsource": "", "dialstatus": ""}}
30.01 CHAN_END     101      4 A
30.01 HANGUP       stand-in A A {{"hangupcause": 16, "hangupsource": "", "dialstatus": "ANSWER"}}
30.01 CHAN_END     stand-in A A
30.01 CHAN_END     stand-in B A
30.02 CHAN_START   102      6 A context=internal num=102
33.00 ANSWER       102      6 A
33.01 BRIDGE_ENTER 102      6 A {{"bridge_id": "two"}}
33.01 BRIDGE_ENTER resident 5 A {{"bridge_id": "two"}}
60.00 BRIDGE_EXIT  resident 5 A {{"bridge_id": "two"}}
60.00 BRIDGE_EXIT  102      6 A {{"bridge_id": "two"}}
60.01 HANGUP       resident 5 A {{"hangupcause": 16, "hangupsource": "PJSIP/102-00000006", "dialstatus": ""}}
60.01 CHAN_END     resident 5 A
60.02 CHAN_END     102      6 A
"""
BACK_TAKEN_BACK = f"""{PLACED}
 0.02 CHAN_START   101      4 A context=internal exten=s num=101
 9.00 HANGUP       101      4 A {{"hangupcause": 26, "hangupsource": "", "dialstatus": ""}}
 9.00 CHAN_END     101      4 A
{STAND_IN_ENDS}"""
BACK_NOBODY_TOOK_IT = f"""{PLACED}
 0.02 CHAN_START   101      4 A context=internal exten=s num=101
49.00 CHAN_END     101      4 A
49.00 USER_DEFINED stand-in A A usereventname=LeftQueue {{"extra": "TIMEOUT"}}
{STAND_IN_ENDS}"""
BACK = {
    "call back: talk": BACK_TALKED,
    "call back: busy": BACK_BUSY,
    "call back: no answer": BACK_NO_ANSWER,
    "call back: unreachable": BACK_UNREACHABLE,
    "call back: machine": BACK_MACHINE,
    "call back: dispatcher gone": BACK_DISPATCHER_GONE,
    "call back: blind transfer": BACK_BLIND,
    "call back: taken back": BACK_TAKEN_BACK,
    "call back: nobody took it": BACK_NOBODY_TOOK_IT,
}
ASKS = """
 0.00 CHAN_START   resident S S context=from-trunk exten=s
 6.00 ANSWER       resident S S context=from-trunk exten=s appname=AppDial2 num=+74951230001
"""
ASKED = f"""{ASKS}
30.00 HANGUP       resident S S {{"hangupcause": 16, "hangupsource": "PJSIP/resident-00000000", "dialstatus": ""}}
30.00 CHAN_END     resident S S
"""
ASK_BUSY = """
 0.00 CHAN_START   resident S S context=from-trunk exten=s
 2.00 HANGUP       resident S S {"hangupcause": 17, "hangupsource": "PJSIP/resident-00000000", "dialstatus": ""}
 2.00 CHAN_END     resident S S
"""
ASK_NO_ANSWER = """
 0.00 CHAN_START   resident S S context=from-trunk exten=s
30.00 HANGUP       resident S S {"hangupcause": 19, "hangupsource": "", "dialstatus": ""}
30.00 CHAN_END     resident S S
"""
HANDED_OVER = f"""{ASKS}
20.00 USER_DEFINED resident S S usereventname=HandedOver {{"extra": "+79000000001|+74951230001"}}
20.00 USER_DEFINED resident S S usereventname=Went {{"extra": "heating|50"}}
20.01 APP_START    resident S S appname=Queue appdata=dispatch,,,,300
20.02 CHAN_START   101      1 S context=internal num=101
"""
HANDED_OVER_TALKS = f"""{HANDED_OVER}
25.00 ANSWER       101      1 S appname=AppQueue
25.01 BRIDGE_ENTER 101      1 S {{"bridge_id": "one"}}
25.02 BRIDGE_ENTER resident S S {{"bridge_id": "one"}}
60.00 BRIDGE_EXIT  resident S S {{"bridge_id": "one"}}
60.00 BRIDGE_EXIT  101      1 S {{"bridge_id": "one"}}
60.01 HANGUP       resident S S {{"hangupcause": 16, "hangupsource": "PJSIP/resident-00000000", "dialstatus": ""}}
60.01 CHAN_END     resident S S
60.02 CHAN_END     101      1 S
"""
HANDED_OVER_IN_VAIN = f"""{HANDED_OVER}
40.00 CHAN_END     101      1 S
40.00 HANGUP       resident S S {{"hangupcause": 16, "hangupsource": "PJSIP/resident-00000000", "dialstatus": ""}}
40.00 CHAN_END     resident S S
"""
ASKING = {
    "robot: asked": ASKED,
    "robot: busy": ASK_BUSY,
    "robot: no answer": ASK_NO_ANSWER,
    "robot: handed over": HANDED_OVER_TALKS,
    "robot: handed over in vain": HANDED_OVER_IN_VAIN,
}

_PLAIN = ["usereventname", "num", "exten", "context", "appname", "appdata"]
_HALVES = {"A": "Local/s@stand-in-00000000;1", "B": "Local/s@stand-in-00000000;2"}


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
        "channame": _HALVES.get(number) or f"PJSIP/{channel}-{0 if number == 'S' else int(number):08x}",
        "uniqueid": _id(number, call),
        "linkedid": _id(first, call),
        "eventextra": brace + extra,
        **fields,
    }


def _id(number: str, call: int) -> str:
    return {"A": CALLBACK, "B": f"{CALLBACK}-b", "S": SURVEY}.get(number, f"dozvon-{call}.{number}")


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

"""The scripted softphone against a small Asterisk of its own: what it claims to do is what the exchange sees.

Needs the fixture `native` (appliance.native.Native: the unpacked tree).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.native import Native
from demo import softphone
from demo.softphone import HIDDEN, HUNG_UP_HERE, HUNG_UP_THERE, TRANSFERRED, PhoneCall, PhoneError, Softphone
from demo.sound import has_tone, loudness, to_wav, tone, voice

MODULES = """
res_timing_timerfd res_sorcery_config res_sorcery_memory res_sorcery_astdb res_pjproject res_pjsip
res_pjsip_session res_pjsip_pubsub res_pjsip_authenticator_digest res_pjsip_endpoint_identifier_user
res_pjsip_registrar res_pjsip_sdp_rtp res_pjsip_caller_id res_pjsip_refer res_pjsip_rfc3326 res_rtp_asterisk
chan_pjsip bridge_simple bridge_softmix bridge_builtin_features codec_alaw codec_resample app_dial app_echo
app_read app_playtones func_callerid func_global format_wav res_musiconhold pbx_config
"""

PJSIP = """
[global]
type = global
endpoint_identifier_order = auth_username,username

[udp]
type = transport
protocol = udp
bind = 127.0.0.1:{port}

[phone](!)
type = endpoint
context = inside
disallow = all
allow = alaw
direct_media = no
rtp_symmetric = yes
dtmf_mode = rfc4733
send_pai = yes

[resident](phone)
context = from-trunk
identify_by = auth_username
trust_id_inbound = yes
auth = resident
[resident]
type = auth
auth_type = digest
username = resident
password = secret-resident
"""

DISPATCHER = """
[{number}](phone)
auth = {number}
aors = {number}
callerid = Пост {number} <{number}>
[{number}]
type = aor
max_contacts = 1
remove_existing = yes
[{number}]
type = auth
auth_type = digest
username = {number}
password = secret-{number}
"""

EXTENSIONS = """
[inside]
exten => _[1-2]XX,1,Dial(PJSIP/${{EXTEN}},20)
exten => 600,1,Answer()
 same => n,Echo()
exten => 603,1,Answer()
 same => n,PlayTones(440)
 same => n,Wait(1)
 same => n,Hangup()
exten => 605,1,Progress()
 same => n,PlayTones(440)
 same => n,Wait(30)
exten => 700,1,Dial(PJSIP/resident/sip:+79161234567@127.0.0.1:{phones},20)

[from-trunk]
exten => +74951230001,1,Dial(PJSIP/101,20)
exten => +74951230002,1,Answer()
 same => n,Read(PRESSED,,4,,1,5)
 same => n,Set(GLOBAL(KEYS)=${{CALLERID(num)}} pressed ${{PRESSED}})
 same => n,Hangup()
"""

MUSIC = 1800
"""What a held caller hears: a tone of so many hertz."""
MANY = [str(number) for number in range(200, 220)]


@dataclass(frozen=True)
class Exchange:
    """A running Asterisk that knows two dispatchers, twenty more phones, and a trunk."""

    server: str
    phones: int
    """The SIP port the phones are to answer on."""
    console: list[str]

    def says(self, command: str) -> str:
        done = subprocess.run([*self.console, "-rx", command], capture_output=True, text=True, check=False)
        return done.stdout

    def phone(self, number: str, name: str = "") -> Softphone:
        return Softphone(number, f"secret-{number}", server=self.server, name=name, port=self.phones)

    def resident(self, caller: str = "+79161234567", name: str = "") -> Softphone:
        return Softphone(
            "resident",
            "secret-resident",
            server=self.server,
            caller=caller,
            name=name,
            register=False,
            port=self.phones,
        )


@pytest.fixture(scope="module")
def exchange(native: Native, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    home = tmp_path_factory.mktemp("exchange")
    sip, phones = free_port(), free_port()
    write_configuration(native, home, sip, phones)
    command = native.command("usr/sbin/asterisk", "-C", home / "asterisk.conf")
    with (home / "console").open("w") as console:
        process = subprocess.Popen([*command, "-f"], stdout=console, stderr=subprocess.STDOUT)
    try:
        exchange = Exchange(f"127.0.0.1:{sip}", phones, command)
        until_booted(exchange, process)
        yield exchange
    finally:
        process.terminate()
        process.wait(timeout=20)


def write_configuration(native: Native, home: Path, sip: int, phones: int) -> None:
    folders = {"astetcdir": home, "astmoddir": native.asterisk_modules, "astdatadir": native.asterisk_data}
    own = ("astvarlibdir", "astdbdir", "astkeydir", "astagidir", "astspooldir", "astrundir", "astlogdir")
    folders |= dict.fromkeys(own, home)
    lines = "\n".join(f"{name} => {folder}" for name, folder in folders.items())
    dispatchers = "".join(DISPATCHER.format(number=number) for number in ("101", "102", *MANY))
    files = {
        "asterisk": f"[directories]\n{lines}\n",
        "modules": "[modules]\nautoload = no\n" + "\n".join(f"load = {name}.so" for name in MODULES.split()),
        "pjsip": PJSIP.format(port=sip) + dispatchers,
        "extensions": EXTENSIONS.format(phones=phones),
        "rtp": "[general]\nrtpstart = 15650\nrtpend = 15799\n",
        "musiconhold": f"[default]\nmode = files\ndirectory = {home}/music\n",
        "indications": "[general]\ncountry = ru\n[ru]\n",
    }
    (home / "music").mkdir()
    to_wav(tone(MUSIC, 5), home / "music" / "tone.wav")
    for name, text in files.items():
        (home / f"{name}.conf").write_text(text, encoding="utf-8")


def until_booted(exchange: Exchange, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while "fully booted" not in exchange.says("core waitfullybooted"):
        assert process.poll() is None, "Asterisk ended while starting"
        assert time.monotonic() < deadline, "Asterisk was not ready within 30 s"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def connect(resident: Softphone, dispatcher: Softphone) -> tuple[PhoneCall, PhoneCall]:
    """The resident calls the line, the dispatcher answers."""
    call = await resident.dial("+74951230001")
    ringing = await dispatcher.rings(within=5)
    await ringing.answer()
    await call.answered(within=5)
    return call, ringing


async def both_hear(one: PhoneCall, other: PhoneCall) -> None:
    one.says(tone(440, 1))
    other.says(tone(1000, 1))
    await asyncio.gather(other.hears_tone(440, within=5), one.hears_tone(1000, within=5))


async def test_a_phone_signs_on_and_off_again(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna:
        assert f"sip:101@{anna.address}" in exchange.says("pjsip show contacts")
    assert "sip:101@" not in exchange.says("pjsip show contacts")


async def test_a_wrong_password_is_named_at_once(exchange: Exchange) -> None:
    with pytest.raises(PhoneError, match=r"101: not registered .* 401 .* is the password right"):
        async with Softphone("101", "wrong", server=exchange.server):
            pass


async def test_a_refused_phone_does_not_stand_in_the_way_of_the_next(exchange: Exchange) -> None:
    async with exchange.phone("102"):
        with pytest.raises(PhoneError):
            await Softphone("101", "wrong", server=exchange.server).__aenter__()
        async with exchange.phone("101") as anna, exchange.resident() as ivan:
            call, _ = await connect(ivan, anna)
            await call.hang_up()


async def test_a_silent_exchange_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softphone, "PATIENCE", 0.3)
    with pytest.raises(PhoneError, match="not registered with"):
        async with Softphone("101", "any", server=f"127.0.0.1:{free_port()}"):
            pass


async def test_a_trunk_account_shows_any_caller(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna, exchange.resident("+79031112233", "Иван") as ivan:
        call = await ivan.dial("+74951230001")
        ringing = await anna.rings(within=5)
        await call.is_ringing(within=5)
        assert (ringing.caller_number, ringing.caller_name) == ("+79031112233", "Иван")


async def test_a_hidden_caller_shows_no_number(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna, exchange.resident(HIDDEN) as nobody:
        await nobody.dial("+74951230001")
        assert (await anna.rings(within=5)).caller_number == "anonymous"


async def test_a_trunk_account_with_a_wrong_password_does_not_get_through(exchange: Exchange) -> None:
    ivan = Softphone("resident", "wrong", server=exchange.server, caller="+79161234567", register=False)
    async with ivan:
        call = await ivan.dial("+74951230001")
        with pytest.raises(PhoneError, match="401"):
            await call.answered(within=5)


async def test_both_voices_pass(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna, exchange.resident() as ivan:
        call, ringing = await connect(ivan, anna)
        await both_hear(call, ringing)
        assert has_tone(ringing.heard, 440) and not has_tone(ringing.heard, 1000)
        await call.hang_up()
        assert call.reason == HUNG_UP_HERE
        assert await ringing.ended(within=5) == HUNG_UP_THERE


async def test_what_is_said_comes_back_at_its_own_loudness(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna:
        call = await anna.dial("600")
        await call.answered(within=5)
        call.says(voice(2, dbfs=-20))
        await call.hears_voice(within=5)
        assert abs(loudness(await call.hears(seconds=1)) - -20) < 3


async def test_a_quiet_line_is_not_a_voice(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna:
        call = await anna.dial("600")
        await call.answered(within=5)
        with pytest.raises(PhoneError, match=r"not heard speaking within 0.5 s; .* the loudest at"):
            await call.hears_voice(within=0.5)


async def test_a_short_announcement_is_heard_to_its_end(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna:
        call = await anna.dial("603")
        assert await call.ended(within=10) == HUNG_UP_THERE
        assert has_tone(call.heard, 440)
        assert 0.6 < call.heard.size / 8000 < 1.3


async def test_early_media_is_heard_before_the_answer(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna:
        call = await anna.dial("605")
        await call.hears_tone(440, within=5)
        assert not call.is_up


async def test_an_answer_that_comes_while_the_process_is_busy_is_not_missed(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna:
        asyncio.get_running_loop().call_soon(time.sleep, 0.5)  # the INVITE is out, nothing is taken in
        call = await anna.dial("600")
        await call.answered(within=5)
        call.says(tone(440, 1))
        await call.hears_tone(440, within=5)


async def test_keys_arrive_in_order(exchange: Exchange) -> None:
    async with exchange.resident() as ivan:
        call = await ivan.dial("+74951230002")
        await call.answered(within=5)
        await call.press("14*0")
        await call.ended(within=10)
    assert "KEYS=+79161234567 pressed 14*0" in exchange.says("dialplan show globals")


async def test_a_held_caller_hears_music_until_resumed(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna, exchange.resident() as ivan:
        call, ringing = await connect(ivan, anna)
        await both_hear(call, ringing)
        await ringing.hold()
        await call.hears_tone(MUSIC, within=5)
        await ringing.resume()
        await both_hear(call, ringing)
        assert not has_tone(await call.hears(seconds=0.5), MUSIC)


async def test_a_blind_transfer_joins_the_caller_with_the_third(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna, exchange.phone("102") as boris, exchange.resident() as ivan:
        call, ringing = await connect(ivan, anna)
        transfer = asyncio.create_task(ringing.transfer("102"))
        third = await boris.rings(within=5)
        assert third.caller_number == "+79161234567"
        await third.answer()
        await transfer
        assert ringing.reason == TRANSFERRED
        await both_hear(call, third)


async def test_an_attended_transfer_joins_the_caller_with_the_consulted(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna, exchange.phone("102") as boris, exchange.resident() as ivan:
        call, ringing = await connect(ivan, anna)
        await ringing.hold()
        consult = await anna.dial("102")
        third = await boris.rings(within=5)
        await third.answer()
        await consult.answered(within=5)
        await both_hear(consult, third)
        await ringing.transfer_to(consult)
        assert ringing.reason == TRANSFERRED
        await both_hear(call, third)


async def test_a_transfer_to_nowhere_leaves_the_call_standing(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna, exchange.resident() as ivan:
        call, ringing = await connect(ivan, anna)
        with pytest.raises(PhoneError, match=r"cannot transfer: .*404"):
            await ringing.transfer("999")
        await both_hear(call, ringing)


async def test_a_rejected_call_is_busy(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna, exchange.resident() as ivan:
        call = await ivan.dial("+74951230001")
        await (await anna.rings(within=5)).reject()
        assert await call.ended(within=5) == "486 Busy Here"


async def test_a_caller_who_gives_up_stops_the_ringing(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna, exchange.resident() as ivan:
        call = await ivan.dial("+74951230001")
        ringing = await anna.rings(within=5)
        await call.hang_up()
        assert await ringing.ended(within=5) == HUNG_UP_THERE
        with pytest.raises(PhoneError, match=r"101: did not ring within 0.2 s"):
            await anna.rings(within=0.2)


async def test_the_exchange_rings_a_resident_through_the_trunk(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna, exchange.resident() as ivan:
        call = await anna.dial("700")
        ringing = await ivan.rings(within=5)
        await ringing.answer()
        await call.answered(within=5)
        await both_hear(call, ringing)


async def test_two_open_phones_of_one_account_are_refused(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna:
        with pytest.raises(PhoneError, match=r"101: already open"):
            await exchange.phone("101").__aenter__()
        call = await anna.dial("600")
        await call.answered(within=5)


async def test_all_phones_answer_on_one_port(exchange: Exchange) -> None:
    async with exchange.phone("101") as anna:
        boris = Softphone("102", "secret-102", server=exchange.server, port=exchange.phones + 1)
        with pytest.raises(PhoneError, match=f"already answer on {anna.address}"):
            await boris.__aenter__()


async def test_a_number_is_taken_over_by_the_next_phone_of_that_account(exchange: Exchange) -> None:
    async with exchange.phone("102") as boris:
        async with exchange.phone("101"):
            pass
        async with exchange.phone("101") as anna:
            await boris.dial("101")
            await anna.rings(within=5)


async def test_twenty_phones_talk_at_once(exchange: Exchange) -> None:
    callers, called = MANY[:10], MANY[10:]
    async with contextlib.AsyncExitStack() as house:
        phones = {
            phone.account: phone
            for phone in await asyncio.gather(
                *(house.enter_async_context(exchange.phone(number)) for number in MANY)
            )
        }
        calls = await asyncio.gather(
            *(phones[one].dial(other) for one, other in zip(callers, called, strict=True))
        )
        ringing = await asyncio.gather(*(phones[number].rings(within=10) for number in called))
        await asyncio.gather(*(call.answer() for call in ringing))
        await asyncio.gather(*(call.answered(within=10) for call in calls))
        await asyncio.gather(*(both_hear(*pair) for pair in zip(calls, ringing, strict=True)))


def test_the_stack_stands_up_again_and_leaves_no_thread(exchange: Exchange) -> None:
    async def one_call() -> None:
        async with exchange.phone("101") as anna:
            call = await anna.dial("600")
            await call.answered(within=5)

    before = threading.active_count()
    for _ in range(2):
        asyncio.run(one_call())
        assert threading.active_count() == before

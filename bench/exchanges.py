"""What is measured: the hotline as it ships, and beside it a bare Asterisk with panoramisk's FastAGI.

Both Asterisks are always up; only one has calls at a time. Each listens on a loopback address of its own, so
that neither ports nor callers meet.
"""

from __future__ import annotations

import shutil
import sys
import wave
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from appliance import asterisk
from appliance.hotline import Hotline
from appliance.native import Native
from appliance.supervisor import Part
from bench.media import Address
from bench.probe import Probe
from ivr.asterisk import conf
from ivr.narrator import SPOKEN, STATIC
from ivr.settings import Settings
from ivr.speech.prompts import PromptShelf

SIPP, PROBE = "127.0.0.2", "127.0.0.3"
HOTLINE, BARE = "127.0.0.20", "127.0.0.21"
SIP_PORT = 5060

LINE, LONG_LINE = "+74951230001", "+74951230002"
"""The sample directory's two companies. The second has a greeting as long as a real one."""
RECORDED, UNRECORDED = "+7916", "+7917"
"""How callers' numbers begin: the calls of the latter are not recorded."""

PAUSE = 0.2
"""Seconds of silence around a prompt, which the hotline's shelf adds."""
INTO_THE_MENU = 0.2
"""Seconds after which a caller presses her key."""
PACKET = 0.02
PROMPTS = {
    **dict.fromkeys((*SPOKEN, *STATIC, "menu_main", "menu_after_hours", "danger_hold", "hold"), 1.0),
    "emergency_hold": 2.0,
}
"""Seconds of the prompts that are no greeting; the last is what she hears after her key until she hangs up."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What every caller hears before her key, in the seconds it takes; with the menu it is a call's length."""

    company: str
    welcome: float
    notice: float
    menu: float = 1.0

    @property
    def prompts(self) -> dict[str, float]:
        return {"welcome": self.welcome, "recording_notice": self.notice, "menu_main": self.menu}

    @property
    def lasts(self) -> float:
        return sum(self.prompts.values())

    @property
    def press_after(self) -> int:
        """Packets heard until the key."""
        return round((self.welcome + self.notice + INTO_THE_MENU) / PACKET)


SHORT = Greeting("severnaya", 0.6, 0.6)
"""So short that the talking hides little of what a call costs."""
LONG = Greeting("rechnoy", 4.4, 1.6)
"""As long as the shipped phrases are, spoken by RHVoice."""

_BARE_DIALPLAN = """\
; (a) answers, plays the greeting, hangs up; (c) the same commands as the hotline's, given by a peer
[from-trunk]
exten => short,1,Answer()
 same => n,Playback({short})
 same => n,Hangup()
exten => long,1,Answer()
 same => n,Playback({long})
 same => n,Hangup()
exten => peer,1,AGI(agi://127.0.0.1:{peer_port}/incoming)
 same => n,Hangup()
"""

_UNRECORDED = """
; (b-), for the benchmark only: these callers are taken as everybody is, but not recorded
[from-trunk](+)
exten => {line}/_{callers}.,1,AGI(${{CONTROLLER}}/incoming)
 same => n,Goto(${{IF($["${{PLACE}}" = ""]?static:${{PLACE}})}},s,1)
"""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way a call is handled."""

    name: str
    what: str
    dialled: str
    at: Address
    parts: Mapping[str, str]
    """What its cost consists of: the figure's name → the part that runs."""
    greeting: Greeting = SHORT
    caller_hangs_up: bool = True
    in_ledger: bool = False
    callers: str = RECORDED

    @property
    def recorded(self) -> bool:
        return self.in_ledger and self.callers == RECORDED


_BARE_PART = {"Asterisk": "bare asterisk"}
A = Variant("a", "bare Asterisk", "short", (BARE, SIP_PORT), _BARE_PART, caller_hangs_up=False)
A_LONG = replace(A, name="A", what="bare Asterisk, long", dialled="long", greeting=LONG)
_OURS = {"Asterisk": "asterisk", "controller": "controller", "Postgres": "postgres"}
B = Variant("b", "the hotline", LINE, (HOTLINE, SIP_PORT), _OURS, in_ledger=True)
B_UNRECORDED = replace(B, name="b-", what="… without recording", callers=UNRECORDED)
B_LONG = replace(B, name="B", what="the hotline, long", dialled=LONG_LINE, greeting=LONG)
C = Variant("c", "panoramisk", "peer", (BARE, SIP_PORT), {**_BARE_PART, "controller": "peer"})
VARIANTS = (A, B, B_UNRECORDED, C, A_LONG, B_LONG)


class Exchanges:
    """Everything that runs, under a home of its own that is made anew."""

    def __init__(self, settings: Settings, first_port: int, profile: Path | None) -> None:
        """Takes seven TCP or UDP ports from `first_port` on."""
        self.home = (settings.home / "bench").resolve()
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.media_port, self.peer_port = first_port + 5, first_port + 6
        self._profile = profile
        self._settings = Settings(
            home=self.home,
            native=(settings.native or settings.home / "native" / "root").resolve(),
            asterisk_name="bench",
            postgres_port=first_port,
            ami_port=first_port + 1,
            agi_port=first_port + 2,
            panel_port=first_port + 3,
            sip_host=HOTLINE,
            sip_port=SIP_PORT,
            rtp_from=20_000,
            rtp_to=29_999,
            trunk_peers=(f"{SIPP}/32", f"{PROBE}/32"),
            recorded=self.home / "sounds",
        )
        record(self.home / "sounds")
        self.hotline = Hotline(self._settings)
        self.database_url = self.hotline.settings.database_url or ""
        self.pipe = self.home / "answered"
        self._peer_ready = self.home / "peer.ready"
        self._stems: dict[str, dict[str, Path]] = {}

    @property
    def native(self) -> Native:
        return asterisk.native(self._settings)

    async def lay_out_prompts(self) -> None:
        """Have the files ready that the hotline will play, so that (a) and (c) play the very same."""
        shelf = PromptShelf(self._settings.prompts_folder, self._settings.recorded, None)
        for greeting in (SHORT, LONG):
            texts = dict.fromkeys([*greeting.prompts, "emergency_hold"], "")
            self._stems[greeting.company] = await shelf.prepare_all(greeting.company, texts)

    def parts(self, probe: Probe) -> list[Part]:
        parts = [self._ours(part) for part in self.hotline.parts()]
        return [*parts, self._bare(probe), self._peer(), self._media()]

    def _ours(self, part: Part) -> Part:
        """As it ships, but for the second company's line and, when asked for, a profile."""
        if part.name == "asterisk":
            return replace(part, before=self._prepare)
        if part.name == "controller" and self._profile is not None:
            return replace(part, command=[sys.executable, "-m", "bench.profiled", self._profile])
        return part

    async def _prepare(self) -> None:
        await self.hotline.prepare()
        dialplan = self.home / "asterisk" / "etc" / "extensions.conf"
        with dialplan.open("a") as file:
            file.write(_UNRECORDED.format(line=LINE, callers=UNRECORDED))

    def _bare(self, probe: Probe) -> Part:
        """The same modules and audio, but no call log, no manager, no recording, no controller."""
        home = self.home / "bare"
        settings = replace(
            self.hotline.settings,
            home=home,
            sip_host=BARE,
            native=self._settings.native,
            asterisk_name="bare",
        )
        layout = asterisk.layout(settings)
        files = conf.render(settings, layout, [], [])
        files["cel.conf"] = "[general]\nenable = no\n"
        files["manager.conf"] = "[general]\nenabled = no\n"
        files["extensions.conf"] = _BARE_DIALPLAN.format(
            short="&".join(self._files(SHORT)), long="&".join(self._files(LONG)), peer_port=self.peer_port
        )
        conf.write(files, layout)

        async def ready() -> bool:
            return await probe.answers((BARE, SIP_PORT), within=1.0)

        return replace(asterisk.part(settings), name="bare asterisk", ready=ready)

    def _peer(self) -> Part:
        prompts = [*self._files(SHORT), str(self._stems[SHORT.company]["emergency_hold"])]

        async def ready() -> bool:
            return self._peer_ready.exists()

        place = [str(self.peer_port), str(self._peer_ready)]
        return Part(name="peer", command=[sys.executable, "-m", "bench.peer", *place, *prompts], ready=ready)

    def _media(self) -> Part:
        async def ready() -> bool:
            return self.pipe.exists()

        place = [SIPP, str(self.media_port), str(self.pipe)]
        return Part(name="media", command=[sys.executable, "-m", "bench.media", *place], ready=ready)

    def _files(self, greeting: Greeting) -> list[str]:
        """What is played for the greeting, as Asterisk names it: without extension."""
        return [str(self._stems[greeting.company][name]) for name in greeting.prompts]


def record(folder: Path) -> None:
    """A tone for every prompt: no voice has to be there, and every machine plays the same."""
    tones = {"": PROMPTS, SHORT.company: SHORT.prompts, LONG.company: LONG.prompts}
    for company, prompts in tones.items():
        (folder / company).mkdir(parents=True, exist_ok=True)
        for name, lasts in prompts.items():
            _tone(folder / company / f"{name}.wav", lasts - PAUSE)


def _tone(path: Path, lasts: float) -> None:
    samples = 8000 * np.sin(2 * np.pi * 440 * np.arange(round(lasts * 8000)) / 8000)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())

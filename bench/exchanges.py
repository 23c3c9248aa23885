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
from appliance.supervisor import Part
from bench.media import Address
from bench.probe import Probe
from ivr.asterisk import conf
from ivr.narrator import SPOKEN, STATIC
from ivr.settings import Settings

SIPP, PROBE = "127.0.0.2", "127.0.0.3"
HOTLINE, BARE = "127.0.0.20", "127.0.0.21"
SIP_PORT = 5060

LINE, UNRECORDED_LINE = "+74951230001", "+74951230002"
"""The sample directory's two companies."""

GREETING = {"welcome": 0.6, "recording_notice": 0.6, "menu_main": 1.0}
"""Seconds of each prompt. Short, so that the talking hides little of what a call costs; their sum is a call's
length in every variant."""
AFTER_THE_KEY = {"emergency_hold": 2.0}
OTHERS = 1.0
PAUSE = 0.2
"""Seconds of silence around a prompt, which the hotline's shelf adds."""
TALK = sum(GREETING.values())
PRESS_AFTER = 70
"""Packets of 20 ms heard until the key is pressed: 0.2 s into the menu."""

_BARE_DIALPLAN = """\
; (a) answers, plays the greeting, hangs up; (c) the same commands as the hotline's, given by a peer
[from-trunk]
exten => greeting,1,Answer()
 same => n,Playback({greeting})
 same => n,Hangup()
exten => peer,1,AGI(agi://127.0.0.1:{peer_port}/incoming)
 same => n,Hangup()
"""

_UNRECORDED = """
; (b) without the recording: the second company's line, for the benchmark only
[from-trunk](+)
exten => {line},1,AGI(${{CONTROLLER}}/incoming)
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
    caller_hangs_up: bool = True
    in_ledger: bool = False
    recorded: bool = False


_OURS = {"Asterisk": "asterisk", "controller": "controller", "Postgres": "postgres"}
A = Variant(
    "a", "bare Asterisk", "greeting", (BARE, SIP_PORT), {"Asterisk": "bare asterisk"}, caller_hangs_up=False
)
B = Variant(
    "b", "the hotline", LINE, (HOTLINE, SIP_PORT), _OURS, in_ledger=True, recorded=True
)  # fmt: skip
B_UNRECORDED = replace(B, name="b-", what="… without recording", dialled=UNRECORDED_LINE, recorded=False)
C = Variant(
    "c", "panoramisk, no ledger", "peer", (BARE, SIP_PORT), {"Asterisk": "bare asterisk", "controller": "peer"}
)


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

    @property
    def native(self) -> asterisk.Native:
        return asterisk.native(self._settings)

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
            file.write(_UNRECORDED.format(line=UNRECORDED_LINE))

    def _bare(self, probe: Probe) -> Part:
        """The same modules and audio, but no call log, no manager, no recording, no controller."""
        home = self.home / "bare"
        settings = replace(
            self.hotline.settings, home=home, sip_host=BARE, native=self._settings.native, asterisk_name="bare"
        )
        layout = asterisk.layout(settings)
        files = conf.render(settings, layout, [], [])
        files["cel.conf"] = "[general]\nenable = no\n"
        files["manager.conf"] = "[general]\nenabled = no\n"
        files["extensions.conf"] = _BARE_DIALPLAN.format(
            greeting="&".join(map(str, map(self._static, GREETING))), peer_port=self.peer_port
        )
        conf.write(files, layout)

        async def ready() -> bool:
            return await probe.answers((BARE, SIP_PORT), within=1.0)

        return replace(asterisk.part(settings), name="bare asterisk", ready=ready)

    def _peer(self) -> Part:
        prompts = [str(self._static(name)) for name in (*GREETING, *AFTER_THE_KEY)]

        async def ready() -> bool:
            return self._peer_ready.exists()

        command = [sys.executable, "-m", "bench.peer", str(self.peer_port), self._peer_ready, *prompts]
        return Part(name="peer", command=command, ready=ready)

    def _media(self) -> Part:
        async def ready() -> bool:
            return self.pipe.exists()

        place = [SIPP, str(self.media_port), self.pipe, str(PRESS_AFTER)]
        return Part(name="media", command=[sys.executable, "-m", "bench.media", *place], ready=ready)

    def _static(self, name: str) -> Path:
        """The hotline's own rendering of a prompt (every company says the same here), without extension."""
        return self.home / "plain" / name

    async def lay_out_prompts(self) -> None:
        """Give (a) and (c) the very files the hotline plays, under plain names."""
        for name in (*GREETING, *AFTER_THE_KEY):
            for file in self._settings.prompts_folder.glob(f"{name}-*.*"):
                self._static(name).parent.mkdir(exist_ok=True)
                shutil.copyfile(file, self._static(name).with_suffix(file.suffix))


def record(folder: Path) -> None:
    """A tone for every prompt: no voice has to be there, and every machine plays the same."""
    folder.mkdir(parents=True)
    lengths = {**dict.fromkeys((*SPOKEN, *STATIC, *_MENU_PROMPTS), OTHERS), **GREETING, **AFTER_THE_KEY}
    for name, length in lengths.items():
        tone = 8000 * np.sin(2 * np.pi * 440 * np.arange(round((length - PAUSE) * 8000)) / 8000)
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(tone.astype("<i2").tobytes())


_MENU_PROMPTS = ("menu_main", "menu_after_hours", "danger_hold", "emergency_hold", "hold")

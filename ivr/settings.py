"""What the hotline is told from outside: `DOZVON_*` variables, nothing else.

`Settings.read()` checks everything and refuses with every problem at once. Secrets have no defaults:
the appliance makes them on the first start (`appliance.secrets`), production hands them in.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from ivr.errors import SettingsError, did_you_mean

PREFIX = "DOZVON_"
HERE = Path(__file__).resolve().parent
VOICES = ("anna", "irina", "elena", "aleksandr", "aleksandr-hq")
"""RHVoice's voices whose licence lets a hotline speak with them (`ivr.speech.voice.RHVOICE_VOICES`)."""


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise ValueError("a port is 1 to 65535")
    return number


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _peers(text: str) -> tuple[str, ...]:
    peers = (peer.strip() for peer in text.split(","))
    return tuple(str(ipaddress.ip_network(peer, strict=False)) for peer in peers if peer)


@dataclass(frozen=True, slots=True)
class Login:
    """An account at a SIP operator's."""

    user: str
    secret: str = field(repr=False)
    host: str

    def __str__(self) -> str:
        return f"sip:{self.user}:{self.secret}@{self.host}"


def _login(text: str) -> Login:
    match = re.fullmatch(r"sip:([\w+.-]+):([^\s@;\\[\]]+)@([\w.-]+(?::\d{1,5})?)", text)
    if match is None:
        raise ValueError("like sip:USER:PASSWORD@HOST or …@HOST:PORT")
    return Login(*match.groups())


def _dial_string(text: str) -> str:
    if text == "none":
        return text
    try:
        made = text.format(number="+74950000000", digits="74950000000")
    except (KeyError, IndexError, ValueError):
        made = ""
    if not re.fullmatch(r"PJSIP/[\w.:@/+;=-]{1,200}", made):
        raise ValueError("like PJSIP/{number}@operator, or none; {number} is +7495…, {digits} is 7495…")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]{1,20}", text):
        raise ValueError(
            "small Latin letters and digits, at most 20: it is the first part of every call's id"
        )
    return text


def _secret(text: str) -> str:
    if not re.fullmatch(r"[!-~]{8,128}", text) or set(text) & set(';\\"'):
        raise ValueError("8 to 128 printable characters without space, semicolon, backslash and double quote")
    return text


def _database(text: str) -> str:
    if urlsplit(text).scheme not in {"postgres", "postgresql"}:
        raise ValueError("a database address starts with postgresql://")
    return text


def _http(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("like https://HOST/PATH")
    return text


def _zone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (OSError, ValueError, KeyError) as error:
        raise ValueError("no such time zone; try Europe/Moscow") from error


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}{did_you_mean(text, words)}")
        return text

    return read


def _seconds(text: str) -> float:
    number = float(text)
    if not 1 <= number < 86_400:
        raise ValueError("seconds, at least 1 and less than a day")
    return number


def _setting(read: Callable[[str], Any], default: Any = None, *, shown: bool = True) -> Any:
    """A field whose text from outside goes through `read`; None as default means "not given"."""
    return field(default=default, repr=shown, metadata={"read": read})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that may differ between two installations. Field `sip_port` is `DOZVON_SIP_PORT`."""

    home: Path = _setting(Path, Path("var"))
    """Where the running hotline keeps its files (prompts, recordings, logs, the embedded parts)."""
    native: Path | None = _setting(Path)
    """The tree of unpacked programs (Asterisk, RHVoice). Default: home/native/root."""
    database_url: str | None = _setting(_database, shown=False)
    """An external Postgres; without it the appliance runs its own."""
    postgres_port: int = _setting(_port, 15432)
    """Where the appliance's own Postgres listens, on loopback."""
    asterisk: str = _setting(_one_of("embedded", "external"), "embedded")
    """`embedded`: the appliance unpacks and runs Asterisk; `external`: somebody else does."""
    asterisk_name: str = _setting(_name, "dozvon")
    """Asterisk's `systemname`: the first part of every call's id, so that several can share a ledger."""

    ami_host: str = _setting(str, "127.0.0.1")
    ami_port: int = _setting(_port, 5038)
    ami_user: str = _setting(str, "dozvon")
    ami_secret: str | None = _setting(_secret, shown=False)
    agi_host: str = _setting(_address, "127.0.0.1")
    """The address the FastAGI door listens on."""
    agi_port: int = _setting(_port, 4573)
    agi_advertise: str | None = _setting(str)
    """The host name Asterisk reaches the controller by, when it is not `agi_host` (containers)."""
    audio_host: str = _setting(_address, "127.0.0.1")
    """The address the AudioSocket door listens on."""
    audio_port: int = _setting(_port, 4574)
    audio_advertise: str | None = _setting(str)
    """The host name Asterisk reaches that door by, when it is not `audio_host` (containers)."""
    asterisk_layout: Path | None = _setting(Path)
    """TOML with Asterisk's folders (`ivr.asterisk.conf.Layout`), when the controller writes its config and may
    read its call log. The appliance makes its own."""
    test_resident: str | None = _setting(_secret, shown=False)
    """Password of the SIP account `resident`, a trunk that logs in and may show any caller id: for trying out."""

    sip_host: str = _setting(_address, "127.0.0.1")
    sip_port: int = _setting(_port, 5060)
    rtp_from: int = _setting(_port, 10_000)
    rtp_to: int = _setting(_port, 10_999)
    trunk_peers: tuple[str, ...] = _setting(_peers, ())
    """Addresses or networks whose SIP calls are the trunk's, without a password (the operator's SBC)."""
    trunk_url: Login | None = _setting(_login)
    """`sip:user:password@host[:port]`: an operator that wants us to log in."""
    dial_out: str | None = _setting(_dial_string)
    """How a resident is rung: Asterisk's dial string with {number} (E.164) or {digits} (without the plus).
    Default: through the operator we log in to, else the first of `trunk_peers`, else the test resident.
    "none": nobody is rung by the machine, promises wait for a person."""
    chase: Path = _setting(Path, HERE.parent / "callback" / "chase.toml")
    """How promises are chased."""
    surveys: Path = _setting(Path, HERE.parent / "robocalls" / "survey.toml")
    """Whom the robot may ring after a job, and when."""
    model: Path | None = _setting(Path)
    """The folder of the speech model, in Vosk's format; "none": the robot asks for keys. Default: what
    `ivr.speech.ears.find_model` finds."""
    queue_limit: float = _setting(_seconds, 300.0)
    """How long a resident may wait in the queue before the line stops holding her. Seconds; ПП 416 cl. 13."""
    wrap_up: float = _setting(_seconds, 5.0)
    """How long a dispatcher is left alone after a talk, before the queue rings her again. Seconds."""
    offer_after: float = _setting(_seconds, 60.0)
    """Seconds of waiting after which she is offered a call back or a message, and again after as many more.
    More than `queue_limit`: never."""

    panel_host: str = _setting(_address, "127.0.0.1")
    panel_port: int = _setting(_port, 8080)
    panel_token: str | None = _setting(str, shown=False)
    """The administrator's bearer token of the JSON API."""

    hook_url: str | None = _setting(_http, shown=False)
    """Who is told of every broken promise, by POST (`ivr.hook`)."""
    hook_secret: str | None = _setting(_secret, shown=False)
    """What those messages are signed with."""

    dialplan: Path = _setting(Path, HERE / "dialplan")
    """The folder with the admin's `*.toml` rules."""
    recorded: Path | None = _setting(Path)
    """Recorded prompts (`NAME.wav`, `COMPANY/NAME.wav`) win over rendered ones. Default: home/recorded."""
    voice: str = _setting(_one_of(*VOICES), "anna")
    language: str = _setting(_one_of("ru", "en"), "ru")
    time_zone: str = _setting(_zone, "Europe/Moscow")
    region: str = _setting(str, "RU")
    """ISO 3166 region that local phone numbers are read in."""
    area_code: str = _setting(str, "495")
    """Prefix that turns a short local number into a national one."""
    log_level: str = _setting(_one_of("debug", "info", "warning", "error"), "info")

    @classmethod
    def read(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Read `DOZVON_*`; raises SettingsError with every problem at once."""
        known = {PREFIX + f.name.upper(): f for f in fields(cls)}
        values: dict[str, Any] = {}
        problems: list[str] = []
        for name, text in sorted(env.items()):
            if not name.startswith(PREFIX):
                continue
            if name not in known:
                problems.append(f"{name}: no such setting{did_you_mean(name, known)}")
                continue
            try:
                values[known[name].name] = known[name].metadata["read"](text)
            except ValueError as error:
                problems.append(f"{name}={_shown(name, text)}: {error}")
        settings = cls(**values)
        problems += settings.contradictions()
        if problems:
            raise SettingsError("the settings do not fit", problems)
        return settings

    @property
    def prompts_folder(self) -> Path:
        return self.home / "prompts"

    @property
    def static_folder(self) -> Path:
        """The static route's prompts, by their plain names."""
        return self.home / "prompts" / "static"

    @property
    def understanding(self) -> Path:
        """What answers mean: as the dialplan says, or as shipped where it says nothing."""
        own = self.dialplan / "understanding"
        return own if own.is_dir() else HERE / "dialplan" / "understanding"

    @property
    def spool(self) -> Path:
        """Where Asterisk writes recordings while calls last."""
        return self.home / "spool"

    @property
    def recordings(self) -> Path:
        """Where recordings are kept."""
        return self.home / "recordings"

    @property
    def outbound(self) -> str | None:
        """The dial string that rings a resident; None: there is no trunk to ring her through."""
        if self.dial_out:
            return self.dial_out if self.dial_out != "none" else None
        if self.trunk_url:
            return "PJSIP/{number}@operator"
        single = [peer.partition("/")[0] for peer in self.trunk_peers if _is_one(peer)]
        if single:
            return f"PJSIP/trunk/sip:{{number}}@{single[0]}"
        return "PJSIP/resident" if self.test_resident else None

    def contradictions(self) -> list[str]:
        """What no single value shows."""
        problems = []
        if self.rtp_to - self.rtp_from < 20:
            problems.append("DOZVON_RTP_TO: at least 20 ports above DOZVON_RTP_FROM; a call takes 2 to 4")
        ports = {
            "AMI": self.ami_port, "AGI": self.agi_port, "AUDIO": self.audio_port, "PANEL": self.panel_port,
            "POSTGRES": self.postgres_port,
        }  # fmt: skip
        for name, port in ports.items():
            twins = [other for other, value in ports.items() if value == port and other > name]
            problems += [f"DOZVON_{name}_PORT and DOZVON_{twin}_PORT: both {port}" for twin in twins]
        if self.asterisk == "external" and self.ami_secret is None:
            problems.append("DOZVON_AMI_SECRET: an external Asterisk asks for its manager's secret")
        if self.hook_url and not self.hook_secret:
            problems.append("DOZVON_HOOK_SECRET: what DOZVON_HOOK_URL is sent is signed with it")
        if not self.dialplan.is_dir():
            problems.append(f"DOZVON_DIALPLAN={self.dialplan}: no such folder")
        return problems


def _is_one(peer: str) -> bool:
    return ipaddress.ip_network(peer).num_addresses == 1


def _shown(name: str, text: str) -> str:
    """A value as a message may show it: secrets and passwords stay out of logs."""
    secret = any(word in name for word in ("SECRET", "TOKEN", "URL", "PASSWORD", "RESIDENT"))
    return "…" if secret else repr(text[:80])

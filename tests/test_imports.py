"""The house has floors: a module imports only from its own floor and from those below."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import typika

SOURCE = Path(typika.__file__).parent
FLOORS = (
    {"errors", "ranks"},
    {"console", "devices", "files"},
    {"config", "parallel", "presets", "tables"},
    {"run", "collection", "distributed"},
    {"diffusion", "evaluation", "text_evaluation"},
    {"baselines"},
    {"mining", "typewriter"},
    {"palaeography", "ciphers"},
    {"exports", "curation"},
    {"report", "cost"},
    {
        "workflow",
        "comparison",
        "contrasts",
        "localisation",
        "translation",
        "cotypicality",
        "segmentation",
        "typewriting",
        "typewriting_cards",
        "typewriting_report",
        "deciphering",
        "atlas",
    },
    {
        "methods",
        "trajectory",
        "biases",
        "adaptations",
        "exporting",
        "exporting_folders",
        "fetching",
        "exporting_patches",
        "letterforms",
        "script_comparison",
        "view",
    },
    {"demonstration", "typewriter_demonstration"},
    {"cli"},
    {"__main__"},
)
# They load what they name when it is asked for, from whatever floor.
FACADES = (SOURCE / "__init__.py", SOURCE / "typewriter" / "__init__.py")
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "typika":
            names |= {f"typika.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    rooms = {name.split(".")[1] for name in names if name.startswith("typika.")}
    return rooms - {"__version__"}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.stem)
def test_arrows_point_down(path: Path) -> None:
    if path in FACADES:
        return
    own = room(path)
    rooms = imported_rooms(ast.parse(path.read_text(encoding="utf-8")))
    upward = {name for name in rooms if FLOOR_OF[name] > FLOOR_OF[own]}
    assert not upward, f"{path} on floor {FLOOR_OF[own]} imports {upward} from above"


@pytest.mark.parametrize("module", ["typika", "typika.cli", "typika.cli.commands"])
def test_nothing_heavy_is_imported(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'sklearn', 'matplotlib', 'PIL', 'transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_the_two_miners_do_not_know_of_each_other() -> None:
    for one, other in (("mining", "typewriter"), ("typewriter", "mining")):
        for path in (SOURCE / one).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert other not in imported_rooms(tree), f"{path} imports {other}"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.stem)
def test_what_stands_on_one_miner_does_not_lean_on_the_other(path: Path) -> None:
    rooms = imported_rooms(ast.parse(path.read_text(encoding="utf-8")))
    if room(path) in ("typewriter", "palaeography", "ciphers"):
        assert "mining" not in rooms
    if room(path) == "mining":
        assert not rooms & {"typewriter", "palaeography", "ciphers"}

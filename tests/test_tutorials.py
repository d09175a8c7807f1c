"""Every fenced block of the tutorials is run as it stands, in order, on what it renders itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Settings from the environment, so that the pages show what a user types.
IMAGES = {
    "TYPIKA_MODEL__SIDES": "[64]",
    "TYPIKA_MODEL__DIMENSIONS": "8",
    "TYPIKA_MODEL__WIDTH": "16",
    "TYPIKA_MODEL__BLOCKS": "1",
    "TYPIKA_MODEL__EPOCHS": "2.0",
    "TYPIKA_MODEL__LEAST_STEPS": "6",
    "TYPIKA_RIVAL__EPOCHS": "2.0",
    "TYPIKA_RIVAL__LEAST_STEPS": "6",
    "TYPIKA_SELECT__AT_LEAST": "8",
    "TYPIKA_SELECT__PATCH_SIZE": "0.3",
    "TYPIKA_ARTEFACTS__CLUSTERS": "1",
    "TYPIKA_ARTEFACTS__IMAGES": "1",
    "TYPIKA_CLUSTER__N_STARTS": "2",
    "TYPIKA_SIGNIFICANCE__PERMUTATIONS": "99",
    "TYPIKA_REPORT__SHEETS": "false",
}
LINES = {
    "TYPIKA_MODEL__HEIGHT": "32",
    "TYPIKA_TRAINING__STEPS": "2",
    "TYPIKA_TRAINING__BATCH": "2",
}
PAGES = {"historian": IMAGES, "auditor": IMAGES, "medical": IMAGES, "palaeographer": {}}


def test_every_tutorial_is_run() -> None:
    assert {page.stem for page in TUTORIALS.glob("*.md")} == set(PAGES)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_tutorial_runs(page: str, tmp_path: Path) -> None:
    blocks = BLOCK.findall((TUTORIALS / f"{page}.md").read_text(encoding="utf-8"))
    assert len(blocks) >= 3
    commands = tmp_path / "bin"
    commands.mkdir()
    # A setting that a command does not know is an error: lines have theirs where they are fitted.
    fitting = " ".join(f"{name}='{value}'" for name, value in LINES.items())
    (commands / "typika").write_text(
        f'#!/bin/sh\n[ "$2" = fit ] && export {fitting}\nexec "{sys.executable}" -m typika "$@"\n'
    )
    (commands / "typika").chmod(0o755)
    environment = {**os.environ, **PAGES[page], "PATH": f"{commands}:{os.environ['PATH']}"}
    source = str(Path(__file__).parents[1] / "src")
    environment["PYTHONPATH"] = f"{source}:{os.environ.get('PYTHONPATH', '')}"
    shell = shutil.which("sh") or "sh"
    for kind, text in blocks:
        command = [shell, "-euc", text] if kind == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{text}\n{done.stderr[-2000:]}"

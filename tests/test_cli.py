from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from typika import config
from typika.cli import main
from typika.workflow import MineConfig


def code(*arguments: str) -> int:
    """Run a command; its exit code."""
    try:
        main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.parametrize(
    ("arguments", "expected", "message"),
    [
        (["mine", "nowhere"], 3, "nowhere"),
        (["mine", "nowhere", "--no-such-option"], 2, "no-such-option"),
        (["mine"], 2, "images"),
        (["nonsense"], 2, "nonsense"),
        (["mine", "nowhere", "--set", "seed"], 2, "section.key=value"),
        (["mine", "nowhere", "--set", "sede=1"], 2, "did you mean seed"),
        (["mine", "nowhere", "--prompt", "no field"], 2, "exactly once"),
        (["mine", "nowhere", "--label", ""], 2, "typika along"),
        (["along", "nowhere"], 2, "condition"),
        (["along", "nowhere", "--condition", "year", "--model", "x"], 1, "no such folder"),
        (["along", "nowhere", "--condition", "year"], 3, "nowhere"),
        (["mine", "nowhere", "--recipe", "none.toml"], 2, "cannot read the recipe"),
    ],
)
def test_failures_have_their_exit_code_and_name_the_cause(
    arguments: list[str],
    expected: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert code(*arguments) == expected
    assert message.lower() in "".join(capsys.readouterr()).lower()


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert code("--version") == 0
    assert "0.1.0" in capsys.readouterr().out
    assert code("--help") == 0
    assert "mine" in capsys.readouterr().out


def test_a_dry_run_prints_a_recipe_and_writes_nothing(
    photos: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = [
        "mine",
        str(photos),
        "--dry-run",
        "--prompt",
        "A {label}.",
        "--null-prompt",
        "It.",
    ]
    assert code(*arguments, "--out", str(tmp_path / "run"), "--workers", "1") == 0
    text = capsys.readouterr().out
    settings = config.build(MineConfig, tomllib.loads(text))
    assert (settings.prompt.label, settings.prompt.null) == ("A {label}.", "It.")
    assert "# 24 images, 2 labels" in text
    assert not (tmp_path / "run").exists()


def test_the_environment_counts(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TYPIKA_SCORE__N_DRAWS", "16")
    assert code("mine", str(photos), "--dry-run", "--workers", "1") == 0
    assert "n_draws = 16" in capsys.readouterr().out


def test_check_goes_to_standard_output(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code("check", str(photos), "--workers", "1") == 0
    assert capsys.readouterr().out.startswith("24 images, 2 labels")


def test_an_empty_folder_names_the_expected_layouts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code("check", str(tmp_path)) == 3
    assert "metadata" in capsys.readouterr().err

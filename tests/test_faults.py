"""A command that failed, run again, ends with the same bytes as one that never did."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from faults import DONE, TOLD, Fault, Trials, differences
from typika import workflow
from typika.run import Run, Stage
from typika.typewriter.stages import TypewriterConfig

CHOSEN = ("collect", "encode", "typewriter")


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    made = Trials(tmp_path_factory.mktemp("faults"))
    made.undisturbed(*CHOSEN)
    return made


@pytest.mark.parametrize("step", CHOSEN)
@pytest.mark.parametrize("kind", ["kill", "torn"])
def test_a_killed_step_ends_with_the_same_bytes(trials: Trials, step: str, kind: str) -> None:
    at = int(np.random.default_rng([len(step), kind == "torn"]).integers(
        2, trials.whole[step].changes))  # fmt: skip
    first, again, different = trials.disturbed(step, Fault(kind, at))
    assert first.code == -9, first
    assert again.code == DONE, again
    assert different == []


@pytest.mark.parametrize("step", ["encode", "typewriter"])
def test_a_full_disk_is_told_and_the_step_goes_on_once_there_is_room(
    trials: Trials, step: str
) -> None:
    first, again, different = trials.disturbed(
        step, Fault("full", trials.whole[step].changes // 2)
    )
    assert first.code == TOLD, first
    assert "the disk is full" in first.said
    assert "run the same command again" in first.said
    assert (again.code, different) == (DONE, [])


def test_nothing_depends_on_the_clock(trials: Trials) -> None:
    first, again, different = trials.disturbed("encode", Fault("clock", 3))
    assert (first.code, again.code, different) == (DONE, DONE, [])


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_file_of_a_finished_stage_is_made_again(
    trials: Trials, tmp_path: Path, damage: str
) -> None:
    runs = trials.place / "damaged"
    shutil.copytree(trials.place / "after-encode", runs)
    part = next((runs / "image" / "latents").rglob("part-*.npy"))
    content = bytearray(part.read_bytes())
    content[-1] ^= 1
    part.write_bytes({"truncated": content[:100], "flipped": content, "empty": b""}[damage])
    outcome = trials.carry_out("encode", runs)
    different = differences(runs, trials.place / "after-encode")
    shutil.rmtree(runs)
    assert (outcome.code, different) == (DONE, [])


@pytest.mark.parametrize(
    ("name", "content"),
    [("part.parquet", b"PAR1"), ("part.npy", b"\x93NUMPY"), ("part.safetensors", b"\0\0")],
)
def test_a_broken_part_of_an_unfinished_stage_is_told_and_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    stage = Stage(name="write", causes={}, outputs=("parts",))
    seen: list[bool] = []

    def interrupted() -> None:
        run.path("parts").mkdir()
        run.path("parts", name).write_bytes(content)
        run.path("parts", "other.txt").write_text("whole")
        raise KeyboardInterrupt

    with Run.create(tmp_path / "run", TypewriterConfig(), facts={}) as run:
        with pytest.raises(KeyboardInterrupt):
            run.stage(stage, interrupted)
        run.stage(stage, lambda: seen.append(run.path("parts", name).exists()))
        assert run.path("parts", "other.txt").exists()
    assert seen == [False]
    assert f"{name}: cannot be read; it is made again" in capsys.readouterr().err


def test_a_second_process_is_refused_while_the_first_works(trials: Trials) -> None:
    runs = trials.place / "shared"
    shutil.copytree(trials.place / "after-collect", runs)
    with Run.reopen(runs / "image"):
        refused = trials.carry_out("encode", runs)
    assert refused.code == TOLD
    assert "another typika process is working here; wait for it" in refused.said
    (runs / "image" / ".lock").touch()  # as a killed process leaves it
    assert trials.carry_out("encode", runs).code == DONE
    shutil.rmtree(runs)


def test_a_folder_that_may_not_be_written_is_told(trials: Trials) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    runs = trials.place / "locked"
    runs.mkdir()
    runs.chmod(0o500)
    outcome = trials.carry_out("collect", runs)
    runs.chmod(0o700)
    assert outcome.code == TOLD
    assert "cannot make the run folder" in outcome.said


def test_every_stage_is_among_the_steps() -> None:
    from faults import IMAGE_STAGES

    assert IMAGE_STAGES == workflow.ALL_STAGES

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.torch import load_file

from typika.diffusion import finetuning
from typika.diffusion.checkpoints import Checkpoint
from typika.diffusion.finetuning import Finetuning, Lessons, Texts, denoising_loss, finetuned
from typika.diffusion.latents import LatentStore, write_part
from typika.diffusion.stable import Placement, StableConfig
from typika.errors import ConfigError, ModelError

CPU = torch.device("cpu")
PLACE = Placement(CPU, torch.float32, torch.float32)
PROMPTS = ("A photo of discs.", "A photo of triangles.", "", "Discs in Berlin.")


def lessons(folder: Path, checkpoint: Checkpoint, **changes: object) -> Lessons:
    """Six images of two labels, of two shapes; the first has a nested prompt."""
    generator = torch.Generator().manual_seed(0)
    latents = [torch.randn(8, 8, 8 + 4 * (number % 2), generator=generator).abs()
               for number in range(6)]  # fmt: skip
    if not (folder / "latents").exists():
        write_part(folder / "latents", 0, latents)
    settings = {
        "checkpoint": str(checkpoint.folder), "resolution": 64, "least_images": 24, "batch": 4,
        "most_images": 24, "checkpoint_every": 8, "learning_rate": 1e-3, **changes,
    }  # fmt: skip
    texts = Texts(
        checkpoint.embed(PROMPTS, CPU), np.array([0, 0, 0, 1, 1, 1]), [[3], [], [], [], [], []], 2
    )
    store = LatentStore(folder / "latents", 6)
    return Lessons(store, np.arange(6), texts, StableConfig(**settings), 1000, seed=0)


def job(folder: Path, tiny: Path, **changes: object) -> Finetuning:
    checkpoint = Checkpoint.open(str(tiny))
    given = lessons(folder, checkpoint, **changes)
    return Finetuning(checkpoint, given, ("discs", "triangles"), (0, 1), PLACE, folder)


def weights(run: Finetuning) -> dict[str, torch.Tensor]:
    (path,) = run.result.glob("*.safetensors")
    return load_file(path)


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], atol: float) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert_allclose(value, other[name], atol=atol, err_msg=name)


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Finetuning:
    """A finetuning that was not disturbed."""
    done = job(tmp_path_factory.mktemp("whole"), tiny)
    done.run()
    return done


def test_crops_are_of_the_resolution_whatever_the_autoencoder_s_cells(
    tiny: Path, tmp_path: Path
) -> None:
    given = lessons(tmp_path, Checkpoint.open(str(tiny)), resolution=32)
    assert given.example(0, range(4)).clean.shape == (4, 4, 4, 4)
    assert replace(given, cell=4).example(0, range(4)).clean.shape == (4, 4, 8, 8)


def test_what_a_step_sees_depends_on_seed_and_step_alone(tiny: Path, tmp_path: Path) -> None:
    given = lessons(tmp_path, Checkpoint.open(str(tiny)))
    first, again = given.example(3, range(4)), given.example(3, range(4))
    for one, other in zip(first.parts, again.parts, strict=True):
        assert torch.equal(one, other)
    # A rank's share is what the whole batch has at those places.
    share = given.example(3, [1, 3])
    for one, other in zip(first.parts, share.parts, strict=True):
        assert torch.equal(one[1::2], other)
    assert not torch.equal(first.noise, given.example(4, range(4)).noise)
    assert first.clean.shape == (4, 4, 8, 8)


def test_prompts_are_dropped_by_their_shares(tiny: Path, tmp_path: Path) -> None:
    given = lessons(tmp_path, Checkpoint.open(str(tiny)), null_share=0.2, nested_share=0.3)
    generator = torch.Generator().manual_seed(0)
    with_nested = Counter(given._text(0, generator) for _ in range(4000))
    assert_allclose([with_nested[n] / 4000 for n in (0, 2, 3)], [0.5, 0.2, 0.3], atol=0.03)
    without = Counter(given._text(4, generator) for _ in range(4000))
    assert_allclose([without[n] / 4000 for n in (1, 2)], [0.8, 0.2], atol=0.03)


@pytest.mark.parametrize("velocity", [False, True])
def test_the_loss_is_zero_for_a_perfect_prediction(
    tiny: Path, tiny_velocity: Path, tmp_path: Path, velocity: bool
) -> None:
    checkpoint = Checkpoint.open(str(tiny_velocity if velocity else tiny))
    example = lessons(tmp_path, checkpoint).example(0, range(4))
    level = torch.from_numpy(checkpoint.levels).float()[example.timestep]
    alpha, sigma = level.sigmoid().sqrt(), (-level).sigmoid().sqrt()

    class Perfect(torch.nn.Module):
        def forward(self, noisy, *_, **__):
            a, s = alpha[:, None, None, None], sigma[:, None, None, None]
            assert_allclose(noisy, a * example.clean + s * example.noise, atol=1e-6)
            return (a * example.noise - s * example.clean if velocity else example.noise,)

    given = checkpoint.embed(PROMPTS, CPU)
    assert_allclose(denoising_loss(Perfect(), example, given, checkpoint), torch.zeros(4))


@pytest.mark.slow
def test_finetuning_lowers_the_loss(tiny: Path, tmp_path: Path) -> None:
    rows = job(tmp_path, tiny, least_images=160, most_images=160).run()
    assert rows[-1]["images"] == 160
    assert np.mean([row["loss"] for row in rows[-10:]]) < 0.9 * rows[0]["loss"]
    assert not list((tmp_path / "model" / "denoiser").glob("checkpoint-*"))


class Killed(BaseException):
    """As sudden as a kill: nothing catches it."""


@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_killed_finetuning_goes_on_to_the_same_weights(
    tiny: Path, tmp_path: Path, whole: Finetuning, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = job(tmp_path, tiny)
    step = finetuning._Loop._step

    def dying(self: finetuning._Loop, number: int, own: finetuning.Example) -> None:
        if number == at:
            raise Killed
        step(self, number, own)

    with monkeypatch.context() as patch:
        patch.setattr(finetuning._Loop, "_step", dying)
        with pytest.raises(Killed):
            run.run()
    resumed = run.run()
    assert resumed == whole.run()
    assert_same(weights(run), weights(whole), atol=0)


def test_losses_not_yet_logged_outlive_a_kill(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetuning, "LOGS", 2)  # every third step, a checkpoint every second
    undisturbed = job(tmp_path / "undisturbed", tiny).run()
    step = finetuning._Loop._step

    def dying(self: finetuning._Loop, number: int, own: finetuning.Example) -> None:
        if number == 2:
            raise Killed
        step(self, number, own)

    with monkeypatch.context() as patch:
        patch.setattr(finetuning._Loop, "_step", dying)
        with pytest.raises(Killed):
            job(tmp_path / "killed", tiny).run()
    assert job(tmp_path / "killed", tiny).run() == undisturbed


def test_how_many_at_once_changes_nothing(tiny: Path, tmp_path: Path, whole: Finetuning) -> None:
    run = job(tmp_path, tiny, at_once=1)
    run.run()
    # Adam turns rounding of small gradients into steps, so the weights agree to its step.
    assert_same(weights(run), weights(whole), atol=2e-3)
    assert_allclose([row["loss"] for row in run.run()], [row["loss"] for row in whole.run()],
                    rtol=1e-4)  # fmt: skip


def test_running_out_of_memory_once_changes_nothing(
    tiny: Path, tmp_path: Path, whole: Finetuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    loss = finetuning.denoising_loss

    def hungry(network, example, texts, checkpoint):
        sizes.append(len(example.text))
        if len(example.text) > 2:
            raise torch.OutOfMemoryError("no more")
        return loss(network, example, texts, checkpoint)

    monkeypatch.setattr(finetuning, "denoising_loss", hungry)
    run = job(tmp_path, tiny)
    rows = run.run()
    assert sizes[:3] == [4, 2, 2]
    assert sizes.count(4) == 1  # it remembers
    assert_allclose([row["loss"] for row in rows], [row["loss"] for row in whole.run()], rtol=1e-4)


def test_gradient_checkpointing_changes_nothing(
    tiny: Path, tmp_path: Path, whole: Finetuning
) -> None:
    rows = job(tmp_path, tiny, gradient_checkpointing=True).run()
    assert_allclose([row["loss"] for row in rows], [row["loss"] for row in whole.run()], rtol=1e-4)


def test_bfloat16_keeps_weights_in_full_precision(
    tiny: Path, tmp_path: Path, whole: Finetuning
) -> None:
    place = Placement(CPU, torch.float32, torch.bfloat16)
    run = replace(job(tmp_path, tiny), placement=place)
    rows = run.run()
    assert {value.dtype for value in weights(run).values()} == {torch.float32}
    assert_allclose([row["loss"] for row in rows], [row["loss"] for row in whole.run()], rtol=0.02)
    assert [row["loss"] for row in rows] != [row["loss"] for row in whole.run()]


def test_more_processes_than_images_are_refused(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "5")
    with pytest.raises(ConfigError, match=r"model\.batch=4 of 6 images is too few for 5"):
        job(tmp_path, tiny).run()


def test_a_tracker_that_is_not_there_is_named(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trackers=.*notebook"):
        job(tmp_path, tiny, trackers=("notebook",)).run()


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_others_can_load_what_was_learned(tiny: Path, tmp_path: Path, kind: str) -> None:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    run = job(tmp_path, tiny, finetune=kind, learning_rate=1e-2)
    run.run()
    ours = finetuned(run.checkpoint, run.config, tmp_path)
    pipeline = StableDiffusionPipeline.from_pretrained(tiny)
    if kind == "full":
        pipeline.unet = UNet2DConditionModel.from_pretrained(run.result)
    else:
        pipeline.load_lora_weights(run.result)
    given = (torch.randn(2, 4, 8, 8), torch.tensor([100, 600]), torch.randn(2, 77, 16))
    before = run.checkpoint.unet()(*given).sample
    assert_allclose(ours(*given).sample.detach(), pipeline.unet(*given).sample.detach(), atol=1e-5)
    assert (ours(*given).sample - before).abs().max() > 1e-3


def test_lora_leaves_the_rest_as_it_was(tiny: Path, tmp_path: Path) -> None:
    run = job(tmp_path, tiny, finetune="lora", lora_rank=2)
    run.run()
    (path,) = run.result.glob("*.safetensors")
    assert path.stat().st_size < 500_000
    before = run.checkpoint.unet().state_dict()
    after = finetuned(run.checkpoint, run.config, tmp_path).state_dict()
    changed = {name for name in before if not torch.allclose(before[name], after[name])}
    assert changed
    assert all(".attn" in name for name in changed)


@pytest.mark.slow
def test_a_sheet_of_samples_comes_when_it_is_time(tiny: Path, tmp_path: Path) -> None:
    from PIL import Image

    run = job(tmp_path, tiny, samples_every=8, samples=2, least_images=8, most_images=8)
    run.run()
    (path,) = (tmp_path / "samples").glob("*.jpg")
    with Image.open(path) as sheet:
        assert sheet.size == (2 * 64, 2 * 64)


def test_only_the_last_checkpoints_are_kept(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = job(tmp_path, tiny, checkpoints=2, checkpoint_every=4)

    def dying(_loop: finetuning._Loop) -> None:
        raise Killed

    monkeypatch.setattr(finetuning._Loop, "_finish", dying)
    with pytest.raises(Killed):
        run.run()
    names = sorted(path.name for path in (tmp_path / "model" / "denoiser").iterdir())
    assert names == ["checkpoint-0000004", "checkpoint-0000005"]


def test_a_run_that_was_not_trained_is_named(tiny: Path, tmp_path: Path) -> None:
    config = StableConfig(checkpoint=str(tiny))
    with pytest.raises(ModelError, match="run `typika train`"):
        finetuned(Checkpoint.open(str(tiny)), config, tmp_path)


def test_the_end_of_finetuning_leaves_the_ranks_together(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate.state import PartialState

    def parting(*_: object) -> None:
        raise AssertionError("ranks that part in the middle of a run may never meet again")

    monkeypatch.setattr(PartialState, "destroy_process_group", parting)
    job(tmp_path, tiny, least_images=4, most_images=4).run()


@pytest.mark.slow
def test_two_ranks_learn_what_one_does(tiny: Path, tmp_path: Path, whole: Finetuning) -> None:
    import subprocess
    import sys

    shutil.copytree(whole.folder / "latents", tmp_path / "latents")
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[3:]\n"
        "import diffusion.test_finetuning as t\n"
        "t.job(Path(sys.argv[1]), Path(sys.argv[2])).run()\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    tests = str(Path(__file__).parents[1])
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port",
         "0", "--standalone", str(script), str(tmp_path), str(tiny), tests],
        check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=900,
    )  # fmt: skip
    both = job(tmp_path, tiny)
    assert_allclose([row["loss"] for row in both.run()], [row["loss"] for row in whole.run()],
                    rtol=1e-4)  # fmt: skip
    assert_same(weights(both), weights(whole), atol=2e-3)

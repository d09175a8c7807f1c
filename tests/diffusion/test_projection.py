"""Conditions through a projection: linear, silent at first, and learned like any weight."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.torch import load_file
from torch import nn

from typika.collection.prompts import PromptTemplate
from typika.diffusion import finetuning
from typika.diffusion.checkpoints import Conditioning
from typika.diffusion.conditioned_stable import ConditionedStable
from typika.diffusion.finetuning import Example, denoising_loss
from typika.diffusion.latents import write_part
from typika.diffusion.projection import Projected, Projection
from typika.diffusion.schedule import noise_design
from typika.diffusion.stable import StableConfig
from typika.diffusion.stable_model import StableModel
from typika.diffusion.training import Trainer
from typika.errors import ModelError
from typika.mining.typicality import context_gains

PROMPTS = PromptTemplate.parse("A photo of {label}.", None, "", ())
N = 12  # images
K = 2  # anchors
EVERY = np.ones(N, dtype=bool)


def projection(width: int = 16, *, xl: bool = False, n_anchors: int = 3) -> Projection:
    """One that has learned something of every anchor."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    prompt = Conditioning(drawn(1, 77, width), drawn(1, 16) if xl else None)
    null, anchors = nn.Parameter(drawn(4, width)), nn.Parameter(drawn(n_anchors, 4, width))
    return Projection(prompt, null, anchors)


def numbers() -> np.ndarray:
    """The condition of each image: shares of two anchors, all the one or all the other."""
    return np.eye(K)[np.arange(N) % K]


def model(tiny: Path, folder: Path, **changes: object) -> ConditionedStable:
    """A model, and latents that the number turns over: nothing but it says which way."""
    generator = torch.Generator().manual_seed(0)
    sign = torch.tensor([1.0, -1, 1, -1])[:, None, None]
    latents = [
        torch.cat([(4 * (row % K) - 2) * sign + 0.3 * torch.randn(4, 8, 8, generator=generator),
                   torch.zeros(4, 8, 8)])
        for row in range(N)
    ]  # fmt: skip
    if not (folder / "latents").exists():
        write_part(folder / "latents" / "autoencoder", 0, latents)
    values = {
        "checkpoint": str(tiny), "resolution": 64, "least_images": 24, "most_images": 24,
        "batch": 4, "checkpoint_every": 8, "learning_rate": 1e-3, "ema": 0.9, **changes,
    }  # fmt: skip
    config = StableConfig(**values)
    return ConditionedStable(StableModel(config, PROMPTS, 0, "cpu"), K)


def learned(run: ConditionedStable, folder: Path) -> dict[str, torch.Tensor]:
    return load_file(run.stable.projection_path(folder))


# --------------------------------------------------------------------------------------- the laws


def test_a_mixture_of_anchors_reads_as_the_mixture_of_their_states() -> None:
    given = projection()
    one, other, both = given.under(
        torch.tensor([[1.0, 0, 0], [0, 0, 1.0], [0.25, 0, 0.75]])
    ).states
    assert_allclose(both.detach(), (0.25 * one + 0.75 * other).detach(), atol=1e-5)
    assert (one - other).abs().max() > 1


def test_the_null_reads_the_same_whatever_the_conditions() -> None:
    given = projection(xl=True)
    some, others = torch.rand(2, 3), torch.rand(5, 3)
    nothing = torch.zeros(1, 3)
    one = given.under(torch.cat([some, nothing]))[torch.tensor([-1])]
    other = given.under(torch.cat([others, nothing]))[torch.tensor([-1])]
    assert_array_equal(one.states.detach(), other.states.detach())
    # The pooled embedding is the null prompt's under every condition.
    assert_array_equal(given.under(some).pooled, given.prompt.pooled.expand(2, -1))
    assert_array_equal(given.under(some).states[:, :77].detach(),
                       given.prompt.states.expand(2, -1, -1))  # fmt: skip


def test_conditions_by_number_are_what_mixtures_are() -> None:
    given = projection()
    shares = torch.rand(6, 3)
    index = torch.tensor([4, 0])
    found = Projected(given, shares).inputs(index, 8, 8)["encoder_hidden_states"]
    assert_array_equal(found.detach(), given.under(shares[index]).states.detach())


def test_what_training_changes_is_a_copy() -> None:
    given = Projected(projection(), torch.eye(3))
    before = given.projection.anchors.detach().clone()
    copy = given.to(torch.device("cpu"), torch.float32)
    with torch.no_grad():
        copy.learned["anchors"].zero_()
    assert_array_equal(given.projection.anchors.detach(), before)
    assert copy.learned["null"].requires_grad


def test_nothing_is_typical_of_what_says_nothing(tiny: Path, tmp_path: Path) -> None:
    """T is exactly 0 while anchors are what the null is, and not once one says something."""
    run = model(tiny, tmp_path).stable
    given = Projection.start(run.null_prompt(), K)
    unet = run.checkpoint.unet().requires_grad_(False).eval()
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    design = noise_design("midpoints", 4, 4, 0, side=16)
    shares = torch.tensor([[1.0, 0], [0.3, 0.7], [0, 0]])

    def gains() -> list[np.ndarray]:
        denoiser = run.denoiser(unet, given.under(shares), ("a", "b"))
        return context_gains(denoiser, latents, torch.tensor([[0], [1]]), design, 8)

    with torch.no_grad():
        given.null.add_(torch.randn(given.null.shape))  # the null learns too
        assert max(np.abs(one).max() for one in gains()) < 1e-6
        given.anchors[0] += 1
        assert min(np.abs(one).max() for one in gains()) > 1e-4


# ------------------------------------------------------------------------------------ what learns


def gain(run: ConditionedStable, folder: Path, shares: np.ndarray) -> float:
    """How much less of the loss is left under the conditions than under the null, where it counts:
    at levels at which the image itself says little.
    """
    (under,) = run.denoisers(folder)
    denoiser = under(shares)
    clean = torch.stack([run.stable.latents(N, folder)[0].latent(row) for row in range(N)])
    generator = torch.Generator().manual_seed(1)
    left = []
    for text in (torch.arange(N), torch.full((N,), N)):
        noise = torch.randn(clean.shape, generator=generator.manual_seed(1))
        example = Example(clean, noise, torch.full((N,), 950), text)
        with torch.no_grad():
            losses = denoising_loss(denoiser.unet, example, denoiser.texts, run.stable.checkpoint)
        left.append(float(losses.mean()))
    return left[1] - left[0]


def test_a_number_is_learned_and_one_dealt_out_is_not(tiny_velocity: Path, tmp_path: Path) -> None:
    found = []
    # Dealt out so that each half of the images has as many of either number.
    dealt = np.eye(K)[np.arange(N) // 2 % K]
    for name, shares in (("own", numbers()), ("dealt", dealt)):
        folder = tmp_path / name
        run = model(tiny_velocity, folder, finetune="none", learning_rate=1e-1, batch=6,
                    least_images=72, most_images=72)  # fmt: skip
        run.train(shares, EVERY, folder, 1)
        found.append(gain(run, folder, shares))
    assert found[0] > 0.1
    assert found[0] > 4 * abs(found[1])


@pytest.mark.parametrize("kind", ["full", "lora", "none"])
def test_what_is_learned_lies_where_scoring_reads_it(
    tiny: Path, tmp_path: Path, kind: str
) -> None:
    run = model(tiny, tmp_path, finetune=kind, learning_rate=1e-2)
    rows = run.train(numbers(), EVERY, tmp_path, 1)
    assert rows[-1]["images"] == 24
    found = learned(run, tmp_path)
    assert {name: value.shape for name, value in found.items()} == {
        "null": (4, 16), "anchors": (K, 4, 16),
    }  # fmt: skip
    assert all(value.abs().amax(dim=(-1, -2)).min() > 0 for value in found.values())
    (under,) = run.denoisers(tmp_path)
    denoiser = under(np.eye(K))
    given = Projection(
        run.stable.null_prompt(), *(nn.Parameter(found[n]) for n in ("null", "anchors"))
    )
    assert_array_equal(denoiser.texts.states[:K], given.under(torch.eye(K)).states.detach())
    before, after = run.stable.checkpoint.unet().state_dict(), denoiser.unet.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    if kind == "none":
        assert not changed
    else:
        assert changed
        assert kind == "full" or all(".attn" in name for name in changed)


def test_the_average_of_the_projection_is_what_is_saved(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    update = Trainer.update

    def watched(self: Trainer, rate: float) -> None:
        assert self.parameters.keys() == {"null", "anchors"}  # and nothing of the network
        if not seen:
            seen.append(self.parameters["anchors"].detach().clone())
        update(self, rate)
        keep = min(self.config.ema, self.steps / (self.steps + 10))
        seen.append(torch.lerp(seen[-1], self.parameters["anchors"].detach(), 1 - keep))

    monkeypatch.setattr(Trainer, "update", watched)
    run = model(tiny, tmp_path, finetune="none")
    run.train(numbers(), EVERY, tmp_path, 1)
    assert len(seen) == 7
    assert_allclose(learned(run, tmp_path)["anchors"], seen[-1], atol=1e-7)


def test_features_are_the_nulls_whatever_the_label(tiny: Path, tmp_path: Path) -> None:
    run = model(tiny, tmp_path, finetune="none", learning_rate=0.1, feature_draws=1)
    run.train(numbers(), EVERY, tmp_path, 1)
    (plain,) = run.stable.denoisers(("discs", "triangles"), tmp_path)
    (under,) = run.denoisers(tmp_path)
    latent = run.stable.latents(N, tmp_path)[0].latent(0)
    wanted = under(np.eye(K)).features(latent, -1)
    for context in (0, 1, -1):
        assert_allclose(plain.features(latent, context), wanted, atol=1e-6)
    assert (under(np.eye(K)).features(latent, 0) - wanted).abs().max() > 1e-4


def test_a_projection_that_is_not_there_is_named(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"projection\.safetensors.*typika along"):
        model(tiny, tmp_path, finetune="none").denoisers(tmp_path)


@pytest.mark.slow
def test_a_sheet_of_samples_shows_every_anchor(tiny: Path, tmp_path: Path) -> None:
    from PIL import Image

    run = model(tiny, tmp_path, finetune="none", samples_every=8, samples=2, least_images=8,
                most_images=8, batch=8)  # fmt: skip
    run.train(numbers(), EVERY, tmp_path, 1)
    (path,) = (tmp_path / "samples").glob("*.jpg")
    with Image.open(path) as sheet:
        assert sheet.size == (2 * 64, K * 64)


def test_xl_learns_too(tiny_xl: Path, tmp_path: Path) -> None:
    run = model(tiny_xl, tmp_path, finetune="none", least_images=8, most_images=8)
    run.train(numbers(), EVERY, tmp_path, 1)
    assert learned(run, tmp_path)["anchors"].abs().min() > 0
    (under,) = run.denoisers(tmp_path)
    latents = torch.randn(2, 4, 8, 8)
    found = under(np.eye(K)).predict(latents, torch.zeros(2), torch.tensor([[-1, 0], [-1, 1]]))
    assert torch.isfinite(found).all()


# ------------------------------------------------------------------------- whatever happens to it


class Killed(BaseException):
    """As sudden as a kill: nothing catches it."""


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ConditionedStable, Path]:
    """A training that was not disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run = model(tiny, folder)
    run.train(numbers(), EVERY, folder, 1)
    return run, folder


def weights(run: ConditionedStable, folder: Path) -> dict[str, torch.Tensor]:
    (path,) = run.stable.projection_path(folder).parents[1].glob("*.safetensors")
    return {**load_file(path), **learned(run, folder)}


@pytest.mark.parametrize("at", [1, 3])
def test_a_killed_training_goes_on_to_the_same_weights(
    tiny: Path, tmp_path: Path, whole: tuple, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = model(tiny, tmp_path)
    step = finetuning._Loop._step

    def dying(self: finetuning._Loop, number: int, own: Example) -> None:
        if number == at:
            raise Killed
        step(self, number, own)

    with monkeypatch.context() as patch:
        patch.setattr(finetuning._Loop, "_step", dying)
        with pytest.raises(Killed):
            run.train(numbers(), EVERY, tmp_path, 1)
    run.train(numbers(), EVERY, tmp_path, 1)
    found, wanted = weights(run, tmp_path), weights(*whole)
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        assert_array_equal(value, wanted[name], err_msg=name)


def test_running_out_of_memory_once_changes_nothing(
    tiny: Path, tmp_path: Path, whole: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, calls = finetuning.denoising_loss, []

    def hungry(network, example, texts, checkpoint):
        calls.append(len(example.text))
        if len(example.text) > 2:
            # What the first half of a step has left behind must not count twice.
            loss(network, example, texts, checkpoint).sum().backward()
            raise torch.OutOfMemoryError("no more")
        return loss(network, example, texts, checkpoint)

    monkeypatch.setattr(finetuning, "denoising_loss", hungry)
    run = model(tiny, tmp_path)
    run.train(numbers(), EVERY, tmp_path, 1)
    assert calls.count(4) == 1
    # Adam turns rounding of small gradients into steps, so the weights agree to its step.
    for name, value in learned(run, tmp_path).items():
        assert_allclose(value, learned(*whole)[name], atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "none"])
def test_two_ranks_learn_what_one_does(tiny: Path, tmp_path: Path, kind: str) -> None:
    alone = model(tiny, tmp_path / "alone", finetune=kind)
    alone.train(numbers(), EVERY, tmp_path / "alone", 1)
    shutil.copytree(tmp_path / "alone" / "latents", tmp_path / "both" / "latents")
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[4:]\n"
        "import diffusion.test_projection as t\n"
        "folder = Path(sys.argv[1])\n"
        "t.model(Path(sys.argv[2]), folder, finetune=sys.argv[3]).train(\n"
        "    t.numbers(), t.EVERY, folder, 1)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    arguments = [tmp_path / "both", tiny, kind, Path(__file__).parents[1]]
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port",
         "0", "--standalone", str(script), *map(str, arguments)],
        check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=900,
    )  # fmt: skip
    for name, value in learned(alone, tmp_path / "both").items():
        assert_allclose(value, learned(alone, tmp_path / "alone")[name], atol=2e-3)

"""The small Stable Diffusion of the benchmarks: it learns, and the house opens it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from typika.diffusion.checkpoints import Checkpoint
from typika.diffusion.stable import Autoencoder, StableConfig

pytest.importorskip("diffusers")


def test_losses_fall_and_the_checkpoint_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks import scenes, small_diffusion

    images = scenes.build(tmp_path / "images", 4)
    config = small_diffusion.SmallConfig(
        latent_channels=4, autoencoder_width=8, autoencoder_images=160, autoencoder_batch=8,
        widths=(8, 8, 8, 8), images=160, batch=8, rate=1e-2, threads=1,
    )  # fmt: skip
    trained = small_diffusion.train(images, tmp_path / "checkpoint", config)
    assert small_diffusion.Trained.read(tmp_path / "checkpoint") == trained
    assert trained.autoencoder_loss[-1] < 0.8 * trained.autoencoder_loss[0]
    assert trained.loss[-1] < 0.9 * trained.loss[0]

    checkpoint = Checkpoint.open(str(tmp_path / "checkpoint"))
    texts = checkpoint.embed(
        [scenes.PROMPTS.text("east"), scenes.PROMPTS.null_text], torch.device("cpu")
    )
    assert checkpoint.cell == small_diffusion.DOWNWARDS
    assert not torch.equal(*texts.states)
    stable = StableConfig(checkpoint=str(tmp_path / "checkpoint"), resolution=64)
    autoencoder = Autoencoder(checkpoint, stable, torch.device("cpu"))
    pictures = [scenes.Scene((0, 0, number)).render("east") for number in range(4)]
    means = torch.stack([autoencoder.encode(one).chunk(2)[0] for one in pictures])
    assert means.shape == (4, 4, 16, 16)
    assert 0.5 < float(means.std()) < 2
    assert autoencoder.decode(means[0]).size == (64, 64)

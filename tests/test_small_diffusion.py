"""The small Stable Diffusion of the benchmarks: it learns, and the house opens it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

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

    further = small_diffusion.train(
        images, tmp_path / "further", replace(config, images=16), start=tmp_path / "checkpoint"
    )
    assert further.autoencoder_loss == []
    assert further.loss[0] < trained.loss[0]
    kept, own = (load_file(tmp_path / name / "vae" / "diffusion_pytorch_model.safetensors")
                 for name in ("checkpoint", "further"))  # fmt: skip
    assert all(torch.equal(kept[name], own[name]) for name in kept)


def test_scenes_differ_only_where_an_element_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks.scenes import KINDS, Scene

    scene = Scene((0, 1, 2))
    assert scene.standing(dict.fromkeys(KINDS, 1.0)) == KINDS
    assert scene.standing(dict.fromkeys(KINDS, 0.0)) == ()
    whole, part = (np.asarray(scene.render("north", kinds)) for kinds in (KINDS, ("flag",)))
    left, top, right, bottom = scene.boxes()["sign"]
    changed = np.any(whole != part, axis=2)
    assert changed[top:bottom, left:right].any()
    columns = np.flatnonzero(changed.any(axis=0))
    assert left <= columns.min() <= columns.max() < right


def test_similarity_ends_at_the_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks.scenes import Scene
    from benchmarks.whole_path import similarity_outside

    scene = Scene((0, 0, 3))
    source, translated = scene.render("east"), scene.render("south")
    ending, whole = similarity_outside(scene, translated, source)
    assert ending == pytest.approx(1.0)
    assert whole < 0.97
    spilled = translated.copy()
    left, top, _, _ = scene.boxes()["sign"]
    spilled.paste((0, 0, 0), (left - 3, top, left, top + 10))
    assert similarity_outside(scene, spilled, source)[0] < 0.999

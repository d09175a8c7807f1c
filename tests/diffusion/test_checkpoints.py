from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import tiny_diffusion
from typika.diffusion.checkpoints import Checkpoint, locate
from typika.diffusion.schedule import stable_diffusion_log_snr
from typika.errors import ModelError

CPU = torch.device("cpu")


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def test_levels_are_the_schedule_that_it_names(tiny: Path) -> None:
    assert_allclose(Checkpoint.open(str(tiny)).levels, stable_diffusion_log_snr())


def test_the_autoencoder_says_how_many_pixels_a_cell_has(copy: Path) -> None:
    assert Checkpoint.open(str(copy)).cell == 8
    path = copy / "vae" / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "block_out_channels": [8, 8, 16]}))
    assert Checkpoint.open(str(copy)).cell == 4


def test_another_schedule_is_read(copy: Path) -> None:
    path = copy / "scheduler" / "scheduler_config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "beta_schedule": "linear", "num_train_timesteps": 50}))
    levels = Checkpoint.open(str(copy)).levels
    assert len(levels) == 50
    assert (np.diff(levels) < 0).all()
    path.write_text(json.dumps({**values, "beta_schedule": "sigmoid"}))
    with pytest.raises(ModelError, match="sigmoid"):
        _ = Checkpoint.open(str(copy)).levels


def test_a_schedule_to_pure_noise_is_that_of_diffusers(copy: Path) -> None:
    from diffusers import DDIMScheduler

    path = copy / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "rescale_betas_zero_snr": True}))
    levels = Checkpoint.open(str(copy)).levels
    wanted = DDIMScheduler.from_pretrained(copy / "scheduler").alphas_cumprod
    assert_allclose(1 / (1 + np.exp(-levels)), wanted, atol=1e-5)
    assert levels[-1] < -15


def test_a_prompt_that_is_too_long_is_told(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Checkpoint.open(str(tiny)).embed(["a" * 100], CPU)
    assert "has 102 tokens; the text encoder reads the first 77" in capsys.readouterr().err


def test_texts_are_embedded_as_the_pipeline_does(tiny: Path) -> None:
    from diffusers import StableDiffusionPipeline

    texts = ["A car from the 1920s.", ""]
    found = Checkpoint.open(str(tiny)).embed(texts, CPU)
    pipeline = StableDiffusionPipeline.from_pretrained(
        tiny, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    wanted, _ = pipeline.encode_prompt(texts, CPU, 1, do_classifier_free_guidance=False)
    assert_allclose(found.states, wanted.detach(), atol=1e-6)
    assert found.pooled is None
    assert not torch.allclose(found.states[0], found.states[1])


def test_xl_texts_are_embedded_as_the_pipeline_does(tiny_xl: Path) -> None:
    from diffusers import StableDiffusionXLPipeline

    found = Checkpoint.open(str(tiny_xl)).embed(["A car."], CPU)
    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_xl)
    wanted, _, pooled, _ = pipeline.encode_prompt(
        "A car.", device=CPU, do_classifier_free_guidance=False
    )
    assert_allclose(found.states, wanted.detach(), atol=1e-6)
    assert_allclose(found.pooled, pooled.detach(), atol=1e-6)


def test_another_text_encoder_takes_the_place_of_its_own(tiny: Path, tmp_path: Path) -> None:
    other = tmp_path / "encoder"
    shutil.copytree(tiny / "tokenizer", other)
    tiny_diffusion.text_encoder(other, 16, projected=False)
    own = Checkpoint.open(str(tiny)).embed(["A car."], CPU)
    foreign = Checkpoint.open(str(tiny), str(other)).embed(["A car."], CPU)
    assert foreign.states.shape == own.states.shape
    assert not torch.allclose(foreign.states, own.states)


def test_the_digest_follows_the_weights(copy: Path) -> None:
    before = Checkpoint.open(str(copy)).digest
    assert Checkpoint.open(str(copy)).digest == before
    path = copy / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert Checkpoint.open(str(copy)).digest != before


def test_what_is_no_checkpoint_is_named_with_the_remedy(tmp_path: Path, copy: Path) -> None:
    with pytest.raises(ModelError, match="no such folder, and not a name on the hub"):
        locate(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no model_index\.json; it holds nothing"):
        Checkpoint.open(str(tmp_path / "empty"))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="a single file; convert it"):
        locate(str(tmp_path / "model.safetensors"))
    with pytest.raises(ModelError, match="download it first without --offline"):
        locate("nobody/no-such-model")  # the tests run offline
    shutil.rmtree(copy / "vae")
    with pytest.raises(ModelError, match="vae"):
        Checkpoint.open(str(copy))


def test_a_download_that_was_cut_short_is_named(copy: Path) -> None:
    path = copy / "unet" / "diffusion_pytorch_model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"diffusion_pytorch_model.*cut short"):
        Checkpoint.open(str(copy))


def test_pickled_weights_are_refused(copy: Path) -> None:
    path = copy / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))
    with pytest.raises(ModelError, match="pickled weights, which can run code"):
        Checkpoint.open(str(copy))


@pytest.mark.parametrize(
    ("place", "key", "value", "message"),
    [
        ("scheduler/scheduler_config.json", "prediction_type", "sample", "predicts 'sample'"),
        ("unet/config.json", "in_channels", 9, "takes 9 channels"),
    ],
)
def test_models_of_another_kind_are_refused(
    copy: Path, place: str, key: str, value: object, message: str
) -> None:
    values = json.loads((copy / place).read_text())
    (copy / place).write_text(json.dumps({**values, key: value}))
    with pytest.raises(ModelError, match=message):
        Checkpoint.open(str(copy))

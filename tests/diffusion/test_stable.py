from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image

from typika.diffusion.checkpoints import Checkpoint
from typika.diffusion.denoiser import NULL, Denoiser
from typika.diffusion.sampling import sample
from typika.diffusion.schedule import alpha_sigma, noise_design, stable_diffusion_log_snr
from typika.diffusion.stable import (
    Autoencoder,
    Placement,
    StableConfig,
    StableDenoiser,
    fitted_size,
    pixels,
    placed,
)
from typika.errors import ConfigError
from typika.mining.typicality import typicality_maps

CPU = torch.device("cpu")
PLACE = Placement(CPU, torch.float32, torch.float32)
LABELS = ("1920", "1930", "1940")


def denoiser(folder: Path, **changes: object) -> StableDenoiser:
    config = StableConfig(checkpoint=str(folder), resolution=64, **changes)
    checkpoint = Checkpoint.open(str(folder))
    texts = checkpoint.embed([*(f"A car from the {label}s." for label in LABELS), "A car."], CPU)
    return StableDenoiser(checkpoint, placed(checkpoint.unet(), PLACE), texts, LABELS, config, CPU)


def noisy(seed: int = 0, count: int = 3, height: int = 8, width: int = 12) -> torch.Tensor:
    return torch.randn(count, 4, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model(tiny: Path) -> StableDenoiser:
    return denoiser(tiny)


def test_it_is_a_denoiser(model: StableDenoiser) -> None:
    assert isinstance(model, Denoiser)


def test_the_noise_range_is_that_of_the_paper(model: StableDenoiser) -> None:
    quantile = torch.rand(5000, generator=torch.Generator().manual_seed(0))
    steps = model.timestep(model.log_snr(quantile))
    assert_allclose(steps, steps.round(), atol=1e-3)
    assert round(float(steps.min())) == 100
    assert round(float(steps.max())) == 699
    counts = np.histogram(steps.round(), 6, (100, 700))[0]
    assert_allclose(counts / 5000, 1 / 6, atol=0.03)


def test_other_schedules_are_met_at_the_same_signal_to_noise(model: StableDenoiser) -> None:
    between = torch.from_numpy(stable_diffusion_log_snr()).float()
    middle = (between[300:302].sum() / 2)[None]
    assert_allclose(model.timestep(middle), [300.5], atol=1e-2)


def test_predictions_are_those_of_the_network(model: StableDenoiser) -> None:
    z, levels = noisy(), model.log_snr(torch.tensor([0.1, 0.5, 0.9]))
    found = model.predict(z, levels, torch.tensor([[0, NULL]] * 3))
    steps = model.timestep(levels).round().long()
    for place, context in enumerate((0, -1)):
        states = model.texts.states[context].expand(3, -1, -1)
        wanted = model.unet(z, steps, states).sample
        assert_allclose(found[place], wanted, atol=1e-5)


def test_each_latent_has_contexts_of_its_own(model: StableDenoiser) -> None:
    z, levels = noisy(), model.log_snr(torch.tensor([0.1, 0.5, 0.9]))
    together = model.predict(z, levels, torch.tensor([[0], [1], [NULL]]))[0]
    for number, context in enumerate((0, 1, NULL)):
        own = slice(number, number + 1)
        alone = model.predict(z[own], levels[own], torch.tensor([[context]]))[0, 0]
        assert_allclose(together[number], alone, atol=1e-5)


def test_a_context_given_twice_is_run_once(model: StableDenoiser) -> None:
    items = []
    handle = model.unet.register_forward_pre_hook(
        lambda _module, inputs: items.append(len(inputs[0]))
    )
    found = model.predict(noisy(), torch.zeros(3), torch.tensor([[1, NULL, 1]] * 3))
    handle.remove()
    assert sum(items) == 6
    assert torch.equal(found[0], found[2])


def test_typicality_against_itself_is_exactly_nothing(model: StableDenoiser) -> None:
    design = noise_design("stratified", 8, 4, seed=0, side=16)
    z = noisy(count=1)
    same = typicality_maps(model, z, [(1, 1)], design)[0]
    assert same.others is not None
    assert not same.others.mean.any()
    forth = typicality_maps(model, z, [(0, 2)], design)[0]
    back = typicality_maps(model, z, [(2, 0)], design)[0]
    assert forth.others is not None
    assert back.others is not None
    assert np.abs(forth.others.mean).max() > 1e-6
    assert_allclose(forth.others.mean, -back.others.mean, atol=1e-6)


@pytest.mark.parametrize("at_once", [2, 6, 16])
def test_batches_change_nothing(model: StableDenoiser, at_once: int) -> None:
    design = noise_design("stratified", 8, 4, seed=0, side=16)
    latents = noisy(count=3)
    together = typicality_maps(model, latents, [(0,), (1,), (2,)], design, at_once)
    for number in range(3):
        alone = typicality_maps(model, latents[number][None], [(number,)], design)[0]
        assert_allclose(together[number].null.mean, alone.null.mean, atol=1e-6)


def test_velocity_is_turned_into_noise(tiny: Path, tiny_velocity: Path) -> None:
    # The same weights, said to predict v: ε = α v + σ z.
    plain, velocity = denoiser(tiny), denoiser(tiny_velocity)
    z, levels = noisy(), torch.tensor([-1.0, 0.0, 2.0])
    contexts = torch.tensor([[0]] * 3)
    alpha, sigma = (part[:, None, None, None] for part in alpha_sigma(levels))
    v = plain.predict(z, levels, contexts)[0]
    assert_allclose(velocity.predict(z, levels, contexts)[0], alpha * v + sigma * z, atol=1e-5)


def test_xl_is_told_its_size_and_the_pooled_text(tiny_xl: Path) -> None:
    model = denoiser(tiny_xl)
    z, levels = noisy(), torch.zeros(3)
    found = model.predict(z, levels, torch.tensor([[0, NULL]] * 3))
    assert not torch.allclose(found[0], found[1])
    given = {"text_embeds": model.texts.pooled[:1].expand(3, -1),
             "time_ids": torch.tensor([[64, 96, 0, 0, 64, 96]] * 3)}  # fmt: skip
    wanted = model.unet(z, model.timestep(levels), model.texts.states[:1].expand(3, -1, -1),
                        added_cond_kwargs=given).sample  # fmt: skip
    assert_allclose(found[0], wanted, atol=1e-5)


def test_features_are_those_of_the_up_block(model: StableDenoiser) -> None:
    z = noisy(count=1)[0]
    found = model.features(z, 1)
    assert found.shape[1:] == (4, 6)
    seen = []
    handle = model.unet.up_blocks[1].register_forward_hook(
        lambda _module, _inputs, output: seen.append(output)
    )
    level = torch.from_numpy(stable_diffusion_log_snr()[[161]]).float()
    alpha, sigma = alpha_sigma(level)
    noise = model._feature_noise[:, :, :8, :12]
    states = model.texts.states[1].expand(len(noise), -1, -1)
    model.unet(alpha * z + sigma * noise, torch.tensor(161), states)
    handle.remove()
    assert_allclose(found, seen[0].mean(dim=0).detach(), atol=1e-5)
    assert not torch.allclose(found, model.features(z, 2), atol=1e-6)


def test_the_rest_of_the_network_is_not_run_for_features(model: StableDenoiser) -> None:
    reached = []
    handle = model.unet.conv_out.register_forward_hook(lambda *_: reached.append(1))
    model.features(noisy(count=1)[0], 0)
    handle.remove()
    assert not reached


def test_a_block_that_is_not_there_is_named(tiny: Path) -> None:
    with pytest.raises(ConfigError, match="up blocks 0 to 3"):
        denoiser(tiny, feature_block=7).features(noisy(count=1)[0], 0)


def test_the_autoencoder_is_that_of_the_checkpoint(tiny: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8))
    config = StableConfig(checkpoint=str(tiny), resolution=64)
    checkpoint = Checkpoint.open(str(tiny))
    found = Autoencoder(checkpoint, config, CPU).encode(image)
    vae = checkpoint.vae()
    scale = vae.config.scaling_factor
    posterior = vae.encode(pixels(image, 64, 8)).latent_dist
    assert found.shape == (8, 8, 12)
    assert_allclose(found[:4], posterior.mean[0].detach() * scale, atol=1e-5)
    assert_allclose(found[4:], posterior.std[0].detach() * scale, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "multiple", "fitted"),
    [((756, 512), 8, (752, 512)), ((512, 512), 8, (512, 512)), ((300, 900), 64, (512, 1536)),
     ((4000, 3000), 64, (704, 512))],
)  # fmt: skip
def test_sizes_keep_their_aspect_and_fit_the_grid(
    size: tuple[int, int], multiple: int, fitted: tuple[int, int]
) -> None:
    assert fitted_size(*size, 512, multiple) == fitted


def test_samples_are_ddim_s(tiny: Path, model: StableDenoiser) -> None:
    from diffusers import DDIMScheduler

    noise = noisy(count=1, width=8)
    found = sample(model, [1], noise, guidance=3.0, n_steps=4)
    scheduler = DDIMScheduler.from_pretrained(
        tiny / "scheduler", set_alpha_to_one=True, clip_sample=False, steps_offset=1
    )
    scheduler.set_timesteps(4)
    latent = noise
    for step in scheduler.timesteps:
        null, own = (
            model.unet(latent, step, model.texts.states[[context]]).sample.detach()
            for context in (-1, 1)
        )
        latent = scheduler.step(null + 3.0 * (own - null), step, latent).prev_sample
    assert_allclose(found, latent, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 4}, "resolution=4"),
        ({"multiple": 12}, "multiple=12"),
        ({"t_range": (0.7, 0.1)}, "t_range"),
        ({"null_share": 0.8, "nested_share": 0.3}, "sum to at most 1"),
        ({"precision": "float16"}, "finetune with bfloat16"),
        ({"ema": 1.0}, "ema=1.0"),
        ({"held_out": 0.6}, "held_out=0.6"),
        ({"lora_rank": 0}, "lora_rank=0"),
        ({"most_images": 10}, "most_images=10"),
        ({"feature_step": 1000}, "feature_step=1000"),
    ],
)
def test_impossible_settings_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StableConfig(**changes)


def test_a_device_that_is_not_here_is_named() -> None:
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(ConfigError, match=f"device={missing}: not on this machine"):
        Placement.of(missing, "auto")
    with pytest.raises(ConfigError, match="device=toaster"):
        Placement.of("toaster", "auto")
    assert Placement.of("cpu", "auto").scoring is torch.float32

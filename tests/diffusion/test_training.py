from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from typika.diffusion.training import OptimiserConfig, fit, learning_rate, step_generator
from typika.errors import ConfigError


def network() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 1))
    model.register_parameter("unreached", nn.Parameter(torch.ones(3)))  # as faithful training has
    return model


def step_loss(model: nn.Module, stop_at: int | None = None):
    def loss(step: int) -> Tensor:
        if step == stop_at:
            raise KeyboardInterrupt
        x = torch.randn(16, 4, generator=step_generator(0, step))
        return (model(x) - x.sum(dim=1, keepdim=True)).square().mean()

    return loss


@pytest.mark.parametrize("stop_at", [1, 37, 60, 99])
def test_resumed_training_equals_uninterrupted_bit_for_bit(tmp_path: Path, stop_at: int) -> None:
    whole = network()
    history = fit(whole, step_loss(whole), 100, OptimiserConfig(), tmp_path / "whole")
    broken = network()
    with pytest.raises(KeyboardInterrupt):
        fit(broken, step_loss(broken, stop_at), 100, OptimiserConfig(), tmp_path / "broken")
    resumed = network()
    again = fit(resumed, step_loss(resumed), 100, OptimiserConfig(), tmp_path / "broken")
    assert again == history
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    model = network()
    history = fit(model, step_loss(model), 300, OptimiserConfig(), tmp_path / "c")
    assert history[-1] < 0.1 * history[0]


def test_the_rate_warms_up_and_comes_to_rest() -> None:
    config = OptimiserConfig()
    rates = [learning_rate(step, 1000, config) for step in range(1000)]
    assert rates.index(max(rates)) in (49, 50)
    assert max(rates) == pytest.approx(config.learning_rate)
    assert rates[-1] < 1e-4 * max(rates)


def test_steps_have_unrelated_generators() -> None:
    first, second = (torch.randn(1000, generator=step_generator(0, step)) for step in (0, 1))
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 0.1
    assert torch.equal(first, torch.randn(1000, generator=step_generator(0, 0)))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="learning_rate=0"):
        OptimiserConfig(learning_rate=0.0)

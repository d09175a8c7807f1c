from __future__ import annotations

import pytest
import torch
import torch.nn.functional as functional

from typika.diffusion.denoiser import NULL
from typika.diffusion.embedded import (
    CellDenoiser,
    EmbeddedConfig,
    pooled,
    stratified_levels,
    training_loss,
)
from typika.diffusion.latents import Batch
from typika.diffusion.models import batch_rows, n_steps, step_contexts
from typika.errors import ConfigError


def make_batch(counts: tuple[int, ...] = (6, 4, 9), dimensions: int = 8) -> Batch:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor(counts)
    cells = torch.randn(int(sizes.sum()), dimensions, generator=generator)
    return Batch(cells, torch.repeat_interleave(torch.arange(len(counts)), sizes), sizes)


def make_network(n_labels: int = 3, dimensions: int = 8) -> CellDenoiser:
    torch.manual_seed(0)
    network = CellDenoiser(dimensions, n_labels, width=16, blocks=1)
    for value in network.parameters():  # layers that start at zero would hide what follows
        torch.nn.init.normal_(value, std=0.3)
    return network


def test_pooling_equals_its_definition() -> None:
    batch = make_batch()
    values = torch.randn(19, 2, generator=torch.Generator().manual_seed(1))
    for image, (start, stop) in enumerate([(0, 6), (6, 10), (10, 19)]):
        own = values[start:stop]
        assert torch.allclose(pooled(values, batch, 0.0)[image], own.mean(dim=0))
        expected = (own * 3.0).exp().mean(dim=0).log() / 3.0
        assert torch.allclose(pooled(values, batch, 3.0)[image], expected, atol=1e-5)


def test_every_stratum_has_one_level() -> None:
    levels = stratified_levels(8, (-5.0, 3.0), torch.Generator().manual_seed(0))
    assert sorted(((levels + 5) // 1).long().tolist()) == list(range(8))


@pytest.mark.parametrize("label", [(0, 1, 2), (2, 2, 0)])
def test_faithful_loss_is_the_hybrid_without_its_classifier(label: tuple[int, ...]) -> None:
    network, batch = make_network(), make_batch()
    arguments = (torch.tensor(label), torch.arange(3))
    found = [
        training_loss(
            network, batch, *arguments, config, torch.Generator().manual_seed(5)
        )
        for config in (EmbeddedConfig(loss="faithful"), EmbeddedConfig(gamma=0.0))
    ]  # fmt: skip
    assert torch.allclose(found[0], found[1], atol=1e-5)


def test_gradients_reach_every_part_of_the_hybrid() -> None:
    network = make_network()
    loss = training_loss(
        network, make_batch(), torch.tensor([0, 1, 2]), torch.arange(3), EmbeddedConfig(),
        torch.Generator().manual_seed(5),
    )  # fmt: skip
    loss.backward()
    assert all(
        value.grad is not None and value.grad.abs().sum() > 0 for value in network.parameters()
    )


def test_contexts_hold_every_label_of_the_batch() -> None:
    label = torch.tensor([3, 250, 3, 17])
    contexts = step_contexts(label, 300, 20, torch.Generator().manual_seed(0))
    assert len(contexts) == 20
    assert set(label.tolist()) <= set(contexts.tolist())
    assert torch.equal(contexts, contexts.sort().values)
    assert torch.equal(contexts, contexts.unique())


def test_only_the_labels_asked_for_are_computed() -> None:
    network = make_network(n_labels=300)
    hidden = network.hidden(make_batch().cells, torch.zeros(1), torch.zeros(19, dtype=torch.long))
    labels = torch.tensor([5, 17, 299])
    found = network.corrections(hidden, labels)
    assert found.shape == (3, 19, 8)
    for place, label in enumerate(labels):
        alone = hidden @ network.label[label].T + network.label_bias[label]
        assert torch.allclose(found[place], alone, atol=1e-5)


def test_one_matrix_for_all_contexts_predicts_null_plus_correction() -> None:
    network = make_network()
    hidden = network.hidden(make_batch().cells, torch.zeros(1), torch.zeros(19, dtype=torch.long))
    found = network.predictions(hidden, [2, NULL, 0])
    null = network.null(hidden)
    correction = network.corrections(hidden, torch.tensor([2, 0]))
    expected = torch.stack([null + correction[0], null, null + correction[1]], dim=1)
    assert torch.allclose(found, expected, atol=1e-5)


def test_cells_of_a_level_are_hidden_alike_alone_or_among_others() -> None:
    network, batch = make_network(), make_batch()
    levels = torch.tensor([-3.0, 0.0, 0.7])
    together = network.hidden(batch.cells, levels, batch.image)
    second = batch.image == 1
    alone = network.hidden(batch.cells[second], levels[1:2], torch.zeros(4, dtype=torch.long))
    assert torch.allclose(together[second], alone, atol=1e-5)


def test_each_pass_shows_every_image_once() -> None:
    rows = torch.arange(100, 132).numpy()
    seen = [row for step in range(4) for row in batch_rows(rows, 8, step, seed=0)]
    assert sorted(seen) == list(range(100, 132))
    assert batch_rows(rows[:3], 8, 5, seed=0).tolist() != []


def test_steps_are_limited() -> None:
    assert n_steps(1000, 16, 10.0, (200, 2000)) == 625
    assert n_steps(10**6, 16, 10.0, (200, 2000)) == 2000
    assert n_steps(1, 16, 1.0, (200, 2000)) == 200


def test_cross_entropy_is_what_gamma_weighs() -> None:
    network, batch, label = make_network(), make_batch(), torch.tensor([0, 1, 2])
    losses = [
        training_loss(
            network, batch, label, torch.arange(3), EmbeddedConfig(gamma=gamma),
            torch.Generator().manual_seed(5),
        )
        for gamma in (0.0, 1.0, 2.0)
    ]  # fmt: skip
    assert torch.allclose(losses[2] - losses[1], losses[1] - losses[0], atol=1e-5)
    assert losses[1] > losses[0]
    assert functional.cross_entropy(torch.zeros(3, 3), label) > 0


@pytest.mark.parametrize(
    "bad",
    [
        {"sides": ()},
        {"sides": (9,)},
        {"gamma": -1.0},
        {"sharpness": 0.0},
        {"log_snr_range": (1.0, 1.0)},
    ],
)
def test_impossible_settings_are_refused(bad: dict) -> None:
    with pytest.raises(ConfigError):
        EmbeddedConfig(**bad)

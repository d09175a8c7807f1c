from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from typika.errors import ConfigError, DataError
from typika.typewriter.batches import LineBatch, Reading
from typika.typewriter.compose import Windows, warp
from typika.typewriter.published import PublishedTypewriter, ink_boxes, random_crops
from typika.typewriter.published_config import (
    GOOGLE_UNSUPERVISED,
    PUBLISHED,
    PublishedConfig,
    dti_sprites,
    marionette,
    without_generator,
    without_key_network,
    without_shared_latents,
)
from typika.typewriter.published_learner import PublishedLearner
from typika.typewriter.published_losses import (
    ctc_loss,
    frequency_loss,
    infeasible,
    overlap_loss,
    reconstruction_loss,
    sparsity_loss,
)
from typika.typewriter.published_parts import Background, Placing, Selection

SMALL = PublishedConfig(height=32, warm_start_steps=0)
K = 3


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def lines(n: int = 2, width: int = 96, height: int = 32) -> LineBatch:
    image = torch.rand(n, 3, height, width, generator=generator())
    mask = torch.ones(n, height, width)
    widths = torch.full((n,), width)
    return line_batch(image, mask, widths, ((0, 1), None, (2,))[:n])


def line_batch(image: Tensor, mask: Tensor, widths: Tensor, texts: tuple) -> LineBatch:
    colours = torch.tensor([[0.9, 0.8, 0.7], [0.1, 0.1, 0.1]])[:, None].expand(-1, len(image), -1)
    return LineBatch(image=image, mask=mask, widths=widths, texts=texts,
                     paper=colours[0], ink=colours[1])  # fmt: skip


def typewriter(config: PublishedConfig = SMALL, lively: bool = True) -> PublishedTypewriter:
    """lively: layers that start at zero answer something, too."""
    torch.manual_seed(0)
    model = PublishedTypewriter(config, K)
    silent = [model.placing, model.background, getattr(model.selection, "presence", nn.Identity())]
    for module in silent if lively else ():
        for value in module.parameters():
            nn.init.normal_(value, std=0.3)
    return model


def one_cell(config: PublishedConfig, position: tuple[float, float, float]) -> Tensor:
    """A full sprite, drawn where the position head answers (s, t_x, t_y)."""
    placing = Placing(config, K)
    placing.position[-1].bias.data = torch.tensor(position)
    side = config.height
    sprite = torch.ones(1, side // 2, side // 2)
    return warp(sprite, placing.places(torch.zeros(1, 1, 64)).flat(), (side, side))[0].detach()


def centre(drawn: Tensor) -> tuple[float, float]:
    rows, columns = torch.meshgrid(*map(torch.arange, drawn.shape), indexing="ij")
    total = drawn.sum()
    return ((columns * drawn).sum() / total).item(), ((rows * drawn).sum() / total).item()


def test_a_sprite_starts_in_the_middle_of_its_window_at_native_size() -> None:
    drawn = one_cell(SMALL, (0.0, 0.0, 0.0))
    expected = torch.zeros(32, 32)
    expected[8:24, 8:24] = 1.0
    assert torch.equal(drawn, expected)


@pytest.mark.parametrize("s", [-0.5, -0.2, 0.3, 0.7])
def test_scale_draws_half_the_height_times_exp_minus_s(s: float) -> None:
    size = 32 / 2 * math.exp(-s)
    assert one_cell(SMALL, (s, 0.0, 0.0)).sum().sqrt().item() == pytest.approx(size, rel=0.03)
    still = replace(SMALL, scale="none")
    assert one_cell(still, (s, 0.0, 0.0)).sum().item() == pytest.approx(16.0**2)


@pytest.mark.parametrize(("s", "tx", "ty"), [(0.0, 0.5, -0.25), (0.4, 0.5, 0.5), (0.0, 1.0, 1.0)])
def test_a_shift_moves_the_centre_the_other_way(s: float, tx: float, ty: float) -> None:
    reach = math.exp(-s) * 32 / 4
    found = centre(one_cell(SMALL, (s, tx, ty)))
    assert found == pytest.approx((15.5 - tx * reach, 15.5 - ty * reach), abs=0.1)


def test_shifts_end_at_a_quarter_of_the_height() -> None:
    assert centre(one_cell(SMALL, (0.0, 9.0, -9.0))) == pytest.approx((7.5, 23.5))
    bounded = one_cell(replace(SMALL, shift_bound="tanh"), (0.0, 0.5, 0.0))
    assert centre(bounded)[0] == pytest.approx(15.5 - math.tanh(0.5) * 8, abs=0.05)


def test_colour_starts_grey_and_is_weighed_by_what_is_no_blank() -> None:
    placing = Placing(SMALL, K)
    probabilities = torch.tensor([[[0.25, 0.0, 0.0, 0.75]]])
    found = placing.colours(torch.zeros(1, 1, 64), probabilities)
    assert torch.allclose(found, torch.tensor(0.5 * 0.25).sigmoid())
    free = Placing(replace(SMALL, colour_sees_blank=False), K)
    assert torch.allclose(
        free.colours(torch.zeros(1, 1, 64), probabilities), torch.tensor(0.5).sigmoid()
    )
    own = Placing(replace(SMALL, colour="sprite"), K)
    own.sprite_colours.data = torch.tensor([[-9.0] * 3, [9.0] * 3, [0.0] * 3])
    found = own.colours(torch.zeros(1, 1, 64), torch.tensor([[[0.1, 0.3, 0.0, 0.6]]]))
    assert torch.allclose(found, torch.tensor(0.75), atol=1e-3)


def test_background_is_interpolated_between_the_middles_of_cells() -> None:
    background = Background()
    background.colour = nn.Linear(64, 3)
    nn.init.zeros_(background.colour.bias)
    background.colour.weight.data = torch.eye(3, 64)
    features = torch.zeros(1, 3, 64)
    features[0, :, 0] = torch.tensor([0.2, 0.6, 0.8]).logit()
    found = background(features, (4, 50))
    assert found.shape == (1, 3, 4, 50)
    # Pixel 15.5 lies half way between the middles of cells 0 and 1, at 7.5 and 23.5.
    assert found[0, 0, 0, 15:17].mean().item() == pytest.approx(0.4)
    assert found[0, 0, 2, :7].tolist() == pytest.approx([0.2] * 7)
    assert found[0, 0, 3, 41:].tolist() == pytest.approx([0.8] * 9)


@pytest.mark.parametrize("config", [SMALL, without_key_network(SMALL), marionette(SMALL),
                                    without_shared_latents(SMALL)])  # fmt: skip
def test_probabilities_sum_to_one(config: PublishedConfig) -> None:
    torch.manual_seed(0)
    selection = Selection(config, 6, 128)
    found = selection(torch.randn(2, 5, 64), torch.rand(6, 128))
    assert found.shape == (2, 5, 7)
    assert torch.allclose(found.exp().sum(dim=2), torch.ones(()))


def test_logits_of_sprites_are_at_most_eight() -> None:
    selection = Selection(SMALL, 6, 128)
    features, codes = torch.randn(1, 1, 64, generator=generator()), torch.rand(6, 128)
    with torch.no_grad():  # keys of all sprites are the query, and the blank's logit is 0
        selection.key.weight.zero_()
        selection.key.bias.copy_(selection.query(features)[0, 0])
        selection.blank.zero_()
        found = selection(features, codes)[0, 0]
        assert (found[:-1] - found[-1]).tolist() == pytest.approx([8.0] * 6, rel=1e-3)
        selection.blank.copy_(100 * selection.query(features)[0, 0])
        assert selection(features, codes)[0, 0, -1].item() == pytest.approx(0.0, abs=1e-6)
        selection.config = replace(SMALL, normalised_blank=True)
        assert selection(features, codes)[0, 0].exp().tolist() == pytest.approx(
            [1 / 7] * 7, rel=1e-3
        )


def test_only_the_background_learns_while_the_start_is_warm() -> None:
    config = replace(SMALL, warm_start_steps=10, warm_start_share=0.5)
    model = typewriter(config, lively=False)
    for step, progress, warm in [
        (0, 0.0, True),
        (9, 0.4, True),
        (10, 0.4, False),
        (5, 0.5, False),
    ]:
        model.zero_grad()
        losses = model.losses(lines(), progress, step, generator())
        losses["total"].backward()
        learning = {
            name.split(".")[0]
            for name, value in model.named_parameters()
            if value.grad is not None and value.grad.abs().sum() > 0
        }
        assert (learning == {"background"}) is warm
        assert ("ctc" in losses) is not warm


def test_every_part_learns_after_the_warm_start() -> None:
    for config in (SMALL, GOOGLE_UNSUPERVISED, marionette(SMALL), dti_sprites(SMALL)):
        model = typewriter(replace(config, height=32, warm_start_steps=0))
        model.losses(lines(), 1.0, 0, generator())["total"].backward()
        silent = [
            name
            for name, value in model.named_parameters()
            if value.grad is None or not value.grad.abs().sum() > 0
        ]
        assert not silent


def test_the_mask_hides_errors() -> None:
    batch = lines()
    batch.mask[:, :, 40:60] = 0.0
    batch.mask[1] = 0.0
    drawn = torch.rand(2, 3, 32, 96, generator=generator())
    loss = reconstruction_loss(drawn, batch)
    kept = torch.cat([torch.arange(40), torch.arange(60, 96)])
    expected = (drawn - batch.image)[0, :, :, kept].square().mean() / 2
    assert loss.item() == pytest.approx(expected.item())
    drawn[:, :, :, 40:60] = 7.0
    drawn[1] = -3.0
    assert torch.equal(reconstruction_loss(drawn, batch), loss)


def reading(log_probabilities: Tensor) -> Reading:
    b, t, _ = log_probabilities.shape
    return Reading(log_probabilities, torch.full((b,), t))


@pytest.mark.parametrize("text", [(0,), (0, 1), (1, 1), (), (0, 1, 0)])
def test_ctc_counts_every_way_to_write_a_text(text: tuple[int, ...]) -> None:
    cells = torch.randn(1, 4, 3, generator=generator()).log_softmax(dim=2)
    total = 0.0
    for path in product(range(3), repeat=4):
        merged = [one for place, one in enumerate(path) if not place or path[place - 1] != one]
        if tuple(one for one in merged if one != 2) == text:
            total += math.exp(sum(cells[0, place, one].item() for place, one in enumerate(path)))
    found = ctc_loss(reading(cells), (text,)).item()
    assert found == pytest.approx(-math.log(total) / max(len(text), 1), rel=1e-4)


def test_ctc_is_a_mean_over_transcribed_lines_that_fit() -> None:
    cells = torch.randn(4, 3, 3, generator=generator()).log_softmax(dim=2)
    texts = ((0,), None, (1, 1), (0, 0, 1))
    alone = [ctc_loss(reading(cells[[row]]), (texts[row],)).item() for row in (0, 2)]
    assert ctc_loss(reading(cells), texts).item() == pytest.approx(sum(alone) / 3, rel=1e-5)
    assert infeasible(torch.tensor([3, 3, 3, 3]), texts) == (3,)
    assert infeasible(torch.tensor([1, 0, 2, 4]), texts) == (2,)
    with pytest.raises(DataError, match=r"symbols \[-1, 2\]"):
        ctc_loss(reading(cells), ((0,), None, (2, -1), None))


def test_allographs_of_a_character_share_its_probability() -> None:
    model = typewriter(replace(SMALL, sprites_per_character=2))
    assert model.sprites().shape == (2 * K, 16, 16)
    found = model.read(lines())
    with torch.no_grad():
        features = model.eval().encoder(lines().image)
        apart = model.selection(features, model.bank.codes).exp()
    summed = torch.cat([apart[..., :-1].view(2, 6, K, 2).sum(dim=3), apart[..., -1:]], dim=2)
    assert torch.allclose(found.log_probabilities.exp(), summed, atol=1e-6)


def test_cells_count_as_far_as_windows_begin_in_the_line() -> None:
    image, mask, widths = torch.rand(4, 3, 32, 128), torch.ones(4, 32, 128), [128, 100, 20, 3]
    batch = line_batch(image, mask, torch.tensor(widths), (None,) * 4)
    # floor((w + H/2) / 16), between one and all 8 cells.
    assert typewriter().read(batch).n_cells.tolist() == [8, 7, 2, 1]


def test_overlap_counts_pairs_of_layers() -> None:
    windows = Windows(stride=4, width=8)
    alpha = torch.rand(1, 4, 3, 8, generator=generator())
    on_line = torch.zeros(4, 3, 20)
    for cell in range(4):
        on_line[cell, :, 4 * cell : 4 * cell + 8] = alpha[0, cell]
    on_line = on_line[..., 4:]  # window 0 begins four columns left of the line
    pairs = sum((on_line[i] * on_line[j]).sum() for i in range(4) for j in range(i))
    assert overlap_loss(alpha, windows, 16).item() == pytest.approx(float(pairs), rel=1e-5)


def test_usage_of_symbols() -> None:
    even = reading(torch.full((2, 5, 4), 0.25).log())
    assert frequency_loss(even, 0.1).item() == pytest.approx(0.0, abs=1e-6)
    assert sparsity_loss(even).item() == pytest.approx(0.25)
    single = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(2, 5, 4).log()
    assert frequency_loss(reading(single), 0.1).item() == pytest.approx(0.75)
    padded = Reading(torch.cat([single, even.log_probabilities], dim=1), torch.tensor([5, 5]))
    assert frequency_loss(padded, 0.1).item() == pytest.approx(0.75)


def test_regularisers_join_the_total() -> None:
    weighed = replace(SMALL, overlap_weight=1e-5, frequency_weight=0.3, sparsity_weight=0.05)
    found = typewriter(weighed).losses(lines(), 1.0, 0, generator())
    expected = (
        found["reconstruction"] + 0.1 * found["ctc"] + 1e-5 * found["overlap"]
        + 0.3 * found["frequency"] + 0.05 * found["sparsity"]
    )  # fmt: skip
    assert found["total"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_looking_changes_nothing() -> None:
    model = typewriter(replace(SMALL, generator="unet"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batch = lines()
    for seen in (model.reconstruct(batch), model.sprites(), model.read(batch).log_probabilities):
        assert not seen.requires_grad
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_only_the_likeliest_sprites_are_redrawn() -> None:
    model = typewriter(replace(without_key_network(SMALL), generator="pixels"))
    batch = lines()
    drawn = model.reconstruct(batch)
    best = set(model.read(batch).log_probabilities.argmax(dim=2).flatten().tolist())
    for symbol in range(K):
        with torch.no_grad():
            kept = model.bank.codes[symbol].clone()
            model.bank.codes[symbol] = 1 - kept
            assert torch.equal(model.reconstruct(batch), drawn) is (symbol not in best)
            model.bank.codes[symbol] = kept
    assert 0 < len(best - {K}) < K  # or the above would say nothing


def test_a_box_is_where_the_ink_is_drawn() -> None:
    model = typewriter(replace(SMALL, generator="pixels"), lively=False)
    with torch.no_grad():
        model.bank.codes.zero_()
        sprites = model.bank.codes.view(K, 16, 16)
        sprites[1, 4:14, 2:9] = 1.0
    found = model.boxes(lines(), [(0, 3, 1), (1, 0, 1), (0, 2, 0)])
    # Windows of 32 px are centred on columns 48, 0 and 32; sprites of 16 px lie in the middle.
    assert found.tolist() == [[42, 12, 49, 22], [-6, 12, 1, 22], [32, 16, 32, 16]]
    assert model.boxes(lines(), []).shape == (0, 4)


def test_boxes_end_at_half_of_the_ink() -> None:
    drawn = torch.zeros(1, 4, 10)
    drawn[0, 1, 3:7] = torch.tensor([0.2, 0.6, 0.4, 0.19])
    assert ink_boxes(drawn, torch.tensor([100])).tolist() == [[104, 1, 106, 2]]


def test_random_crops_are_pieces_of_their_lines() -> None:
    column = torch.arange(96.0).expand(3, 3, 32, 96)
    texts = ((0,), None, None)
    batch = line_batch(column, column[:, 0], torch.tensor([96, 50, 20]), texts)
    found = random_crops(batch, 40, generator())
    start = found.image[:, 0, 0, 0]
    assert torch.equal(found.image[:, 1, 2], start[:, None] + torch.arange(40.0))
    assert torch.equal(found.mask, found.image[:, 0])
    assert (start + found.widths <= batch.widths).all()
    assert found.widths.tolist() == [40, 40, 20]
    assert start[2] == 0
    assert start.unique().numel() > 1
    wide = random_crops(batch, 120, generator())
    assert wide.image.shape[3] == 120
    assert wide.mask[:, :, 96:].max() == 0


def test_weights_decay_in_the_encoder_and_the_selection_only() -> None:
    model = typewriter()
    decayed, others = model.optimiser().param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (1e-6, 0.0)
    encoding = {
        id(value) for value in [*model.encoder.parameters(), *model.selection.parameters()]
    }
    assert {id(value) for value in decayed["params"]} == encoding
    every = {id(value) for value in model.parameters()}
    assert encoding | {id(value) for value in others["params"]} == every


@pytest.mark.parametrize("change", [
    {}, {"generator": "unet"}, {"sprites_per_character": 2}, {"layer_order": "line"},
    {"centred_windows": True, "shift_bound": "tanh", "normalised_blank": True},
])  # fmt: skip
def test_a_few_steps_make_lines_look_more_like_themselves(change: dict) -> None:
    model = typewriter(replace(SMALL, learning_rate=3e-3, **change), lively=False)
    optimiser, draw, batch = model.optimiser(), generator(), lines(2, width=64)
    totals = []
    for step in range(6):
        losses = model.losses(batch, step / 6, step, draw)
        optimiser.zero_grad()
        losses["total"].backward()
        optimiser.step()
        model.after_step(step)
        totals.append(losses["total"].item())
    assert totals[-1] < totals[0]
    assert all(torch.isfinite(value).all() for value in model.parameters())


def test_the_curriculum_holds_sprites_back() -> None:
    model = typewriter(dti_sprites(SMALL))
    for progress, free in [(0.05, set()), (0.15, {"position"}), (0.25, {"position", "colour"})]:
        model.zero_grad()
        model.losses(lines(), progress, 0, generator())["total"].backward()
        learning = {
            name.split(".")[0]
            for name, value in model.placing.named_parameters()
            if value.grad is not None and value.grad.abs().sum() > 0
        }
        assert learning == free


def test_an_ablation_takes_away_one_thing() -> None:
    names = {"shared": without_shared_latents, "keys": without_key_network,
             "generator": without_generator}  # fmt: skip
    found = {name: set(dict(typewriter(way(SMALL)).named_parameters()))
             for name, way in names.items()}  # fmt: skip
    full = set(dict(typewriter().named_parameters()))
    assert found["shared"] - full == {"selection.codes"}
    assert found["keys"] ^ full == {"selection.keys", "selection.key.weight", "selection.key.bias"}
    assert {name.split(".")[1] for name in full - found["generator"]} == {"layers"}
    assert len({one.model.height for one in PUBLISHED.values()}) == 2


@pytest.mark.parametrize(("change", "words"), [
    ({"height": 40}, "height=40"), ({"sparsity_weight": 0.1}, "without frequency_weight"),
    ({"warm_start_share": 2.0}, "warm_start_share=2.0"), ({"crop": 0.5}, "crop=0.5"),
    ({"ctc_weight": -1.0}, "ctc_weight=-1.0"), ({"encoder_blocks": 0}, "encoder_blocks=0"),
    ({"learning_rate": 0.0}, "learning_rate > 0"), ({"least_frequency": 0.0}, "least_frequency"),
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(change: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PublishedConfig(**change)


def test_lines_of_another_height_are_refused() -> None:
    with pytest.raises(DataError, match="lines 48 pixels high"):
        typewriter().read(lines(height=48))


def test_a_line_of_one_pixel_is_read_and_redrawn() -> None:
    model = typewriter()
    assert model.read(lines(width=1)).n_cells.tolist() == [1, 1]
    assert model.reconstruct(lines(width=1)).shape == (2, 3, 32, 1)
    assert torch.isfinite(model.losses(lines(width=1), 1.0, 0, generator())["total"])


def test_learning_taken_up_again_ends_with_the_same_weights() -> None:
    config = replace(SMALL, generator="pixels", warm_start_steps=2, warm_start_share=1.0)

    def learned(until: int, after: dict[str, Tensor] | None = None) -> PublishedLearner:
        learner = PublishedLearner(typewriter(config, lively=False))
        if after is not None:
            learner.take_up(after)
        for step in range(0 if after is None else 1, until):
            draw = torch.Generator().manual_seed(step)
            learner.step(lines(2, width=64), step, 4, draw)
        return learner

    broken = {name: value.clone() for name, value in learned(1).state().items()}
    whole, resumed = learned(4).state(), learned(4, broken).state()
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)

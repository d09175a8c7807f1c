"""Losses of the published model (Sec. 3.3.3), as functions of what was drawn and read.

Legend: `b` lines, `t` cells, `k` characters and a blank, `H W` line pixels, `m` pixels a window is
wide.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from torch import Tensor

from typika.errors import DataError
from typika.typewriter.alphabet import n_cells_needed
from typika.typewriter.batches import LineBatch, Reading
from typika.typewriter.compose import Windows, coverage

Loss = Float[Tensor, ""]


def reconstruction_loss(drawn: Float[Tensor, "b 3 H W"], batch: LineBatch) -> Loss:
    """Squared error, a mean over what counts of each line and over channels, then over lines."""
    error = (drawn - batch.image).square().mean(dim=1) * batch.mask
    counted = batch.mask.sum(dim=(1, 2)).clamp_min(1)
    return (error.sum(dim=(1, 2)) / counted).mean()


def ctc_loss(reading: Reading, texts: tuple[tuple[int, ...] | None, ...]) -> Loss:
    """−log p(text) / length, a mean over transcribed lines; 0 where there is none.

    A text that does not fit into its line's cells counts as 0: see `infeasible`.
    """
    rows = [row for row, text in enumerate(texts) if text is not None]
    known = [text for text in texts if text is not None]
    _check(known, reading.log_probabilities.shape[2] - 1)
    if not rows:
        return reading.log_probabilities.new_zeros(())
    lengths = torch.tensor([len(text) for text in known])
    targets = torch.tensor([symbol for text in known for symbol in text], dtype=torch.long)
    targets = targets.to(reading.log_probabilities.device)
    found = functional.ctc_loss(
        reading.log_probabilities[rows].transpose(0, 1), targets, reading.n_cells[rows].cpu(),
        lengths, blank=reading.log_probabilities.shape[2] - 1, reduction="none",
        zero_infinity=True,
    )  # fmt: skip
    return (found / lengths.clamp_min(1).to(found.device)).mean()


def _check(texts: list[tuple[int, ...]], n_characters: int) -> None:
    for text in texts:
        unknown = sorted({symbol for symbol in text if not 0 <= symbol < n_characters})
        if unknown:
            raise DataError(
                f"symbols {unknown} of a transcription: there are {n_characters}, from 0; leave "
                "the line without a transcription or train with the whole alphabet"
            )


def infeasible(
    n_cells: Int[Tensor, " b"], texts: tuple[tuple[int, ...] | None, ...]
) -> tuple[int, ...]:
    """Lines whose text needs more cells than there are: one a symbol, one between equal ones."""
    pairs = enumerate(zip(n_cells.tolist(), texts, strict=True))
    return tuple(row for row, (cells, text) in pairs if n_cells_needed(text or ()) > cells)


def overlap_loss(alpha: Float[Tensor, "b t H m"], windows: Windows, width: int) -> Loss:
    """Σ_{t<j} Σ_px α_t α_j = ½ Σ_px ((Σ α)² − Σ α²), a mean over lines."""
    squared = coverage(alpha, windows, width).square()
    return (squared - coverage(alpha.square(), windows, width)).sum(dim=(1, 2)).mean() / 2


def frequency_loss(reading: Reading, least: float) -> Loss:
    """1 − (1/ε) Σ_k min(μ_k, ε / K): how far symbols are from being used at all.

    μ_k: mean probability over cells; K: symbols, the blank with them; ε: `least`.
    """
    usage = _mean_over_cells(reading)
    return 1 - usage.clamp_max(least / len(usage)).sum() / least


def sparsity_loss(reading: Reading) -> Loss:
    """Mean probability of the blank."""
    return _mean_over_cells(reading)[-1]


def _mean_over_cells(reading: Reading) -> Float[Tensor, " k"]:
    """Mean probability of each symbol over the cells that count."""
    cell = torch.arange(reading.log_probabilities.shape[1], device=reading.n_cells.device)
    return reading.log_probabilities[cell < reading.n_cells[:, None]].exp().mean(dim=0)

"""A condition that is no word, as Stable Diffusion reads it: through a learned linear projection.

states(c) = [null prompt; N + Σ_j φ_j(c) A_j]: behind the null prompt's states stand a few that are
learned, N of no condition and A_j what each anchor adds, mixed as in the embedded model. They
start as the null prompt's last states and A at zero: the pretrained network then does what it
does without a prompt, whatever the condition, and all that a condition says has been learned.
Legend: `p` conditions, `k` anchors, `m` learned states of `d` numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn

from typika.diffusion.checkpoints import Conditioning
from typika.errors import ModelError

STATES = 4  # that stand for a condition
# A state's numbers are far larger than a network's weights, which share its learning rate: one
# step of that rate moves a state by as much of ten times its size.
PACE = 10.0


@dataclass(frozen=True)
class Projection:
    """From mixtures of anchors to what the network reads.

    prompt: the null prompt, one text; null, anchors: N and A, in units of PACE times the size of
    the states that they start from.
    """

    prompt: Conditioning
    null: Float[nn.Parameter, "m d"]
    anchors: Float[nn.Parameter, "k m d"]

    @classmethod
    def start(cls, prompt: Conditioning, n_anchors: int) -> Projection:
        """Nothing learned yet."""
        shape = (STATES, prompt.states.shape[2])
        zeros = torch.zeros(shape), torch.zeros(n_anchors, *shape)
        return cls(prompt, *map(nn.Parameter, zeros))

    @classmethod
    def read(cls, path: Path, prompt: Conditioning) -> Projection:
        """What `learned` was, from a file. Raises ModelError where there is none."""
        if not path.is_file():
            raise ModelError(f"{path}: not there; run `typika along` on the images again")
        found = load_file(path)
        null, anchors = (
            nn.Parameter(found[name], requires_grad=False) for name in ("null", "anchors")
        )
        return cls(prompt, null, anchors)

    def __len__(self) -> int:
        return len(self.anchors)

    @property
    def learned(self) -> Mapping[str, nn.Parameter]:
        """Its weights by name."""
        return {"null": self.null, "anchors": self.anchors}

    def to(self, device: torch.device, dtype: torch.dtype) -> Projection:
        """A copy on a device, with weights of its own."""
        null, anchors = (
            nn.Parameter(weight.detach().to(device, dtype, copy=True))
            for weight in (self.null, self.anchors)
        )
        return Projection(self.prompt.to(device, dtype), null, anchors)

    def under(self, shares: Float[Tensor, "p k"]) -> Conditioning:
        """What the network reads under each mixture of anchors; zeros are no condition."""
        prompt = self.prompt.states.expand(len(shares), -1, -1)
        start = self.prompt.states[:, -len(self.null) :]
        unit = PACE * start.square().mean().sqrt()
        learned = self.null + torch.einsum("pk,kmd->pmd", shares, self.anchors)
        states = torch.cat([prompt, start + unit * learned], dim=1)
        pooled = self.prompt.pooled
        return Conditioning(states, None if pooled is None else pooled.expand(len(shares), -1))


@dataclass(frozen=True)
class Projected:
    """Conditions by number, as `Conditioning` holds texts by number.

    shares: of the anchors that each condition is a mixture of.
    """

    projection: Projection
    shares: Float[Tensor, "p k"]

    @property
    def learned(self) -> Mapping[str, nn.Parameter]:
        """The projection."""
        return self.projection.learned

    def to(self, device: torch.device, dtype: torch.dtype) -> Projected:
        """A copy on a device, with weights of its own."""
        return Projected(self.projection.to(device, dtype), self.shares.to(device, dtype))

    def __getitem__(self, index: Int[Tensor, " n"]) -> Conditioning:
        return self.projection.under(self.shares[index])

    def inputs(self, index: Int[Tensor, " n"], height: int, width: int) -> dict[str, Any]:
        """Arguments of the network; see `Conditioning.inputs`."""
        return self[index].inputs(torch.arange(len(index)), height, width)

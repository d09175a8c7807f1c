"""Typical of what, against what: contrasts between contexts, and the classifier that they make.

All from T(x|c) under several contexts c that met the same noise: the null cancels in every
difference. Pure functions. Legend: `k` contexts, `m` parts of a subject, `n` units of a noise
design, `h w` grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from typika.collection.tree import ROOT, LabelTree, name, parent
from typika.errors import DataError
from typika.mining.typicality import TypicalityMap

PARENT = "PARENT"


@dataclass(frozen=True, kw_only=True, eq=False)
class Contrast:
    """T(x | subject vs against) = min over parts of Σ_c part_c T(x|c) − Σ_c reference_c T(x|c).

    subject, against: what a reader knows them by. labels: whose images it is about, by number.
    parts: (m, k) weights of the contexts in each part of the subject. A label is one part. A node
        of a tree has one for each child, and must be typical through every one of them: what is
        typical of a single child is just as much evidence for the node, but is the child's.
    reference: (k,) weights of the contexts in what the subject is held against; zeros for ∅.
    offset: (k,) taken off T(x|c) first; None for zeros.
    above: of a node of a tree the contrast of its parent. Where that is positive, which takes all
        children, the place is the parent's: the parent's own contrast, by the mean of its
        children, is taken off whichever child it is more typical of.
    """

    subject: str
    against: str
    labels: tuple[int, ...]
    parts: Float[ndarray, "m k"]
    reference: Float[ndarray, " k"]
    offset: Float[ndarray, " k"] | None = None
    above: Contrast | None = None
    of_tree: bool = False

    @property
    def contexts(self) -> tuple[int, ...]:
        """The contexts that it needs."""
        used = np.abs(self.parts).sum(axis=0) + np.abs(self.reference)
        own = {int(number) for number in np.flatnonzero(used)}
        return tuple(sorted(own if self.above is None else own | {*self.above.contexts}))

    def among(self, contexts: Sequence[int]) -> Contrast:
        """The same where only these contexts are known, in their order."""
        own = list(contexts)
        return replace(
            self,
            parts=self.parts[:, own],
            reference=self.reference[own],
            offset=None if self.offset is None else self.offset[own],
            above=None if self.above is None else self.above.among(contexts),
        )

    def less(self, offset: Float[ndarray, " k"]) -> Contrast:
        """The same with every context less its offset."""
        above = None if self.above is None else self.above.less(offset)
        return replace(self, offset=offset, above=above)

    def units(self, gains: Float[ndarray, "k n ..."]) -> Float[ndarray, "n ..."]:
        """The contrast of each unit of a design.

        Which part is the least typical, and whether the parent claims a cell, is told from the
        mean over units, so that the mean of this is the contrast of the mean.
        """
        parts = self._weighed(self.parts, gains)
        least = parts.mean(axis=1).argmin(axis=0)
        found: ndarray = np.take_along_axis(parts, least[None, None], axis=0)[0]
        found = found - self._weighed(self.reference[None], gains)[0]
        if self.above is not None:
            claimed = self.above.units(gains).mean(axis=0) > 0
            of_mean = replace(self.above, parts=self.above.parts.mean(axis=0)[None], above=None)
            found = found - np.where(claimed, of_mean.units(gains), 0)
        return found

    def map(self, gains: Float[ndarray, "k n h w"]) -> TypicalityMap:
        """The contrast with its standard error."""
        units = self.units(gains)
        error = units.std(axis=0, ddof=1) / np.sqrt(len(units))
        return TypicalityMap(units.mean(axis=0).astype(np.float32), error.astype(np.float32))

    def _weighed(
        self, weights: Float[ndarray, "m k"], gains: Float[ndarray, "k n ..."]
    ) -> Float[ndarray, "m n ..."]:
        found: ndarray = np.tensordot(weights, gains, axes=1)
        if self.offset is None:
            return found
        return found - (weights @ self.offset).reshape(-1, *[1] * (gains.ndim - 1))


def against_context(
    labels: Sequence[str], context: int, against: str, n_contexts: int
) -> Iterator[Contrast]:
    """Every label but the context itself, held against one context."""
    weights = np.eye(n_contexts)
    for number, label in enumerate(labels):
        if number != context:
            yield Contrast(
                subject=label, against=against, labels=(number,),
                parts=weights[[number]], reference=weights[context],
            )  # fmt: skip


def against_parents(tree: LabelTree, n_contexts: int) -> list[Contrast]:
    """Every node of a tree that has siblings, held against its parent.

    A parent is modelled by its children: its typicality is the mean of theirs.

    Raises:
        DataError: no node has a sibling.
    """

    def weights(node: str) -> ndarray:
        return np.pad(tree.mixture(node), (0, n_contexts - len(tree.labels)))

    found: dict[str, Contrast] = {}
    for node in tree.nodes:  # parents first
        above = parent(node)
        if len(tree.children(above)) == 1:
            continue
        found[node] = Contrast(
            subject=node,
            against="all labels" if above == ROOT else name(above),
            labels=tree.leaves(node),
            parts=np.stack([weights(child) for child in tree.children(node) or (node,)]),
            reference=weights(above),
            above=found.get(above),
            of_tree=True,
        )
    if not found:
        raise DataError("the tree of labels never branches, so that nothing tells a node apart")
    return list(found.values())


# --- the diffusion classifier -------------------------------------------------------------------


def label_probabilities(gains: Float[ndarray, "k ..."], size: int) -> Float[ndarray, "k ..."]:
    """p(c_i|x) = 1 / Σ_j exp{E[L(x, ε, c_i) − L(x, ε, c_j)]}  (thesis, Eqs. 4.6 and 4.7).

    gains: T(x|c) of an image or of each of its cells, a mean over latent values. size: of how
    many values, since L sums them: the channels of a cell, or those of all cells. The null, with
    T = 0, may be one of the contexts: beside a single label it gives Eq. 4.8.
    """
    exponent = gains * size
    share = np.exp(exponent - exponent.max(axis=0))
    probabilities: ndarray = share / share.sum(axis=0)
    return probabilities


def confusion(
    truth: Int[ndarray, " n"], given: Float[ndarray, "n k"], n_labels: int
) -> Float[ndarray, "k k"]:
    """Mean answer to the images of each label: rows are the truth and sum to one, or are nan.

    given: of each image the share that every label got.
    """
    rows = [
        given[truth == number].mean(axis=0)
        if (truth == number).any()
        else np.full(n_labels, np.nan)
        for number in range(n_labels)
    ]
    return np.stack(rows)

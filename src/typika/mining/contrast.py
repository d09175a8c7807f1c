"""Typical of what, against what: contrasts between contexts, and the classifier that they make.

All from T(x|c) under several contexts c that met the same noise: the null cancels in every
difference. Pure functions. Legend: `k` contexts, `m` parts of a subject, `n` units of a noise
design, `h w` grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from typika.collection.tree import ROOT, LabelTree, name, parent
from typika.errors import DataError
from typika.mining.typicality import TypicalityMap

PARENT = "PARENT"


@dataclass(frozen=True, kw_only=True, eq=False)
class Contrast:
    """T(x | subject vs against) = min over parts of Σ_c part_c T(x|c) − Σ_c against_c T(x|c).

    subject, against: what a reader knows them by. labels: whose images it is about, by number.
    parts: (m, k) weights of the contexts in each part of the subject. A label is one part. A node
        of a tree has one for each child, and must be typical through every one of them: what is
        typical of a single child is just as much evidence for the node, but is the child's.
    reference: (k,) weights of the contexts in what the subject is held against; zeros for ∅.
    of_tree: whether the subject is a node of the tree of labels.
    """

    subject: str
    against: str
    labels: tuple[int, ...]
    parts: Float[ndarray, "m k"]
    reference: Float[ndarray, " k"]
    of_tree: bool = False

    @property
    def contexts(self) -> tuple[int, ...]:
        """The contexts that it needs."""
        used = np.abs(self.parts).sum(axis=0) + np.abs(self.reference)
        return tuple(int(number) for number in np.flatnonzero(used))

    def among(self, contexts: Sequence[int]) -> Contrast:
        """The same where only these contexts are known, in their order."""
        own = list(contexts)
        return replace(self, parts=self.parts[:, own], reference=self.reference[own])

    def value(self, gains: Float[ndarray, "k ..."]) -> Float[ndarray, ...]:
        """The contrast of T(x|c) under every context."""
        worst: ndarray = _weighed(self.parts, gains).min(axis=0)
        return worst - _weighed(self.reference[None], gains)[0]

    def map(self, gains: Float[ndarray, "k n h w"]) -> TypicalityMap:
        """The contrast with its standard error, from the units of a design.

        The part that is least typical is told from the mean over units, cell by cell, and its own
        units give the error.
        """
        parts = _weighed(self.parts, gains)
        least = parts.mean(axis=1).argmin(axis=0)
        units = np.take_along_axis(parts, least[None, None], axis=0)[0]
        units = units - _weighed(self.reference[None], gains)[0]
        error = units.std(axis=0, ddof=1) / np.sqrt(len(units))
        return TypicalityMap(units.mean(axis=0).astype(np.float32), error.astype(np.float32))


def _weighed(weights: Float[ndarray, "m k"], gains: Float[ndarray, "k ..."]) -> Any:
    return np.tensordot(weights, gains, axes=1)


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


def against_parents(tree: LabelTree, n_contexts: int) -> Iterator[Contrast]:
    """Every node of a tree that has siblings, held against its parent.

    A parent is modelled by its children: its typicality is the mean of theirs.

    Raises:
        DataError: no node has a sibling.
    """

    def weights(node: str) -> ndarray:
        return np.pad(tree.mixture(node), (0, n_contexts - len(tree.labels)))

    nodes = [node for node in tree.nodes if len(tree.children(parent(node))) > 1]
    if not nodes:
        raise DataError("the tree of labels never branches, so that nothing tells a node apart")
    for node in nodes:
        above = parent(node)
        yield Contrast(
            subject=node,
            against="all labels" if above == ROOT else name(above),
            labels=tree.leaves(node),
            parts=np.stack([weights(child) for child in tree.children(node) or (node,)]),
            reference=weights(above),
            of_tree=True,
        )


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

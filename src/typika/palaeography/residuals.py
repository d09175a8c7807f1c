"""What instances of a letter differ in, once place, darkness and breadth of stroke are taken off.

Instances are shifted over their mean by whole pixels, cut to where the letter is, brought to one
darkness, and what small changes of place, size, slant, blur and breadth of stroke explain of their
differences is projected out (tangent distance, Simard et al. 1993). What is left is described by
few principal components.

Legend: `n` instances of one letter, `h w` pixels of a sprite, `d` components.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from scipy import ndimage

FURTHEST = 2  # pixels, along either axis, that instances are shifted to lie over their mean
ROUNDS = 2  # of shifting
BLUR = 1.0  # pixels
EDGE = 0.15  # of the mean's darkest: fainter is not the letter
SPECK = 0.1  # of the largest piece of the mean: less ink is a neighbour's
MARGIN, FADE = 1.0, 2.0  # pixels around the letter that count, and over which they fade
DARKNESS = (0.4, 2.5)  # bounds of an instance's darkness beside the mean
RARE = 0.08  # share of instances whose ink at a pixel is no more than the others' there

Ink = Float[ndarray, "n h w"]
SHIFTS = [(y, x) for y in range(-FURTHEST, FURTHEST + 1) for x in range(-FURTHEST, FURTHEST + 1)]


def residuals(
    ink: UInt8[ndarray, "n h w"], weight: UInt8[ndarray, "n h w"], n_components: int
) -> Float[ndarray, "n d"]:
    """Principal components of what is left of each instance, of unit variance each.

    ink, weight: as in `Instances`. At most `n_components` of them, and at most a fifth of n.
    """
    letter = darkened(registered(ink, weight))
    low, high = np.quantile(letter, [RARE, 1 - RARE], axis=0)
    letter = np.clip(letter, low, high)  # what few have, as remains of neighbours, is no form
    mean = letter.mean(axis=0)
    away = _halved(letter - mean)
    basis, _ = np.linalg.qr(_halved(nuisances(mean)).T)
    away = away - (away @ basis) @ basis.T
    n = min(n_components, max(len(away) // 5, 1))
    left, strength, _ = np.linalg.svd(away - away.mean(axis=0), full_matrices=False)
    kept = strength[:n] > 1e-6 * max(strength[0], 1e-9)
    return left[:, :n][:, kept] * np.sqrt(len(away))


def registered(ink: UInt8[ndarray, "n h w"], weight: UInt8[ndarray, "n h w"]) -> Ink:
    """Instances, slightly blurred, shifted over their mean; 0 away from the letter."""
    plain = ndimage.gaussian_filter(own_ink(ink, weight), (0, BLUR, BLUR))
    moved, near = plain, nearness(plain.mean(axis=0))
    for _ in range(ROUNDS):
        moved = shifted(plain, moved.mean(axis=0) * near)
        near = nearness(moved.mean(axis=0))
    return moved * near


def own_ink(ink: UInt8[ndarray, "n h w"], weight: UInt8[ndarray, "n h w"]) -> Ink:
    """Ink in [0, 1] where it is known, else 0."""
    return ink.astype(np.float32) * weight / np.float32(255**2)


def prototype(ink: UInt8[ndarray, "n h w"], weight: UInt8[ndarray, "n h w"]) -> ndarray:
    """The mean of instances laid over each other, (h, w) in [0, 1]; 0 away from the letter."""
    plain = own_ink(ink, weight)
    mean = plain.mean(axis=0)
    for _ in range(ROUNDS):
        mean = shifted(plain, mean * nearness(mean)).mean(axis=0)
    return mean * nearness(mean)


def shifted(ink: Ink, template: Float[ndarray, "h w"]) -> Ink:
    """Each instance where it overlaps the template most, of all shifts by whole pixels."""
    at = np.stack([np.roll(template, shift, axis=(0, 1)) for shift in SHIFTS])
    best = (ink.reshape(len(ink), -1) @ at.reshape(len(at), -1).T).argmax(axis=1)
    moved = np.empty_like(ink)
    for number, (down, right) in enumerate(SHIFTS):
        moved[best == number] = np.roll(ink[best == number], (-down, -right), axis=(1, 2))
    return moved


def nearness(mean: Float[ndarray, "h w"]) -> Float[ndarray, "h w"]:
    """1 on the letter and a pixel around it, then fading; small far pieces are a neighbour's."""
    core = mean > EDGE * mean.max()
    pieces, n = ndimage.label(core, np.ones((3, 3)))
    if not n:
        return np.ones_like(mean)
    mass = ndimage.sum_labels(mean, pieces, np.arange(1, n + 1))
    core = np.isin(pieces, 1 + np.flatnonzero(mass > SPECK * mass.max()))
    away = ndimage.distance_transform_edt(~core)
    return np.clip(1 - (away - MARGIN) / FADE, 0, 1)


def darkened(letter: Ink) -> Ink:
    """Instances as dark as their mean, by least squares."""
    mean = letter.mean(axis=0)
    own = (letter * mean).sum(axis=(1, 2)) / max(float((mean * mean).sum()), 1e-9)
    return letter / np.clip(own, *DARKNESS)[:, None, None]


def nuisances(mean: Float[ndarray, "h w"]) -> Float[ndarray, "t h w"]:
    """How a letter changes with darkness, place, size, slant, blur and breadth of stroke."""
    y, x = np.indices(mean.shape) - (np.array(mean.shape) / 2)[:, None, None]
    down, right = np.gradient(mean)
    blur = ndimage.gaussian_laplace(mean, 1.5)
    breadth = ndimage.gaussian_gradient_magnitude(mean, 1.0)
    return np.stack([mean, down, right, y * down, x * right, y * right, x * down, blur, breadth])


def _halved(images: Float[ndarray, "n h w"]) -> Float[ndarray, "n m"]:
    """Means of 2 x 2 pixels, in one row an image."""
    n, height, width = images.shape
    even = images[:, : height // 2 * 2, : width // 2 * 2]
    small = even.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    return small.reshape(n, -1)

"""Figure sheets of a comparison of groups (Figs. 3.7 to 3.9 of the chapter), as PNG and PDF.

Of every pair of groups the differences, what does not pass the test faded, and the graphs of
letters and of documents; σ; the tree; the order in time. Two hues that the colour-blind tell
apart: blue for the first group, vermilion for the second; equal is white.

Legend: `h w` pixels of a sprite.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from typika.files import safe_name, whole_file
from typika.palaeography.comparison_records import (
    Comparison,
    Differences,
    Graphs,
    Seriation,
    Spread,
    Tree,
)
from typika.report.figures import drawable

FIRST, SECOND, NEITHER = (0, 114, 178), (213, 94, 0), (110, 110, 110)  # Okabe and Ito 2008
GROUPS = (FIRST, SECOND, (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (0, 0, 0))
FADED = 0.25  # of its colour, for a pixel that is not significant
MOST_LETTERS, COLUMNS = 48, 6
MOST_GRAPHS = 12
TEXT: dict[str, Any] = {"parse_math": False}
Draw = Callable[[], Any]


def write_comparison_sheets(found: Comparison, folder: Path) -> list[Path]:
    """Write the sheets that there is something for; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in _sheets(found):
        for suffix in ("png", "pdf"):
            path = folder / f"{name}.{suffix}"
            with whole_file(path) as temporary:
                temporary.write_bytes(_drawn(draw, suffix))
            written.append(path)
    return written


def difference_colours(
    difference: Float[ndarray, "*n h w"], significant: Bool[ndarray, "*n h w"]
) -> Float[ndarray, "*n h w 3"]:
    """Colours in [0, 1] of differences in [−1, 1]: white where equal, towards a group's hue."""
    strength = np.abs(difference).clip(0, 1) * np.where(significant, 1.0, FADED)
    hue = np.where(difference[..., None] > 0, SECOND, FIRST) / 255
    return 1 - strength[..., None] * (1 - hue)


def _sheets(found: Comparison) -> Iterator[tuple[str, Draw]]:
    for one, points in zip(found.differences, found.graphs, strict=True):
        pair = safe_name(f"{one.first}-{one.second}")
        yield f"differences-{pair}", partial(_differences, one)
        yield f"letters-{pair}", partial(_letter_graphs, points, one.ranked)
        yield f"documents-{pair}", partial(_document_graphs, points)
    if np.isfinite(found.spread.sigma).any():
        yield "sigma", partial(_sigma, found.spread)
    if found.tree is not None:
        yield "tree", partial(_tree, found.tree)
        yield "map", partial(_map, found.tree)
    if found.seriation is not None:
        yield "seriation", partial(_seriation, found.seriation)


# ---------------------------------------------------------------------------------- differences


def _differences(found: Differences) -> Any:
    """Letters from the best separating: the first group's, the second's, their difference."""
    shown = found.ranked[:MOST_LETTERS]
    columns = max(min(COLUMNS // 2, len(shown)), 1)
    rows = -(-len(shown) // columns)
    figure = _figure(4.4 * columns, 1.45 * rows + 0.9)
    top = 1 - 0.75 / (1.45 * rows + 0.9)
    _legend(figure, found, top)
    for number, k in enumerate(shown):
        row, column = divmod(number, columns)
        pictures = [
            1 - np.repeat(image[..., None], 3, axis=2) for image in found.ink[k].clip(0, 1)
        ]
        pictures.append(difference_colours(found.map[k], found.significant[k]))
        for place, picture in enumerate(pictures):
            left = (column + 0.2 + 0.26 * place) / columns
            below = top * (1 - (row + 0.97) / rows)
            axes = figure.add_axes((left, below, 0.25 / columns, top * 0.92 / rows))
            axes.imshow(picture.clip(0, 1), interpolation="none")
            axes.set_xticks([])
            axes.set_yticks([])
            for edge in axes.spines.values():
                edge.set_color("#cccccc")
        star = " *" if found.differs[k] else ""
        text = (f"{drawable(found.letters[k].name, 5)}{star}\nAUC {found.separation[k, 0]:.2f}\n"
                f"q {found.letter_q[k]:.2g}\nL2 {found.l2_corrected[k, 0]:.1f}")  # fmt: skip
        figure.text((column + 0.02) / columns, top * (1 - (row + 0.5) / rows), text, va="center",
                    fontsize=8, **TEXT)  # fmt: skip
    return figure


def _legend(figure: Any, found: Differences, top: float) -> None:
    """Which hue is which group, above the letters."""
    legend = figure.add_axes((0.02, top, 0.96, 1 - top))
    legend.set_axis_off()
    for x, colour, text in ((0.0, FIRST, f"ink only in {found.first}"),
                            (0.33, SECOND, f"ink only in {found.second}")):  # fmt: skip
        legend.scatter([x + 0.01], [0.62], s=70, marker="s", color=[_shade(colour)])
        legend.text(x + 0.03, 0.62, drawable(text, 50), va="center", fontsize=9, **TEXT)
    legend.text(0.66, 0.62, f"pale: not significant (false discovery rate {found.level:g})",
                va="center", fontsize=9, **TEXT)  # fmt: skip
    legend.text(0.0, 0.2, drawable(f"each letter: {found.first}, {found.second}, difference; "
                f"{found.unit}s compared; * differs as a whole", 120), va="center",
                fontsize=8, color="#444444", **TEXT)  # fmt: skip
    legend.set_xlim(0, 1)
    legend.set_ylim(0, 1)


# --------------------------------------------------------------------------------------- graphs


def _letter_graphs(found: Graphs, ranked: Sequence[int]) -> Any:
    """A point a document, the letters that separate best first."""
    shown = [k for k in ranked if found.points[:, k].any()][:MOST_GRAPHS]
    reach = _reach(found.distance[:, shown])
    figure, cells = _grid(len(shown), found, "a point a document")
    for axes, k in zip(cells, shown, strict=False):
        _diagonal(axes, reach, f"{found.letters[k].name}", found)
        for d in np.flatnonzero(np.isfinite(found.lean[:, k])):
            x, y = found.distance[d, k]
            colour = {-1: FIRST, 0: NEITHER, 1: SECOND}[int(found.side[d])]
            axes.scatter([x], [y], s=16, color=[_shade(colour)], linewidths=1,
                         marker="x" if found.split[d] == "test" else "o")  # fmt: skip
            axes.annotate(drawable(found.documents[d], 14), (x, y), (2, 2), fontsize=4.5,
                          textcoords="offset points", color="#333333", **TEXT)  # fmt: skip
    return figure


def _document_graphs(found: Graphs) -> Any:
    """A point a letter, each document by itself; those that lean the wrong way most first."""
    wrong = (found.points & ~found.right).sum(axis=1) / np.maximum(found.points.sum(axis=1), 1)
    shown = [int(d) for d in np.argsort(-wrong, kind="stable") if found.points[d].any()]
    shown = shown[:MOST_GRAPHS]
    reach = _reach(found.distance[shown])
    figure, cells = _grid(len(shown), found, "a point a letter, darker the more instances")
    most = np.log(max(float(found.count.max()), 2))
    for axes, d in zip(cells, shown, strict=False):
        own = {-1: found.first, 1: found.second}[int(found.side[d])]
        _diagonal(axes, reach, f"{found.documents[d]} ({own})", found)
        for k in np.flatnonzero(np.isfinite(found.lean[d])):
            x, y = found.distance[d, k]
            shade = 0.75 * (1 - np.log(max(int(found.count[d, k]), 1)) / most)
            axes.text(x, y, drawable(found.letters[k].name, 4), fontsize=8, ha="center",
                      va="center", color=(shade,) * 3, clip_on=True, **TEXT)  # fmt: skip
    return figure


def _grid(n: int, found: Graphs, words: str) -> tuple[Any, list[Any]]:
    columns = min(4, max(n, 1))
    rows = -(-max(n, 1) // columns)
    figure = _figure(3.0 * columns, 3.0 * rows + 0.5)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in cells[n:]:
        axes.set_axis_off()
    height = 3.0 * rows + 0.5
    figure.text(0.02, 1 - 0.22 / height,
                drawable(f"{words}; distances (L2) to prototypes made without the document",
                         130), fontsize=9, **TEXT)  # fmt: skip
    _key(figure, ((found.first, FIRST), (found.second, SECOND)), 1 - 0.42 / height)
    figure.subplots_adjust(left=0.06, right=0.98, top=1 - 0.75 / height, bottom=0.5 / height,
                           wspace=0.3, hspace=0.45)  # fmt: skip
    return figure, list(cells)


def _diagonal(axes: Any, reach: float, title: str, found: Graphs) -> None:
    axes.plot([0, reach], [0, reach], color="#999999", linewidth=0.8, zorder=0)
    axes.set_xlim(0, reach)
    axes.set_ylim(0, reach)
    axes.set_aspect("equal")
    axes.tick_params(labelsize=6)
    axes.set_title(drawable(title, 34), fontsize=9, **TEXT)
    axes.set_xlabel(drawable(f"to {found.first}", 30), fontsize=7, labelpad=1, **TEXT)
    axes.set_ylabel(drawable(f"to {found.second}", 30), fontsize=7, labelpad=1, **TEXT)


def _reach(values: Float[ndarray, "*n"]) -> float:
    known = values[np.isfinite(values)]
    return float(np.ceil(known.max() * 1.05)) if len(known) else 1.0


# ------------------------------------------------------------------------------ σ, tree, order


def _sigma(found: Spread) -> Any:
    """σ of each letter and group, with intervals."""
    shown = [k for k in range(len(found.letters)) if np.isfinite(found.sigma[:, k, 0]).any()]
    figure = _figure(max(0.28 * len(shown) + 1.5, 5), 3.4)
    axes = figure.add_axes((0.09, 0.13, 0.89, 0.74))
    for g in range(len(found.groups)):
        value, low, high = found.sigma[g, shown].T
        x = np.arange(len(shown)) + 0.16 * (g - (len(found.groups) - 1) / 2)
        ends = np.nan_to_num(np.maximum([value - low, high - value], 0))
        axes.errorbar(x, value, ends, fmt="o", markersize=3.5, linewidth=1,
                      color=_shade(GROUPS[g % len(GROUPS)]))  # fmt: skip
    axes.set_xticks(range(len(shown)))
    axes.set_xticklabels([drawable(found.letters[k].name, 4) for k in shown], fontsize=9, **TEXT)
    axes.set_ylabel("σ over documents, with 95 % interval", fontsize=8)
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=8)
    _key(figure, [(name, GROUPS[g % len(GROUPS)]) for g, name in enumerate(found.groups)], 0.94)
    return figure


def _tree(found: Tree) -> Any:
    """The dendrogram from left to right, the support of each branch at its join."""
    from scipy.cluster.hierarchy import leaves_list

    leaves = leaves_list(found.linkage).tolist()
    height = 0.24 * len(leaves) + 1.2
    figure = _figure(8, height)
    axes = figure.add_axes((0.05, 0.55 / height, 0.67, 1 - 1.0 / height))
    spots = [(0.0, float(leaves.index(leaf))) for leaf in range(len(leaves))]  # distance, row
    for (one, other, along, _), share in zip(found.linkage, found.support, strict=True):
        (near, below), (far, above) = spots[int(one)], spots[int(other)]
        joint = ([near, along, along, far], [below, below, above, above])
        axes.plot(*joint, color="#444444", linewidth=1)
        spots.append((float(along), (below + above) / 2))
        axes.text(*spots[-1], f" {100 * share:.0f}", fontsize=6, va="center", color="#444444")
    colours = _colours(found.group)
    for place, leaf in enumerate(leaves):
        text = f"{found.documents[leaf]}  {found.group[leaf]}"
        axes.text(-0.01 * found.linkage[-1, 2], place, drawable(text, 44), fontsize=7,
                  va="center", color=_shade(colours[found.group[leaf]]), **TEXT)  # fmt: skip
    axes.invert_xaxis()
    axes.set_yticks([])
    axes.set_xlabel("distance (1 is usual); numbers: % of resamplings with the branch", fontsize=8)
    axes.tick_params(labelsize=7)
    for side in ("left", "top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def _map(found: Tree) -> Any:
    """Documents where their distances put them, on two axes."""
    figure = _figure(6.5, 6)
    axes = figure.add_axes((0.08, 0.08, 0.9, 0.82))
    colours = _colours(found.group)
    for d, (x, y) in enumerate(found.place):
        axes.scatter([x], [y], s=24, color=[_shade(colours[found.group[d]])])
        axes.annotate(drawable(found.documents[d], 24), (x, y), (3, 3), fontsize=6,
                      textcoords="offset points", **TEXT)  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.tick_params(labelsize=7)
    axes.set_title(f"multidimensional scaling, stress {found.stress:.2f}", fontsize=9)
    _key(figure, [(name, colours[name]) for name in sorted(colours) if name], 0.965)
    return figure


def _seriation(found: Seriation) -> Any:
    """Dates against the first axis; the letters that carry it, and how they change along it."""
    figure = _figure(11, 6)
    axes = figure.add_axes((0.06, 0.1, 0.5, 0.78))
    dated = np.flatnonzero(np.isfinite(found.year))
    axes.scatter(found.year[dated], found.axis[dated, 0], s=22, color=[_shade(FIRST)])
    for d in dated:
        axes.annotate(drawable(f"{found.documents[d]} ({found.written[d]})", 34),
                      (found.year[d], found.axis[d, 0]), (3, 3), fontsize=5.5,
                      textcoords="offset points", **TEXT)  # fmt: skip
    rho, low, high = found.spearman[0]
    axes.set_title(f"Spearman {rho:.2f} ({low:.2f} to {high:.2f}), p = {found.p[0]:.2g}; "
                   f"{100 * found.share[0]:.0f} % of the variance", fontsize=9)  # fmt: skip
    axes.set_xlabel("date (middle)", fontsize=8)
    axes.set_ylabel("first axis of the prototypes", fontsize=8)
    axes.tick_params(labelsize=7)
    shown = [k for k in found.ranked if found.carried[k] > 0][:MOST_GRAPHS]
    largest = max((float(np.abs(found.along[k]).max()) for k in shown), default=0.0) or 1.0
    for number, k in enumerate(shown):
        row, column = divmod(number, 4)
        cell = figure.add_axes((0.6 + 0.1 * column, 0.62 - 0.27 * row, 0.09, 0.22))
        image = found.along[k] / largest
        cell.imshow(difference_colours(image, np.ones(image.shape, bool)), interpolation="none")
        cell.set_xticks([])
        cell.set_yticks([])
        cell.set_title(f"{drawable(found.letters[k].name, 4)}  {100 * found.carried[k]:.0f} %",
                       fontsize=8, **TEXT)  # fmt: skip
    figure.text(0.6, 0.94, "what changes along the axis, and each letter's share of it",
                fontsize=9)  # fmt: skip
    _key(figure, (("ink of the low end", FIRST), ("ink of the high end", SECOND)), 0.905, 0.6)
    return figure


# ---------------------------------------------------------------------------------------- parts


def _key(
    figure: Any, names: Sequence[tuple[str, tuple[int, int, int]]], y: float, x: float = 0.02
) -> None:
    width = figure.get_size_inches()[0]
    for name, colour in names:
        text = drawable(name, 40)
        figure.text(x, y, "■", color=_shade(colour), fontsize=9)
        figure.text(x + 0.16 / width, y, text, fontsize=9, **TEXT)
        x += (0.45 + 0.09 * len(text)) / width


def _colours(groups: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    names = sorted(set(groups) - {""})
    return {"": NEITHER, **{name: GROUPS[n % len(GROUPS)] for n, name in enumerate(names)}}


def _shade(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    return colour[0] / 255, colour[1] / 255, colour[2] / 255


def _figure(across: float, down: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(across, down))


def _drawn(draw: Draw, suffix: str) -> bytes:
    import matplotlib as mpl

    buffer = io.BytesIO()
    own: dict[str, Any] = {"metadata": {"CreationDate": None}} if suffix == "pdf" else {}
    # Type 42 embeds the fonts as outlines that editors can edit; the settings hold here alone.
    with mpl.rc_context({"pdf.fonttype": 42, "font.family": "DejaVu Sans"}):
        draw().savefig(buffer, format=suffix, dpi=144, facecolor="white", **own)
    return buffer.getvalue()

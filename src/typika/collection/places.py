"""Where the lines of a collection are on their images, in pixels, as a table that outlives it.

What a page's XML says of a line is kept as it was drawn: its baseline, its outline, the block that
it is in. Where one of the first two is missing, the band that the line was cut out by stands in.

Legend: points are x, y in pixels of the upright image, whole numbers at the corners of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from numpy import ndarray

from typika.collection._cuts import page_scale
from typika.collection._line_records import Cut, Points, TextLine
from typika.collection._straighten import native_frame
from typika.collection.lines import LineCollection

SCHEMA = pa.schema([
    ("line_id", pa.string()),
    ("file_name", pa.string()),
    ("width", pa.int32()),  # of the image
    ("height", pa.int32()),
    ("page_file", pa.string()),  # the XML without its suffix; null where the image is the line
    ("region_name", pa.string()),
    ("region_label", pa.string()),
    ("region_polygon", pa.list_(pa.float64())),  # x, y, x, y ...; null where there is none
    ("baseline", pa.list_(pa.float64())),
    ("polygon", pa.list_(pa.float64())),
])  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one line is.

    size: width and height of the image. page_file: the XML that describes the page, without its
    suffix, relative to the collection; None where the image is the line, which then has neither
    baseline nor polygon nor region.
    """

    line_id: str
    file_name: str
    size: tuple[int, int]
    page_file: str | None = None
    region_name: str = ""
    region_label: str = ""
    region_polygon: Points | None = None
    baseline: Points | None = None
    polygon: Points | None = None


def places_of(collection: LineCollection) -> tuple[Place, ...]:
    """The place of every line, in the collection's order."""
    return tuple(_place(line, collection) for line in collection)


def places_table(places: Sequence[Place]) -> pa.Table:
    """A row a line."""
    rows = [
        {
            "line_id": place.line_id,
            "file_name": place.file_name,
            "width": place.size[0],
            "height": place.size[1],
            "page_file": place.page_file,
            "region_name": place.region_name,
            "region_label": place.region_label,
            **{name: _flat(getattr(place, name))
               for name in ("region_polygon", "baseline", "polygon")},
        }
        for place in places
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, SCHEMA)


def read_places(table: pa.Table) -> tuple[Place, ...]:
    """What `places_table` wrote."""
    return tuple(
        Place(
            line_id=row["line_id"],
            file_name=row["file_name"],
            size=(row["width"], row["height"]),
            page_file=row["page_file"],
            region_name=row["region_name"],
            region_label=row["region_label"],
            **{name: _points(row[name]) for name in ("region_polygon", "baseline", "polygon")},
        )
        for row in table.to_pylist()
    )


def _place(line: TextLine, collection: LineCollection) -> Place:
    source = collection.sources[line.file_name]
    size = source.width, source.height
    if line.drawn is None or line.cut is None:
        return Place(line_id=line.line_id, file_name=line.file_name, size=size)
    scale = page_scale(line.drawn, size)
    # A line whose scale is not known has no cut.
    assert isinstance(scale, tuple), line.line_id
    region = line.drawn.region
    return Place(
        line_id=line.line_id,
        file_name=line.file_name,
        size=size,
        page_file=line.drawn.file,
        region_name=region.name,
        region_label=region.label,
        region_polygon=_on_image(region.polygon, scale, size),
        baseline=_on_image(line.drawn.baseline, scale, size) or line.cut.baseline,
        polygon=_on_image(line.drawn.polygon, scale, size) or band(line.cut, size),
    )


def band(cut: Cut, size: tuple[int, int]) -> Points:
    """The outline of a line's band, kept on the image."""
    frame = native_frame(cut)
    tops = frame.stations + frame.above * frame.ups
    feet = frame.stations - frame.below * frame.ups
    return _kept(np.concatenate([tops, feet[::-1]]), size)


def _on_image(
    points: Points | None, scale: tuple[float, float], size: tuple[int, int]
) -> Points | None:
    return None if points is None else _kept(np.asarray(points) * scale, size)


def _kept(points: Float[ndarray, "n 2"], size: tuple[int, int]) -> Points:
    kept = np.clip(points, 0.0, np.asarray(size, dtype=np.float64))
    return tuple((x, y) for x, y in kept.round(3).tolist())


def _flat(points: Points | None) -> list[float] | None:
    return None if points is None else [value for point in points for value in point]


def _points(values: list[float] | None) -> Points | None:
    return None if values is None else tuple(zip(values[::2], values[1::2], strict=True))

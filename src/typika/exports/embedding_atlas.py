"""Patches as the Parquet that embedding-atlas opens: a place, a picture and a text a row.

embedding-atlas atlas.parquet --x x --y y --image image --text text
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from typika.errors import ConfigError
from typika.exports.patches import OWN, TYPICAL, patches_of


def atlas(table: pa.Table) -> pa.Table:
    """x, y, image, text, box, figures, and the columns of the images.

    table: of patches.parquet. Patches that have no place on the map are left out.

    Raises:
        ConfigError: the run has no map.
    """
    if not {"map_x", "map_y"} <= set(table.column_names):
        raise ConfigError(
            "patches.parquet: no map_x; run `typika cluster` again, it makes the map"
        )
    placed = pc.and_(pc.is_finite(table["map_x"]), pc.is_finite(table["map_y"]))
    kept = table.filter(
        pc.and_(pc.equal(table["selection"], TYPICAL), pc.fill_null(placed, fill_value=False))
    )
    pictures = {"image": kept["thumbnail"]} if "thumbnail" in kept.column_names else {}
    further = [name for name in kept.column_names if name not in OWN]
    taken = ("x", "y", "image", "text")
    return pa.table({
        "x": kept["map_x"],
        "y": kept["map_y"],
        **pictures,
        "text": pa.array([patch.category for patch in patches_of(kept)], pa.string()),
        **{name: kept[name] for name in OWN if name in kept.column_names
           and name not in ("map_x", "map_y", "thumbnail", "selection")},
        **{f"column_{name}" if name in taken else name: kept[name] for name in further},
    })  # fmt: skip

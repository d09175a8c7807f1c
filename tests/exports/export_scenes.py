"""Pages with bent and level lines, and characters laid along them: nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from typika.collection.lines import LineCollection

SIZE = (400, 300)
HEIGHT = 64
TEXTS = ("in prīncipio", "q\u0303 & <b>", "שלום עולם", "😀 end")  # bent, level ...
CURVE = [(40 + 8 * n, 60 + round(6 * np.sin(n / 6))) for n in range(41)]
LEVEL = [(40, 130), (360, 130)]
RISING = [(40, 200), (360, 190)]
LAST = [(60, 270), (300, 270)]
BASELINES = (CURVE, LEVEL, RISING, LAST)


def polygon(baseline) -> list[tuple[float, float]]:
    above = [(x, y - 26) for x, y in baseline]
    return [*above, *[(x, y + 12) for x, y in reversed(baseline)]]


def spelt(points, between: str) -> str:
    return " ".join(f"{round(x)}{between}{round(y)}" for x, y in points)


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def alto_source() -> str:
    lines = "".join(
        f'<TextLine ID="eSc_line_{n}" TAGREFS="L1" BASELINE="{spelt(base, " ")}"><Shape><Polygon '
        f'POINTS="{spelt(polygon(base), " ")}"/></Shape><String CONTENT="{escaped(text)}"/>'
        "</TextLine>"
        for n, (base, text) in enumerate(zip(BASELINES, TEXTS, strict=True))
    )
    first, last = lines.split("</TextLine>", 1)
    return (
        '<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Description><MeasurementUnit>pixel'
        "</MeasurementUnit><sourceImageInformation><fileName>leaf.png</fileName>"
        '</sourceImageInformation></Description><Tags><OtherTag ID="T1" LABEL="MainZone"/>'
        '<OtherTag ID="T2" LABEL="Margin"/><OtherTag ID="L1" LABEL="DefaultLine"/></Tags><Layout>'
        f'<Page WIDTH="{SIZE[0]}" HEIGHT="{SIZE[1]}"><PrintSpace><TextBlock ID="b1" TAGREFS="T2" '
        f'HPOS="30" VPOS="30" WIDTH="340" HEIGHT="50">{first}</TextLine></TextBlock>'
        f'<TextBlock ID="b2" TAGREFS="T1"><Shape><Polygon POINTS="20 90 380 90 380 290 20 290"/>'
        f"</Shape>{last}</TextBlock></PrintSpace></Page></Layout></alto>"
    )


def page_source() -> str:
    lines = "".join(
        f'<TextLine id="tl_{n}"><Coords points="{spelt(polygon(base), ",")}"/>'
        f'<Baseline points="{spelt(base, ",")}"/><TextEquiv><Unicode>{escaped(text)}</Unicode>'
        "</TextEquiv></TextLine>"
        for n, (base, text) in enumerate(zip(BASELINES, TEXTS, strict=True))
    )
    space = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"
    return (
        f'<PcGts xmlns="{space}"><Page imageFilename="leaf.png" imageWidth="{SIZE[0]}" '
        f'imageHeight="{SIZE[1]}"><TextRegion id="r1" type="heading"><Coords '
        f'points="20,20 380,20 380,290 20,290"/>{lines}</TextRegion></Page></PcGts>'
    )


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(3).integers(0, 256, (SIZE[1], SIZE[0]), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def tables(collection: LineCollection) -> tuple[list, list, list]:
    """Rows of lines, readings and characters as a typewriter would leave them."""
    lines: list[dict[str, Any]] = []
    readings: list[dict[str, Any]] = []
    characters: list[dict[str, Any]] = []
    for line in collection:
        lines.append({"line_id": line.line_id, "file_name": line.file_name, **line.columns})
        readings.append({"line_id": line.line_id, "text": line.text, "read": "x", "aligned": True})
        frame = collection.frame(line, HEIGHT)
        text = line.text or "x"
        pitch = frame.width / len(text)
        for place, character in enumerate(text):
            left, right = place * pitch + 1, (place + 1) * pitch - 1
            corners = np.array([[left, 20], [right, 20], [right, 45], [left, 45]])
            characters.append({
                "line_id": line.line_id, "place": place, "character": character, "sprite": 0,
                "cell": place, "confidence": 0.5,
                "page_corners": frame.to_page(corners).ravel().tolist(),
            })  # fmt: skip
    return lines, readings, characters

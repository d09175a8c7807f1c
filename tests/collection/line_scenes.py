"""Lines and pages for the tests, drawn on the spot, and their XML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from PIL import Image, ImageDraw

Points = Sequence[tuple[float, float]]
ALTO_HEAD = '<alto xmlns="http://www.loc.gov/standards/alto/ns-v{version}#">'
PAGE_SPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/{version}"


def write_line(path: Path, text: str | bytes | None = None, size: tuple[int, int] = (90, 30)):
    """A line's image, distinct for each name, and its transcription where there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(path.name.encode())
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    if text is not None:
        stem = path.name.split(".")[0]
        content = text if isinstance(text, bytes) else text.encode()
        path.with_name(f"{stem}.gt.txt").write_bytes(content)
    return path


def write_page(path: Path, size: tuple[int, int] = (400, 300)) -> Image.Image:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    image.save(path)
    return image


def rectangle(left: float, top: float, right: float, bottom: float) -> Points:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def curve(amplitude: float = 15.0, left: float = 40.0, right: float = 360.0) -> np.ndarray:
    """A baseline that swings about y = 150."""
    x = np.linspace(left, right, 60)
    return np.stack([x, 150 + amplitude * np.sin((x - left) / 50)], axis=1)


def alto_line(
    name: str,
    baseline: Points | str | None,
    polygon: Points | None,
    content: str | None = "abc",
    comma: bool = False,
    box: tuple[float, float, float, float] | None = None,
) -> str:
    """One TextLine; `content` may be the elements themselves."""
    mark = "," if comma else " "
    written = {"ID": name} if name else {}
    if baseline is not None:
        spelt = baseline if isinstance(baseline, str) else points(baseline, mark)
        written["BASELINE"] = spelt
    if box is not None:
        written |= dict(zip(("HPOS", "VPOS", "WIDTH", "HEIGHT"), map(str, box), strict=True))
    attributes = " ".join(f"{key}={quoteattr(value)}" for key, value in written.items())
    shape = ""
    if polygon is not None:
        shape = f'<Shape><Polygon POINTS="{points(polygon, mark)}"/></Shape>'
    inside = content or ""
    if content is not None and not content.startswith("<"):
        inside = f"<String CONTENT={quoteattr(content)}/>"
    return f"<TextLine {attributes}>{shape}{inside}</TextLine>"


def points(values: Points, mark: str) -> str:
    return " ".join(f"{x:.2f}{mark}{y:.2f}" for x, y in values)


def alto(
    *lines: str,
    image: str | None = "page.png",
    size: tuple[int, int] | None = (400, 300),
    version: int = 4,
    unit: str = "pixel",
    head: str = '<?xml version="1.0" encoding="UTF-8"?>',
) -> str:
    name = "" if image is None else f"<fileName>{escape(image)}</fileName>"
    sides = "" if size is None else f'WIDTH="{size[0]}" HEIGHT="{size[1]}"'
    return (
        f"{head}{ALTO_HEAD.format(version=version)}<Description>"
        f"<MeasurementUnit>{unit}</MeasurementUnit>"
        f"<sourceImageInformation>{name}</sourceImageInformation></Description>"
        '<Tags><OtherTag ID="T1" LABEL="MainZone"/><OtherTag ID="T2" LABEL="Margin"/></Tags>'
        f"<Layout><Page {sides}><PrintSpace><ComposedBlock><TextBlock TAGREFS='T1'>"
        f"{''.join(lines)}</TextBlock></ComposedBlock></PrintSpace></Page></Layout></alto>"
    )


def page_line(name: str, baseline: Points | None, polygon: Points | None, inside: str = "") -> str:
    coords = "" if polygon is None else f'<Coords points="{points(polygon, ",")}"/>'
    base = "" if baseline is None else f'<Baseline points="{points(baseline, ",")}"/>'
    return f'<TextLine id="{name}">{coords}{base}{inside}</TextLine>'


def equiv(text: str, index: int | None = None) -> str:
    number = "" if index is None else f' index="{index}"'
    return f"<TextEquiv{number}><Unicode>{escape(text)}</Unicode></TextEquiv>"


def page_xml(
    *lines: str,
    image: str = "page.png",
    size: tuple[int, int] = (400, 300),
    version: str = "2019-07-15",
) -> str:
    return (
        f'<PcGts xmlns="{PAGE_SPACE.format(version=version)}"><Metadata><TranskribusMetadata/>'
        f'</Metadata><Page imageFilename="{image}" imageWidth="{size[0]}" '
        f'imageHeight="{size[1]}"><TextRegion id="r" custom="structure {{type:heading;}}">'
        f"{''.join(lines)}</TextRegion></Page></PcGts>"
    )


def draw_curve(path: Path, baseline: np.ndarray, size: tuple[int, int] = (400, 300)) -> None:
    """A white page with a thin black stroke along the baseline, and nothing else."""
    image = Image.new("L", (size[0] * 4, size[1] * 4), 255)
    stroke = [tuple(point) for point in (baseline * 4).tolist()]
    ImageDraw.Draw(image).line(stroke, fill=0, width=12, joint="curve")
    image.resize(size, Image.Resampling.BOX).convert("RGB").save(path)

"""The readers under test: valid files to spoil, and what reads them."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from benchmarks import _mutations as mutations
from typika.errors import DataError
from typika.run import Run

Prepare = Callable[[Path], None]
SIZE = (60, 40)  # width and height of every picture here


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What is spoiled and who reads it.

    file: where the spoiled content goes. read: says how many records there are; refuses by
    TypikaError. prepare: writes what else has to be there.
    """

    name: str
    file: str
    seeds: Sequence[bytes]
    mutators: Sequence[mutations.Mutator]
    read: Callable[[Path], int]
    prepare: Prepare = field(default=lambda _: None)


@lru_cache(maxsize=64)
def picture(number: int, kind: str = "PNG", mode: str = "RGB", **options: object) -> bytes:
    """A small picture."""
    rng = np.random.default_rng(number)
    values = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    image = Image.fromarray(values)
    if mode == "I;16":
        image = Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    elif mode != "RGB":
        image = image.convert(mode)
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def frames() -> bytes:
    """A small animation."""
    sink = io.BytesIO()
    Image.new("P", SIZE, 3).save(sink, "GIF", save_all=True, append_images=[Image.new("P", SIZE)])
    return sink.getvalue()


def images(folder: Path) -> None:
    """Four pictures, two in each of two folders."""
    for number in range(4):
        path = folder / ("one", "two")[number // 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))


def page_image(folder: Path) -> None:
    (folder / "page.png").write_bytes(picture(9))


def line_images(folder: Path) -> None:
    (folder / "images").mkdir(exist_ok=True)
    for name in "ab":
        (folder / "images" / f"{name}.png").write_bytes(picture(ord(name)))


# ----------------------------------------------------------------------------------- valid files

EXIF = Image.Exif()
EXIF[0x0112] = 6
PICTURES = [
    picture(0), picture(1, mode="P"), picture(2, mode="I;16"), picture(3, mode="RGBA"),
    picture(4, mode="1"), picture(5, "JPEG", exif=EXIF.tobytes(), dpi=(72, 72)),
    picture(6, "JPEG", progressive=True), picture(7, "JPEG", mode="CMYK"),
    picture(8, "GIF", mode="P"),
    frames(),
    picture(9, "TIFF"), picture(10, "TIFF", compression="tiff_lzw"),
    picture(11, "TIFF", mode="I;16"), picture(12, "TIFF", compression="jpeg"), picture(13, "BMP"),
    picture(14, "WEBP"), picture(15, "WEBP", mode="RGBA", lossless=True),
    picture(16, "AVIF", quality=40), picture(17, "PNG", dpi=(300, 300), exif=EXIF.tobytes()),
]  # fmt: skip
MASKS = [picture(0, mode=mode) for mode in ("1", "L", "P", "I;16")]
TABLE = (b"file_name,label,year,group\none/0.png,a,1890,x\none/1.png,a,1891.5,\n"
         b'two/2.png,"b, c",,y\n3.png,b,1900,"z\nz"\n')  # fmt: skip
LINES_OF_JSON = b"\n".join(
    json.dumps({"file_name": name, "label": label, "year": 1890 + number, "extra": extra}).encode()
    for number, (name, label, extra) in enumerate(
        [("one/0.png", "a", None), ("one/1.png", "a", [1.5, 2]), ("two/2.png", "b", {"k": "v"}),
         ("two/3.png", "b", "text")]
    )
)  # fmt: skip
ALTO = b"""<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Description>
<MeasurementUnit>pixel</MeasurementUnit><sourceImageInformation><fileName>page.png</fileName>
</sourceImageInformation></Description><Tags><OtherTag ID="t" LABEL="main"/></Tags><Layout>
<Page WIDTH="60" HEIGHT="40"><PrintSpace><TextBlock ID="b" TAGREFS="t"><Shape>
<Polygon POINTS="0,0 60,0 60,40 0,40"/></Shape>
<TextLine ID="one" BASELINE="4,20 56,22" HPOS="4" VPOS="8" WIDTH="50" HEIGHT="18"><Shape>
<Polygon POINTS="4,8 56,8 56,26 4,26"/></Shape><String CONTENT="a"/><SP/><String CONTENT="b"/>
</TextLine><TextLine ID="two" BASELINE="30" HPOS="4" VPOS="20" WIDTH="50" HEIGHT="18">
<String CONTENT="c"/></TextLine></TextBlock></PrintSpace></Page></Layout></alto>"""
PAGE = b"""<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15">
<Page imageFilename="page.png" imageWidth="60" imageHeight="40">
<TextRegion id="r" custom="structure {type:main;}"><Coords points="0,0 60,0 60,40 0,40"/>
<TextLine id="one"><Coords points="4,8 56,8 56,26 4,26"/><Baseline points="4,20 56,22"/>
<TextEquiv index="1"><Unicode>x</Unicode></TextEquiv><TextEquiv index="0"><Unicode>ab</Unicode>
</TextEquiv></TextLine><TextLine id="two"><Coords><Point x="4" y="20"/><Point x="56" y="20"/>
<Point x="56" y="38"/><Point x="4" y="38"/></Coords><Word id="w"><TextEquiv><Unicode>c</Unicode>
</TextEquiv></Word></TextLine></TextRegion></Page></PcGts>"""
ANNOTATION = json.dumps({
    "a.png": {"split": "train", "label": "ab c", "script": "x", "page": 3},
    "b": {"label": None, "split": "val", "more": {"k": 1}},
}).encode()  # fmt: skip
VOC = b"""<annotation><filename>0.png</filename><size><width>60</width><height>40</height>
<depth>3</depth></size><object><name>a</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>20</xmax>
<ymax>30.5</ymax></bndbox></object><object><name>b</name><bndbox><xmin>1</xmin><ymin>1</ymin>
<xmax>60</xmax><ymax>40</ymax></bndbox></object></annotation>"""
COCO = json.dumps({
    "images": [{"id": 1, "file_name": "one/0.png", "width": 60, "height": 40}],
    "categories": [{"id": 1, "name": "a"}, {"id": "k", "name": "b"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30.5, 20]},
                    {"id": 2, "image_id": 1, "category_id": "k", "bbox": [0, 0, 9, 9]}],
}).encode()  # fmt: skip
BOXES = [b"file_name,label,x,y,width,height\none/0.png,a,1,2,30,20\n1.png,,0,0,5.5,5\n",
         b"image_id,left,top,right,bottom\none/0.png,1,2,30,20\n"]  # fmt: skip
CLASSES = b'number,name\n0,sky\n7,road\n21,"tree, bush"\n'
RECIPE = b"""seed = 3
[collection]
label = "year"
bin = "decade"
split_lists = ["test=test.txt"]
[model]
kind = "embedded"
width = 64
[score]
n_draws = 16
[report]
max_megabytes = 12.5
sheets = false
"""
TYPEWRITER = b"""seed = 3
[model]
height = 48
[training]
steps = 6
batch = 4
held_out = 0.0
"""
REPLACEMENTS = (b"char,replacement,regex,allow\nu,v,,\n#r#(a)b,\\1,,\n\xc5\xbf,s,false,\n"
                b"x+,y,true,\n\xe2\x81\x8a,et,,true\n")  # fmt: skip


IIIF_3 = json.dumps({
    "@context": "http://iiif.io/api/presentation/3/context.json", "type": "Manifest",
    "id": "https://museum.org/m/1", "label": {"en": ["A book"], "de": ["Ein Buch"]},
    "metadata": [{"label": {"en": ["Date"]}, "value": {"none": ["<b>1450</b>", "1451"]}}],
    "items": [
        {"id": f"https://museum.org/c/{n}", "type": "Canvas", "width": 600, "height": 400,
         "label": {"none": [f"fol. {n}"]},
         "metadata": [{"label": {"en": ["label"]}, "value": {"en": ["ab"[n // 2]]}}],
         "items": [{"type": "AnnotationPage", "items": [{
             "type": "Annotation", "motivation": "painting", "target": "x",
             "body": {"id": f"https://museum.org/i/{n}/full/max/0/default.jpg", "type": "Image",
                      "service": [{"id": f"https://museum.org/i/{n}", "type": "ImageService3"}]},
         }]}]}
        for n in range(4)
    ],
}).encode()  # fmt: skip
IIIF_2 = json.dumps({
    "@context": "http://iiif.io/api/presentation/2/context.json", "@type": "sc:Manifest",
    "@id": "https://museum.org/m/2", "label": "A book", "license": "https://cc.org/0",
    "metadata": [{"label": "label", "value": [{"@value": "a", "@language": "en"}, "b"]},
                 {"label": [{"@value": "Place"}], "value": "Ghent"}],
    "sequences": [{"canvases": [
        {"@id": f"https://museum.org/c/{n}", "@type": "sc:Canvas", "label": f"{n}r", "width": 60,
         "height": 40, "images": [{"motivation": "sc:painting", "resource": {
             "@id": f"https://museum.org/scans/{n}.png", "@type": "dctypes:Image",
             "service": {"@id": f"https://museum.org/i/x{n}", "profile": "level1"}}}]}
        for n in range(4)
    ]}],
}).encode()  # fmt: skip
IIIF_COLLECTION = json.dumps({
    "@context": "http://iiif.io/api/presentation/3/context.json", "type": "Collection",
    "id": "https://museum.org/all",
    "items": [{"id": "https://museum.org/m/1.json", "type": "Manifest"}],
}).encode()  # fmt: skip


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _metadata_table() -> pa.Table:
    return pa.table({
        "file_name": ["one/0.png", "one/1.png", "two/2.png", "two/3.png"],
        "label": pa.array(["a", "a", "b", "b"]).dictionary_encode(),
        "year": [1890.0, None, 1900.0, 1901.0], "sound": [[1.0], [2.0], None, [4.0]],
    })  # fmt: skip


def _stored_table() -> pa.Table:
    info = {"info": {"features": {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}}}
    table = pa.table({
        "image": [{"bytes": picture(n), "path": f"{n}.png"} for n in range(4)],
        "label": pa.array([0, 0, 1, 1], pa.int64()),
        "note": ["x", "y", None, ""],
    })  # fmt: skip
    return table.replace_schema_metadata({b"huggingface": json.dumps(info).encode()})


def _patches() -> pa.Table:
    rows = [
        {"image_id": f"{n:016x}", "file_name": f"one/{n}.png", "label": "ab"[n % 2],
         "selection": "typical", "rank": n, "left": 1, "top": 2, "right": 20, "bottom": 30,
         "typicality": 0.5, "cluster": n - 1, "map_x": 0.1, "map_y": 0.2,
         "thumbnail": {"bytes": b"jpeg", "path": "x.jpg"}, "width": 60, "height": 40,
         "year": "1900"}
        for n in range(3)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


# --------------------------------------------------------------------------------------- readers


def _in_full(folder: Path) -> bool:
    """Whether an input goes the whole way, pictures and all: one in eight, by its content."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    return zlib.crc32(b"".join(path.read_bytes() for path in paths)) % 8 == 0


def _open_images(folder: Path, split_lists: tuple[str, ...] = (), label: str | None = None) -> int:
    """A collection: its names, labels and columns; in full also saved, restored and decoded."""
    from typika.collection._dialect import Dialect
    from typika.collection._tables import find_layout, read_listing
    from typika.collection.images import ImageCollection

    dialect = Dialect(split_lists=split_lists, label=label)
    if not _in_full(folder):
        return read_listing(find_layout(folder, None, dialect), dialect, None).table.num_rows
    options = {"split_lists": split_lists, "label": label}
    found = ImageCollection.open(folder, workers=1, **options)
    found.save(folder / "saved")
    again = ImageCollection.restore(folder / "saved", folder)
    assert len(found.labels) >= 1
    assert again.digest == found.digest
    found.load(0)
    return len(found)


def _look(folder: Path) -> int:
    from typika.collection._decode import SMALLEST_SIDE, decode, header, look

    path = folder / "x.png"
    header(path)
    found = look(path)
    assert decode(path).size == (found.width, found.height)
    return int(min(found.width, found.height) >= SMALLEST_SIDE)


def _mask(folder: Path) -> int:
    from typika.collection._masks import read_mask, read_numbers

    found = read_mask(folder / "x.png", SIZE, (20, 30))
    assert found.shape == (20, 30)
    return int(read_numbers(folder / "x.png", SIZE).size > 0)


def _lines(folder: Path) -> int:
    from typika.collection.lines import LineCollection
    from typika.collection.places import places_of, places_table
    from typika.typewriter.stages import _collect

    if not _in_full(folder):
        return _lines_unseen(folder)
    found = LineCollection.open(folder, workers=1)
    assert places_table(places_of(found)).num_rows == len(found)
    assert found.digest
    # What a typewriter's first stage writes of its lines.
    _collect(Run(folder, {}), found, 16)
    for line in found.lines[:3]:
        assert found.load(line, 16).pixels.shape[0] == 16
    return len(found)


def _lines_unseen(folder: Path) -> int:
    """The lines of a folder, as `read_lines` finds them, without a look at their images."""
    from typika.collection import _line_scan as scan
    from typika.collection._files import walk
    from typika.collection._transcription import Spelling

    harvest = scan._gather(folder, walk(folder, others=(".txt", ".xml", ".json")), None)
    looked = {line.file_name: scan.Source("0", *SIZE) for line in harvest}
    candidates, cuts = scan._measure(scan._unique(harvest), looked, harvest)
    scan._columns(candidates, scan.find_metadata(folder))
    scan._spell(candidates, Spelling(), harvest)
    if not (found := sum(not isinstance(cut, scan.Unusable) for cut in cuts)):
        raise DataError("no usable line")
    return found


def _replaced(folder: Path) -> int:
    from typika.collection._transcription import Spelling

    spelling = Spelling.choose("NFC", folder / "table.csv")
    assert isinstance(spelling.spell("auf abxx"), str)
    return 1


def _regions(name: str) -> Callable[[Path], int]:
    def read(folder: Path) -> int:
        from typika.collection.regions import Regions

        found = Regions.read(folder / name)
        own = found.among([["one/0.png"], ["1.png"]])
        for image in own.names:
            for label in (*own.labels, "a"):
                own.has((image,), label)
        return len(found.names)

    return read


def _classes(folder: Path) -> int:
    from typika.collection.class_masks import _read_classes, places_among

    found = _read_classes(folder / "classes.csv")
    places_among(np.array([[0, 7]]), sorted(found))
    return len(found)


def _recipe(folder: Path) -> int:
    """A recipe of `typika mine`, read, written and read again."""
    from typika import config
    from typika.workflow import MineConfig, configure

    found = config.read_toml(folder / "x.toml")
    built = configure(found)
    config.digest(built)
    (folder / "y.toml").write_text(config.as_toml(built), encoding="utf-8")
    assert config.build(MineConfig, config.read_toml(folder / "y.toml")) == built
    return 1


def _typewriter(folder: Path) -> int:
    """A recipe of `typika typewriter fit`."""
    from typika import config
    from typika.typewriting import configure

    built = configure(config.read_toml(folder / "x.toml"))
    config.digest(built)
    config.as_toml(built).encode()
    return 1


def _settings(folder: Path) -> int:
    """Lines NAME=TEXT, as --set and the environment have them."""
    from typika import config
    from typika.workflow import MineConfig

    text = (folder / "x.txt").read_bytes().decode("utf-8", "surrogateescape")
    pairs = dict(config.parse_setting(line) for line in text.split("\n") if line)
    built = config.build(MineConfig, config.from_settings(pairs))
    config.digest(built)
    config.as_toml(built).encode()
    return len(pairs)


def _run(folder: Path) -> int:
    from typika.run import Run, adopt

    run = Run.read(folder)
    run.finished("collect")
    run.seconds()
    with Run.reopen(folder):
        pass
    adopt(folder, folder / "new", ["collect"])
    return len(run.manifest["stages"])


def _run_files(folder: Path) -> None:
    (folder / "run.json").write_text(
        json.dumps({"source": ".", "stages": {}, "config": {}}), encoding="utf-8"
    )
    images(folder)


def _export(folder: Path) -> int:
    from typika.exporting_patches import FORMATS, export_patches

    for format in FORMATS:
        export_patches(folder, format)
    return 1


def _iiif(folder: Path) -> int:
    """Manifests in a folder."""
    return _open_images(folder, label="canvas_label")


def _iiif_files(folder: Path) -> None:
    images(folder)
    (folder / "1.json").write_bytes(IIIF_3)


def _restore(folder: Path) -> int:
    from typika.collection.images import ImageCollection

    found = ImageCollection.restore(folder, folder)
    assert found.digest
    return len(found)


def _saved(folder: Path) -> None:
    from typika.collection.images import ImageCollection

    images(folder / "photos")
    ImageCollection.open(folder / "photos", workers=1).save(folder)


def saved_collection() -> bytes:
    """A collection.parquet."""
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        _saved(Path(place))
        return (Path(place) / "collection.parquet").read_bytes()


def _splits(folder: Path) -> int:
    return _open_images(folder, split_lists=("test=list.txt",))


BYTES, TOKENS = mutations.damaged, mutations.spoiled
_XML = (BYTES, TOKENS, mutations.xml_mutant)
_JSON = (BYTES, TOKENS, mutations.json_mutant, mutations.json_mutant)
_CSV = (BYTES, TOKENS, mutations.csv_mutant)
_PARQUET = (mutations.parquet_mutant,)
_PNG = (BYTES, mutations.wide_numbers, mutations.png_mutant)
_TOML = (BYTES, TOKENS, mutations.toml_mutant, mutations.toml_mutant)
RUN = json.dumps({
    "typika": "0.1.0", "source": "../x", "config": {"seed": 1, "score": {"n": 2}},
    "stages": {"collect": {"digest": "a", "outputs": {"collection.parquet": "b"}, "seconds": 1.5,
                           "finished": "now"}},
}).encode()  # fmt: skip


def readers() -> list[Reader]:
    """All of them."""
    return [
        Reader(name="images", file="x.png", seeds=PICTURES, mutators=_PNG, read=_look),
        Reader(name="masks", file="x.png", seeds=MASKS, mutators=_PNG, read=_mask),
        Reader(name="metadata.csv", file="metadata.csv", seeds=[TABLE], mutators=_CSV,
               read=_open_images, prepare=images),
        Reader(name="metadata.jsonl", file="metadata.jsonl", seeds=[LINES_OF_JSON],
               mutators=(BYTES, TOKENS, mutations.jsonl_mutant), read=_open_images,
               prepare=images),
        Reader(name="metadata.parquet", file="metadata.parquet",
               seeds=[parquet(_metadata_table())], mutators=_PARQUET, read=_open_images,
               prepare=images),
        Reader(name="Parquet with images", file="x.parquet", seeds=[parquet(_stored_table())],
               mutators=_PARQUET, read=_open_images),
        Reader(name="split lists", file="list.txt", seeds=[b"one/0.png\ntwo/2.png\n"],
               mutators=(BYTES, TOKENS), read=_splits, prepare=images),
        Reader(name="IIIF manifests", file="manifest.json", seeds=[IIIF_3, IIIF_2],
               mutators=_JSON, read=_iiif, prepare=images),
        Reader(name="IIIF collections", file="collection.json", seeds=[IIIF_COLLECTION],
               mutators=_JSON, read=_iiif, prepare=_iiif_files),
        Reader(name="ALTO", file="page.xml", seeds=[ALTO], mutators=_XML, read=_lines,
               prepare=page_image),
        Reader(name="PAGE", file="page.xml", seeds=[PAGE], mutators=_XML, read=_lines,
               prepare=page_image),
        Reader(name="annotation.json", file="annotation.json", seeds=[ANNOTATION],
               mutators=_JSON, read=_lines, prepare=line_images),
        Reader(name=".gt.txt", file="images/a.gt.txt", seeds=["ab ſc\n".encode()],
               mutators=(BYTES, TOKENS), read=_lines, prepare=line_images),
        Reader(name="metadata of lines", file="metadata.csv",
               seeds=[b"file_name,script,year\nimages/a.png,x,1400\nb,y,\n"], mutators=_CSV,
               read=_lines, prepare=line_images),
        Reader(name="replacements", file="table.csv", seeds=[REPLACEMENTS], mutators=_CSV,
               read=_replaced),
        Reader(name="VOC", file="x.xml", seeds=[VOC], mutators=_XML, read=_regions("x.xml")),
        Reader(name="COCO", file="x.json", seeds=[COCO], mutators=_JSON, read=_regions("x.json")),
        Reader(name="boxes.csv", file="x.csv", seeds=BOXES, mutators=_CSV,
               read=_regions("x.csv")),
        Reader(name="classes.csv", file="classes.csv", seeds=[CLASSES], mutators=_CSV,
               read=_classes),
        Reader(name="TOML recipes", file="x.toml", seeds=[RECIPE], mutators=_TOML, read=_recipe),
        Reader(name="typewriter recipes", file="x.toml", seeds=[TYPEWRITER], mutators=_TOML,
               read=_typewriter),
        Reader(name="settings", file="x.txt",
               seeds=[b"score.n_draws=16\ncollection.bin=decade\nmodel.width=32\nseed=1"],
               mutators=(BYTES, TOKENS, mutations.toml_mutant), read=_settings),
        Reader(name="run.json", file="run.json", seeds=[RUN], mutators=_JSON, read=_run),
        Reader(name="patches.parquet", file="patches.parquet", seeds=[parquet(_patches())],
               mutators=_PARQUET, read=_export, prepare=_run_files),
        Reader(name="collection.parquet", file="collection.parquet", seeds=[saved_collection()],
               mutators=_PARQUET, read=_restore, prepare=_saved),
    ]  # fmt: skip

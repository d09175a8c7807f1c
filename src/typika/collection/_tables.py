"""What the user brings -> one table of candidates: folders, a table, Parquet or IIIF manifests.

Nothing is decoded here. The four readers each make a `_Source`, and `read_listing` makes of any
of them the same `Listing`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from typika.collection._dialect import TABLE_SUFFIXES, Dialect
from typika.collection._elsewhere import listed, spelled_out, url_of
from typika.collection._files import Skipped, Tree, stats, tree_of, walk
from typika.collection._finder import Finder, read_split_lists, tidy
from typika.collection._iiif import COLUMNS as IIIF_COLUMNS
from typika.collection._iiif import (
    ImageFinder,
    canvases_table,
    is_manifest,
    manifest_files,
    manifests_in,
    read_canvases,
)
from typika.collection._labels import (
    EVERYTHING,
    UNLABELLED,
    Bin,
    choose_label,
    label_strings,
    separate_labels,
)
from typika.collection._shards import samples
from typika.collection._stored import SHARD, class_names, image_column
from typika.collection._table_files import json_column, own_names, read_table
from typika.errors import ConfigError, DataError
from typika.tables import open_parquet, parquet_table

PATH_COLUMNS = ("file_name", "filename", "file", "path", "image")  # the first present counts
STORED_FILE, STORED_ROW = "source_file", "source_row"  # where an image's bytes are, in Parquet
OWN_COLUMNS = (
    *("image_id", "file_name", "label", "width", "height", "group", "duplicate", "split"),
    *(STORED_FILE, STORED_ROW),
)
# What the Hugging Face hub takes for a split, too.
SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing",
                    "eval", "evaluation"})  # fmt: skip
LAYOUTS = """expected one of
  FOLDER/<label>/<image>, also FOLDER/train/<label>/<image>
  FOLDER/metadata.csv (or .jsonl, .parquet) with a file_name column, beside the images
  a Parquet file, or a folder of them, with an image column
  a .tar file, a folder of them, or shard-{000..012}.tar, as WebDataset writes them
  a IIIF manifest, or a folder of them, with the images beside it (typika fetch gets them)"""
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_SPLIT_IN_NAME = re.compile(rf"(?:^|[^a-z])({'|'.join(sorted(SPLITS))})(?:[^a-z]|$)")


@dataclass(frozen=True)
class Listing:
    """The candidates for a collection, before any image is opened.

    `table` has the string columns file_name, label, group and split, the user's columns, and
    last, if images are `stored` in Parquet files, source_file and source_row.
    """

    root: Path
    table: pa.Table
    skipped: list[Skipped]
    notes: list[str]
    stored: bool


@dataclass(frozen=True)
class Layout:
    """Where things are: the kind of collection, its root and its tables."""

    kind: str  # "folders", "metadata", "stored", "shards" or "iiif"
    root: Path  # what file names are relative to
    tables: tuple[tuple[str, Path], ...]  # (split folder or "", path)
    tree: Tree
    lists: tuple[tuple[str, Path], ...] = ()  # (split, text file that names its images)
    stamps: tuple[str, ...] = ()  # of files elsewhere: what tells one version from another

    def fingerprint(self) -> Iterable[str]:
        """Yield a line for every file that would be read."""
        yield self.kind
        if self.stamps:
            yield from self.stamps
            return
        if self.kind == "shards":
            yield from stats(self.root, self.tree.others)
            return
        for split, path in (*self.tables, *self.lists):
            for line in stats(path.parent, [path.name]):
                yield f"{split}\0{line}"
        if self.kind != "stored":
            yield from stats(self.root, self.tree.images)


@dataclass(frozen=True)
class _Source:
    """The rows of any layout: names, the user's columns, and what the layout itself tells."""

    file_name: pa.Array
    columns: pa.Table  # the user's
    skipped: list[Skipped]
    serving: frozenset[str] = frozenset()  # columns that hold the images or their paths
    label: pa.Array | None = None  # from class folders
    split: pa.Array | None = None  # from split folders or file names
    stored: pa.Table | None = None  # source_file, source_row

    def take(self, rows: pa.Array) -> _Source:
        """Return the source with its rows in the places that `rows` says, some maybe twice."""
        return replace(
            self,
            file_name=self.file_name.take(rows),
            columns=self.columns.take(rows),
            label=None if self.label is None else self.label.take(rows),
            split=None if self.split is None else self.split.take(rows),
            stored=None if self.stored is None else self.stored.take(rows),
        )


def find_layout(path: Path, images: Path | None = None, dialect: Dialect | None = None) -> Layout:
    """Tell class folders, metadata tables and Parquet collections apart.

    Raises:
        DataError: `path` does not exist or holds none of them.
        ConfigError: `images` is given where no table refers to it, or the dialect speaks of what
            is not there.
    """
    dialect = dialect or Dialect()
    if (url := url_of(path)) is not None:
        layout = _layout_elsewhere(path, url, dialect)
        _require_fit(path, layout.kind, dialect)
        return layout
    if path.suffix == SHARD:
        return _layout_of_shards(path, dialect)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if images is not None and not images.is_dir():
        raise DataError(f"{images}: no such folder of images")
    find = _layout_of_folder if path.is_dir() else _layout_of_file
    layout = find(path, images, dialect)
    if images is not None and layout.kind not in ("metadata", "iiif"):
        raise ConfigError(f"images={images}: {path} is not a metadata table that names files")
    _require_fit(path, layout.kind, dialect)
    return replace(layout, lists=dialect.lists(path if path.is_dir() else path.parent))


def _require_fit(path: Path, kind: str, dialect: Dialect) -> None:
    """Raise ConfigError where the dialect speaks of what this kind of collection has not."""
    if kind != "metadata" and dialect.file is not None:
        raise ConfigError(
            f"file {dialect.file!r}: {path} has no metadata table that names files; leave it out"
        )
    if kind == "folders" and dialect.group is not None:
        raise ConfigError(
            f"group {dialect.group!r}: {path} has class folders and no metadata table; leave it "
            f"out, or add a metadata.csv with file_name, label and {dialect.group}"
        )
    if kind in ("stored", "shards") and dialect.split_lists:
        raise ConfigError(
            f"split_lists {', '.join(dialect.split_lists)}: {path} holds images inside Parquet or "
            "tar files, which no list can name; give them a split column"
        )


def _layout_of_file(path: Path, images: Path | None, dialect: Dialect) -> Layout:
    if dialect.table is not None:
        raise ConfigError(f"table {dialect.table!r}: {path} is itself a table; leave it out")
    if path.suffix.lower() == ".json" and is_manifest(path):
        return _layout_of_manifests([path], images or path.parent)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(
            f"{path}: neither a folder, a .csv, .tsv, .jsonl or .parquet table, nor "
            "a IIIF manifest"
        )
    if path.suffix.lower() == ".parquet" and image_column(open_parquet(path).schema_arrow):
        return Layout("stored", path.parent, (("", path),), Tree([], [path.name], []))
    root = images or path.parent
    # A table may lie in a large folder that is not a collection: enter only what it names.
    table = read_table(path)
    only = {tidy(name).split("/")[0] for name in _path_values(table, path, dialect) if name}
    everything = images is not None or path.name in _METADATA
    return Layout("metadata", root, (("", path),), walk(root, None if everything else only))


def _layout_of_folder(path: Path, images: Path | None, dialect: Dialect) -> Layout:
    tables = _tables_in(path, dialect)
    stored = [table for _, table in tables if table.suffix == ".parquet"]
    if stored and image_column(open_parquet(stored[0]).schema_arrow):
        if dialect.table is not None:
            raise ConfigError(
                f"table {dialect.table!r} holds the images itself: leave it out, and open "
                f"{stored[0]}"
            )
        tables = []
    if tables:
        return Layout("metadata", images or path, tuple(tables), walk(images or path))
    manifests = manifests_in(path)
    if manifests:
        return _layout_of_manifests(manifests, images or path)
    tree = walk(path, others=(SHARD,))
    if tree.images:
        return Layout("folders", path, (), tree)
    if tree.others:
        return Layout("shards", path, (), tree)
    if tree.parquet:
        files = tuple(("", path / name) for name in tree.parquet)
        stored_images = image_column(open_parquet(files[0][1]).schema_arrow)
        if stored_images:
            return Layout("stored", path, files, tree)
        return Layout("metadata", images or path, files, walk(images) if images else tree)
    unreadable = "".join(f"\n{item.file_name}: {item.reason}" for item in tree.skipped[:3])
    raise DataError(f"{path}: no images; {LAYOUTS}{unreadable}")


def _layout_of_manifests(paths: list[Path], root: Path) -> Layout:
    files = manifest_files(paths)
    return Layout("iiif", root, tuple(("", file) for file in files), walk(root))


def _layout_elsewhere(path: Path, url: str, dialect: Dialect) -> Layout:
    """Class folders, a table in text or tar files behind a URL."""
    if url.endswith(SHARD):
        root, names = path.parent, tuple(spelled_out([path.name]))
        folder = url.removesuffix(path.name)
        stamps = tuple(
            f"{name}\0{one}" for name in names for one in listed(folder + name).values()
        )
        return Layout("shards", root, (), Tree([], [], [], list(names)), stamps=stamps)
    there = listed(url)
    tree = tree_of(there)
    stamps = tuple(f"{name}\0{stamp}" for name, stamp in there.items())
    tables = [name for name in (dialect.table or "", *_METADATA[:2]) if name in there]
    if tables:
        return Layout("metadata", path, (("", path / tables[0]),), tree, stamps=stamps)
    if tree.images:
        return Layout("folders", path, (), tree, stamps=stamps)
    if tree.others:
        return Layout("shards", path, (), tree, stamps=stamps)
    raise DataError(f"{url}: neither images, nor metadata.csv, nor .tar files; {LAYOUTS}")


def _layout_of_shards(path: Path, dialect: Dialect) -> Layout:
    """One tar file, or several as in `shard-{000..012}.tar`."""
    names = list(spelled_out([path.name]))
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise DataError(f"{path.parent / missing[0]}: no such file or folder")
    _require_fit(path, "shards", dialect)
    return Layout("shards", path.parent, (), Tree([], [], [], names))


def _tables_in(path: Path, dialect: Dialect) -> list[tuple[str, Path]]:
    """List the metadata tables of a folder, or of its split folders, with their splits."""
    names = _METADATA if dialect.table is None else (dialect.table,)
    tables = [("", path / name) for name in names if (path / name).is_file()][:1]
    if not tables:
        folders = [path / name for name in sorted(SPLITS)]
        tables = [
            (folder.name, folder / name)
            for folder in folders
            for name in names
            if (folder / name).is_file()
        ]
    if not tables and dialect.table is not None:
        there = sorted(p.name for p in path.iterdir() if p.suffix.lower() in TABLE_SUFFIXES)
        raise ConfigError(
            f"table {dialect.table!r}: not in {path}; tables there: {', '.join(there) or 'none'}"
        )
    return tables


def read_listing(layout: Layout, dialect: Dialect, width: Bin | None) -> Listing:
    """Read names, labels and metadata of all candidates.

    Raises:
        ConfigError: the label column, its bins or another column do not fit.
        DataError: a table or a list is malformed.
    """
    label = dialect.label
    if width is not None and width.column is not None:
        if label not in (None, width.column):
            raise ConfigError(f"bin is for {width.column!r} but the label is {label!r}: name one")
        label = width.column
    finder = Finder(layout.root, layout.tree.images)
    source = _source(layout, dialect, finder)
    values, notes = _label_values(layout, source, replace(dialect, label=label))
    if layout.lists:
        split_of, remarks = read_split_lists(layout.lists, finder)
        splits = [split_of.get(name, "") for name in source.file_name.to_pylist()]
        source = replace(source, split=pa.array(splits, pa.string()))
        notes += remarks
    if dialect.separator is None:
        labels = width.labels(values, source.file_name) if width else label_strings(values)
    else:
        rows, labels = separate_labels(values, source.file_name, dialect.separator, width)
        source = source.take(rows)
    return _listing(layout.root, source, labels, notes, dialect.group)


def _source(layout: Layout, dialect: Dialect, finder: Finder) -> _Source:
    if layout.kind == "folders":
        return _folders(layout)
    if layout.kind == "iiif":
        return _iiif(layout)
    if layout.kind == "shards":
        return _sharded(layout)
    return _stored(layout) if layout.kind == "stored" else _metadata(layout, dialect, finder)


def _label_values(layout: Layout, source: _Source, dialect: Dialect) -> tuple[pa.Array, list[str]]:
    """Return the values that hold the labels, and a note where nobody said which do."""
    label = dialect.label
    if label == UNLABELLED:
        return pa.array([EVERYTHING] * len(source.file_name), pa.string()), []
    if source.label is not None:
        if label is not None:
            raise ConfigError(
                f"label {label!r}: {layout.root} has class folders and no metadata table; leave "
                f"it out, or add a metadata.csv with file_name and {label}"
            )
        return source.label, []
    other = {*source.serving, "group", "split"} | {dialect.group or "group"}
    chosen = choose_label(source.columns, label, other)
    named = chosen in (label, "label")
    notes = [] if named else [f"labels are the values of the column {chosen!r}"]
    return source.columns[chosen].combine_chunks(), notes


def _listing(
    root: Path, source: _Source, labels: pa.Array, notes: list[str], group: str | None
) -> Listing:
    if group is not None:
        _require_column("group", group, source.columns)
    own = {
        "file_name": source.file_name,
        "label": labels,
        "group": _text_column(source.columns, group or "group"),
        "split": source.split
        if source.split is not None
        else _text_column(source.columns, "split"),
    }
    columns = dict(own)
    for name in source.columns.column_names:
        column = source.columns[name]
        if name in own and _says_the_same(column, own[name]):
            continue
        new = name
        while new in OWN_COLUMNS or new in columns:
            new += "_"
        columns[new] = column
    if source.stored is not None:
        columns |= {name: source.stored[name] for name in source.stored.column_names}
    table = pa.table(columns)
    labelled = pc.not_equal(labels, "")
    skipped = [
        Skipped(name, "no label")
        for name in pc.filter(source.file_name, pc.invert(labelled)).to_pylist()
    ]
    kept = table.filter(labelled)
    return Listing(root, kept, source.skipped + skipped, notes, source.stored is not None)


def _text_column(table: pa.Table, name: str) -> pa.Array:
    if name not in table.column_names:
        return pa.array([""] * table.num_rows, pa.string())
    return label_strings(table[name])


def _says_the_same(column: pa.ChunkedArray, own: pa.Array) -> bool:
    if column.type not in (pa.string(), pa.large_string()):
        return False
    return bool(pc.fill_null(column, "").combine_chunks().cast(pa.string()).equals(own))


# Class folders --------------------------------------------------------------------------------


def _folders(layout: Layout) -> _Source:
    """Read labels from `label/...` or, where every top folder is a split, `split/label/...`."""
    parts = [name.split("/") for name in layout.tree.images]
    tops = {part[0] for part in parts if len(part) > 1}
    split_at = 1 if tops and all(top.lower() in SPLITS for top in tops) else 0
    names, labels, splits = [], [], []
    for part in parts:
        names.append("/".join(part))
        labels.append(part[split_at].strip() if len(part) > split_at + 1 else "")
        splits.append(part[0] if split_at and len(part) > 1 else "")
    return _Source(
        file_name=pa.array(names, pa.string()),
        columns=pa.table({"file_name": pa.array(names, pa.string())}),
        skipped=list(layout.tree.skipped),
        label=pa.array(labels, pa.string()),
        split=pa.array(splits, pa.string()),
    )


# Metadata tables ------------------------------------------------------------------------------


def _metadata(layout: Layout, dialect: Dialect, finder: Finder) -> _Source:
    """Match the rows of the tables with the image files, and name what has no partner."""
    tables = [(split, path, read_table(path)) for split, path in layout.tables]
    names: list[str | None] = []
    splits: list[str] = []
    for split, path, table in tables:
        found_in = _path_values(table, path, dialect)
        names += [f"{split}/{name}" if split and name else name for name in found_in]
        splits += [split] * table.num_rows
    columns = _joined([table for _, _, table in tables], layout)
    found = [finder.find(name) for name in names]
    skipped = [
        Skipped(name or f"row {row + 1}", reason)
        for row, (name, (_, reason)) in enumerate(zip(names, found, strict=True))
        if reason
    ]
    used = {file for file, reason in found if not reason}
    tables_named = " or ".join(path.name for _, path in layout.tables[:2])
    for name in layout.tree.images:
        if name not in used:
            skipped.append(Skipped(name, f"no row in {tables_named}"))
    kept = pa.array([not reason for _, reason in found], pa.bool_())
    return _Source(
        file_name=pa.array([file for file, reason in found if not reason], pa.string()),
        columns=columns.filter(kept),
        skipped=skipped + layout.tree.skipped,
        serving=frozenset({*PATH_COLUMNS, dialect.file or "file_name"}),
        split=pc.filter(pa.array(splits, pa.string()), kept) if any(splits) else None,
    )


def _path_values(table: pa.Table, path: Path, dialect: Dialect) -> list[str | None]:
    if dialect.file is not None:
        _require_column("file", dialect.file, table)
    for name in PATH_COLUMNS if dialect.file is None else (dialect.file,):
        if name in table.column_names and not pa.types.is_nested(table[name].type):
            values: list[str | None] = pc.cast(table[name], pa.string()).to_pylist()
            return values
    if dialect.file is not None:
        raise ConfigError(f"file {dialect.file!r}: {path} has lists there, not names of files")
    raise DataError(
        f"{path}: no file_name column; columns: {_listed(table)}; name the one that holds the "
        "files with collection.file"
    )


def _require_column(option: str, name: str, table: pa.Table) -> None:
    if name not in table.column_names:
        raise ConfigError(f"{option} {name!r}: no such column; columns: {_listed(table)}")


def _listed(table: pa.Table) -> str:
    return ", ".join(table.column_names) or "none"


def _joined(tables: list[pa.Table], layout: Layout) -> pa.Table:
    if len(tables) == 1:
        return tables[0]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{layout.root}: its tables do not fit together ({error})") from error


# IIIF manifests -------------------------------------------------------------------------------


def _iiif(layout: Layout) -> _Source:
    """Read the canvases whose image is here, and name the others."""
    canvases = read_canvases([path for _, path in layout.tables])
    finder = ImageFinder(layout.tree.images)
    files = [finder.find(canvas) for canvas in canvases]
    missing = "its image is not on this machine; `typika fetch` gets it"
    skipped = [Skipped(canvas.name, missing) for canvas, file in zip(canvases, files, strict=True)
               if file is None]  # fmt: skip
    unused = sorted(set(layout.tree.images) - set(files))
    skipped += [Skipped(name, "on no canvas of the manifests") for name in unused]
    there = [file is not None for file in files]
    return _Source(
        file_name=pa.array([file for file in files if file is not None], pa.string()),
        columns=canvases_table(canvases).filter(pa.array(there, pa.bool_())),
        skipped=skipped + layout.tree.skipped,
        serving=frozenset({*IIIF_COLUMNS, *PATH_COLUMNS}),
    )


# Images stored in Parquet ---------------------------------------------------------------------


def _stored(layout: Layout) -> _Source:
    """Read everything but the images' bytes."""
    tables, files, rows, splits, names = [], list[str](), list[int](), list[str](), list[str]()
    for _, path in layout.tables:
        file_name = path.relative_to(layout.root).as_posix()
        with open_parquet(path) as file:
            schema = file.schema_arrow
            image = image_column(schema)
            if image is None:
                raise DataError(f"{path}: no image column, unlike {layout.tables[0][1].name}")
            if schema.names.count(image) > 1:
                raise DataError(f"{path}: several columns are called {image!r}; rename one")
            wanted = [name for name in schema.names if name != image]
            table = own_names(parquet_table(file, path, wanted).replace_schema_metadata(None))
            n = file.metadata.num_rows
            paths = _stored_paths(file, path, image, n)
        names += [path or f"row-{len(names) + row:06d}" for row, path in enumerate(paths)]
        tables.append(_named_classes(table, schema))
        files += [file_name] * n
        rows += range(n)
        found = _SPLIT_IN_NAME.findall(file_name.lower())
        splits += [found[-1] if found else ""] * n
    split = None if any("split" in table.column_names for table in tables) else splits
    return _Source(
        file_name=pa.array(names, pa.string()),
        columns=_joined(tables, layout),
        skipped=[],
        serving=frozenset(PATH_COLUMNS),
        split=None if split is None else pa.array(split, pa.string()),
        stored=pa.table({STORED_FILE: files, STORED_ROW: pa.array(rows, pa.int64())}),
    )


def _sharded(layout: Layout) -> _Source:
    """Read everything of tar files but the images' bytes."""
    skipped = list(layout.tree.skipped)
    found = [
        (shard, sample)
        for shard in layout.tree.others
        for sample in samples(layout.root / shard, shard, skipped)
    ]
    columns = dict.fromkeys(name for _, sample in found for name in sample.columns)
    splits = [(_SPLIT_IN_NAME.findall(shard.lower()) or [""])[-1] for shard, _ in found]
    table = pa.table(
        {name: json_column([sample.columns.get(name) for _, sample in found]) for name in columns}
        or {"file_name": pa.array([sample.name for _, sample in found], pa.string())}
    )
    return _Source(
        file_name=pa.array([sample.name for _, sample in found], pa.string()),
        columns=table,
        skipped=skipped,
        serving=frozenset(PATH_COLUMNS),
        split=None if "split" in columns else pa.array(splits, pa.string()),
        stored=pa.table(
            {
                STORED_FILE: pa.array([shard for shard, _ in found], pa.string()),
                STORED_ROW: pa.array([sample.start for _, sample in found], pa.int64()),
            }
        ),
    )


def _stored_paths(file: Any, path: Path, image: str, n: int) -> list[str | None]:
    schema = file.schema_arrow
    kind = schema.field(image).type
    if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0:
        structs = parquet_table(file, path, [f"{image}.path"]).column(0).combine_chunks()
        paths: list[str | None] = label_strings(structs.field("path")).to_pylist()
        return paths
    if "file_name" in schema.names:
        names = parquet_table(file, path, ["file_name"])[0]
        named: list[str | None] = label_strings(names).to_pylist()
        return named
    return [None] * n


def _named_classes(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Spell Hugging Face class numbers by their names; the numbers stay beside them."""
    for name in table.column_names:
        classes = class_names(schema, name)
        if not classes or not pa.types.is_integer(table[name].type):
            continue
        names = dict(enumerate(classes))  # -1 stands for no class
        spelled = pa.array([names.get(i) for i in table[name].to_pylist()], pa.string())
        table = table.append_column(f"{name}_number", table[name])
        table = table.set_column(table.column_names.index(name), name, spelled)
    return table

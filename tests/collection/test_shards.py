"""Images in tar files, and behind URLs, are the images of a folder."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from typika.collection._elsewhere import spelled_out, url_of
from typika.collection.images import ImageCollection
from typika.errors import ConfigError, DataError


def picture(number: int) -> bytes:
    rng = np.random.default_rng(number)
    image = Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def tar_of(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def sample(number: int, label: str) -> dict[str, bytes]:
    fields = json.dumps({"year": 1900 + number}).encode()
    return {f"{number:03}.png": picture(number), f"{number:03}.cls": label.encode(),
            f"{number:03}.json": fields}  # fmt: skip


def write_shards(folder: Path, count: int = 2, each: int = 3) -> None:
    folder.mkdir(exist_ok=True)
    for shard in range(count):
        files: dict[str, bytes] = {}
        for place in range(each):
            number = shard * each + place
            files |= sample(number, "ab"[number % 2])
        (folder / f"train-{shard:02}.tar").write_bytes(tar_of(files))


def content(collection: ImageCollection) -> list[tuple[str, str, bytes]]:
    ids, labels = (collection.table[name].to_pylist() for name in ("image_id", "label"))
    pixels = [collection.load(row).tobytes() for row in range(len(collection))]
    return list(zip(ids, labels, pixels, strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The same images as `write_shards` makes, in class folders."""
    for number in range(6):
        place = tmp_path / "folder" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:03}.png").write_bytes(picture(number))
    return tmp_path / "folder"


@pytest.fixture
def memory() -> Iterator[object]:
    fsspec = pytest.importorskip("fsspec", reason="needs fsspec: pip install 'typika[cloud]'")
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def test_tar_files_hold_what_a_folder_holds(tmp_path: Path, folder: Path) -> None:
    write_shards(tmp_path / "shards")
    expected = content(ImageCollection.open(folder))
    found = ImageCollection.open(tmp_path / "shards", label="cls")
    assert content(found) == expected
    assert set(found.table["split"].to_pylist()) == {"train"}
    assert sorted(found.table["year"].to_pylist()) == list(range(1900, 1906))
    spelled = ImageCollection.open(tmp_path / "shards" / "train-{00..01}.tar", label="cls")
    assert content(spelled) == expected
    found.save(tmp_path)
    assert content(ImageCollection.restore(tmp_path, tmp_path / "shards")) == expected


def test_a_damaged_tar_file_gives_what_is_whole(tmp_path: Path) -> None:
    write_shards(tmp_path / "shards")
    path = tmp_path / "shards" / "train-01.tar"
    path.write_bytes(path.read_bytes()[:4000])
    found = ImageCollection.open(tmp_path / "shards", label="cls")
    assert 3 <= len(found) < 6
    assert any(item.file_name == "train-01.tar" for item in found.skipped)


def test_hostile_members_are_skipped_and_named(tmp_path: Path) -> None:
    write_shards(tmp_path / "shards", count=1)
    files = sample(7, "a") | {"7/../../evil.png": b"no image", "8.png": picture(8)}
    files |= {"8.jpg": picture(9), "8.json": b"[" * 100_000, "9.cls": b"a"}
    (tmp_path / "shards" / "more.tar").write_bytes(tar_of(files))
    found = ImageCollection.open(tmp_path / "shards", label="cls")
    reasons = {item.file_name: item.reason for item in found.skipped}
    assert reasons["more.tar/8.jpg"] == "its sample has an image already"
    assert reasons["more.tar/8.png"] == "no label"
    assert len(found) == 4


def test_a_member_that_is_gone_is_an_error_and_not_another_image(tmp_path: Path) -> None:
    write_shards(tmp_path / "shards", count=1)
    found = ImageCollection.open(tmp_path / "shards", label="cls")
    (tmp_path / "shards" / "train-00.tar").write_bytes(b"\1" * 3000)
    with pytest.raises(DataError, match="cannot be read from its tar file"):
        found.load(0)


def test_urls_are_found_however_a_path_was_bent() -> None:
    assert url_of(Path("s3://bucket/a/b")) == "s3://bucket/a/b"
    assert url_of(Path("../../s3:/bucket/a")) == "s3://bucket/a"
    assert url_of(Path.cwd() / Path("gs://bucket")) == "gs://bucket"
    assert url_of(Path("file:///tmp/x")) == "file:///tmp/x"
    assert url_of(Path("/a/b: c/d")) is None
    assert url_of(Path("c:/images")) is None
    assert list(spelled_out(["s-{08..10}.tar"])) == ["s-08.tar", "s-09.tar", "s-10.tar"]


@pytest.mark.parametrize("way", ["folders", "table", "shards", "one"])
def test_what_lies_behind_a_url_is_what_lies_here(
    tmp_path: Path, folder: Path, memory: object, way: str
) -> None:
    expected = content(ImageCollection.open(folder))
    source, label = Path(f"memory://{way}"), None
    if way in ("folders", "table"):
        rows = ["file_name,label"]
        for path in sorted(folder.rglob("*.png")):
            name = path.relative_to(folder).as_posix()
            rows.append(f"{name},{name[0]}")
            memory.pipe(f"/{way}/{name}", path.read_bytes())  # type: ignore[attr-defined]
        if way == "table":
            memory.pipe(f"/{way}/metadata.csv", "\n".join(rows).encode())  # type: ignore[attr-defined]
    else:
        write_shards(tmp_path / "shards", *((1, 6) if way == "one" else (2, 3)))
        for path in (tmp_path / "shards").iterdir():
            memory.pipe(f"/{way}/{path.name}", path.read_bytes())  # type: ignore[attr-defined]
        source, label = (source / "train-{00..00}.tar" if way == "one" else source), "cls"
    found = ImageCollection.open(source, label=label)
    assert content(found) == expected
    before = ImageCollection.fingerprint(source)
    assert before == ImageCollection.fingerprint(source)
    found.save(tmp_path)
    restored = ImageCollection.restore(tmp_path, Path("/somewhere/..") / source)
    assert content(restored) == expected


def test_urls_need_fsspec_and_something_behind_them(
    monkeypatch: pytest.MonkeyPatch, memory: object
) -> None:
    with pytest.raises(DataError, match="nothing there"):
        ImageCollection.open(Path("memory://nowhere"))
    with pytest.raises(ConfigError, match="cannot be opened"):
        ImageCollection.open(Path("nosuch://nowhere"))
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigError, match=r"pip install 'typika\[cloud\]'"):
        ImageCollection.open(Path("memory://nowhere-else"))

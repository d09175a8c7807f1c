"""One image file -> one upright RGB image, or the reason why not.

Pillow decodes; this room decides what counts as readable and how every pixel format becomes
8-bit RGB. Nothing here depends on a label, a table or a folder.
"""

from __future__ import annotations

import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from typika.collection._elsewhere import read_at, url_of
from typika.errors import DataError

SUFFIXES = frozenset({".gif", ".webp", ".bmp", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".avif"})
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "AVIF")  # JPEG includes MPO
PIXEL_LIMIT = 200_000_000  # pixels; above, an image is refused from its header alone
MOST_BYTES = 1 << 31  # of one file; PIXEL_LIMIT pixels of 16 bits in colour have less
SMALLEST_SIDE = 8  # pixels; below, an image has no elements to mine
THUMBNAIL_SIDE = 32  # pixels of the grey thumbnail that near-duplicates are verified on
SCAN_DRAFT = 128  # pixels; a scan needs no more than this of a JPEG's short side

# What Pillow's readers raise on damaged files, as collected from their issue tracker.
_DAMAGE = (
    AssertionError,
    MemoryError,
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    OverflowError,
    ZeroDivisionError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112  # the EXIF tag
_WIDE_GREYS = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


class Unreadable(DataError):
    """An image that cannot be used; the message is the reason alone, without the file's name."""


@dataclass(frozen=True)
class Look:
    """What one look at an image's bytes tells."""

    image_id: str  # 16 hexadecimal digits, blake2b of the bytes
    width: int  # upright pixels
    height: int
    phash: int  # 64-bit perceptual hash
    thumbnail: bytes  # THUMBNAIL_SIDE² grey values, row by row


def decode(source: Path | bytes, draft: int | None = None) -> Image.Image:
    """Decode an image as upright 8-bit RGB.

    EXIF orientation is applied (a damaged EXIF block is ignored), transparency is composited on
    white, 16-bit grey is divided by 257, other integers and floats are stretched from their
    minimum and maximum, CMYK and palettes are converted, and of an animation the first frame is
    taken.

    Args:
        source: a file, or the bytes of one.
        draft: where only a small image is needed, the least number of pixels its short side
            may have: JPEGs are then decoded at 1/2, 1/4 or 1/8 of their size, several times
            faster, never below this (nor below their own size). `None` decodes in full.

    Raises:
        DataError: the file cannot be read, is no image, is damaged or truncated, or has more
            than `PIXEL_LIMIT` pixels.
    """
    name = source if isinstance(source, Path) else f"image of {len(source)} bytes"
    try:
        return decode_bytes(read_bytes(source), draft)[0]
    except Unreadable as error:
        raise DataError(f"{name}: {error}") from error


def look(source: Path | bytes) -> Look:
    """Read an image's bytes once and decode it once: identity, size, hash and thumbnail.

    Raises:
        Unreadable: as `decode`, and where a side is below `SMALLEST_SIDE` pixels.
    """
    content = read_bytes(source)
    image, (width, height) = decode_bytes(content, SCAN_DRAFT)
    if min(width, height) < SMALLEST_SIDE:
        raise Unreadable(f"too small: {width} x {height} pixels, need {SMALLEST_SIDE} a side")
    grey = image.convert("L").resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    return Look(content_id(content), width, height, _perceptual_hash(grey), grey.tobytes())


@dataclass(frozen=True)
class Header:
    """What a file says of itself beside its pixels."""

    format: str  # as Pillow calls it, such as "JPEG"
    n_bytes: int  # of the whole file
    quantisation: int  # sum of a JPEG's tables: the higher, the coarser; 0 for other formats
    n_tables: int  # of a JPEG
    progressive: bool
    exif: bool  # whether there is such a block
    profile: bool  # whether there is a colour profile
    dots_per_inch: float  # 0 where it does not say


def header(source: Path | bytes) -> Header:
    """Read what a file says of itself; decodes no pixel.

    Raises:
        Unreadable: as `decode`, as far as the header tells.
    """
    content = read_bytes(source)
    with _pillow_at_our_limits():
        try:
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                tables = getattr(image, "quantization", None) or {}
                density = image.info.get("dpi") or (0,)
                return Header(
                    str(image.format),
                    len(content),
                    sum(sum(table) for table in tables.values()),
                    len(tables),
                    bool(image.info.get("progressive")),
                    bool(image.info.get("exif")),
                    bool(image.info.get("icc_profile")),
                    float(density[0]),
                )
        except (UnidentifiedImageError, *_BOMBS, *_DAMAGE) as error:
            raise Unreadable(f"no header that can be read ({error})") from error


def content_id(content: bytes) -> str:
    """Name an image after its file's bytes: 16 hexadecimal digits."""
    return blake2b(content, digest_size=8).hexdigest()


def read_bytes(source: Path | bytes) -> bytes:
    """Return the bytes of `source`; raises Unreadable where the file cannot be opened."""
    if isinstance(source, bytes):
        return source
    try:
        url = url_of(source)
        if url is not None:
            return read_at(url)
        found = source.stat()
        # Reading a pipe waits for its writer, a device never ends.
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable("cannot be opened (it is no regular file)")
        if found.st_size > MOST_BYTES:
            raise Unreadable(f"{found.st_size:,} bytes are more than an image has")
        return source.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unreadable(f"cannot be opened ({reason})") from error


def decode_bytes(content: bytes, draft: int | None) -> tuple[Image.Image, tuple[int, int]]:
    """Decode as `decode` does; also return the upright (width, height) of the whole image.

    Raises:
        Unreadable: with the reason.
    """
    with reading(content, FORMATS) as image:
        return _upright_rgb(image, draft)


@contextmanager
def reading(content: bytes, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """Open an image at our limits; whatever is wrong with it becomes an `Unreadable`."""
    if not content:
        raise Unreadable("the file is empty")
    with _pillow_at_our_limits():
        try:
            with Image.open(BytesIO(content), formats=formats) as image:
                yield image
        except _BOMBS as error:
            raise Unreadable(f"too large: more than {PIXEL_LIMIT:,} pixels") from error
        except UnidentifiedImageError as error:
            raise Unreadable("not an image that can be read") from error
        except _DAMAGE as error:
            raise Unreadable(f"damaged or truncated ({error or type(error).__name__})") from error


def _upright_rgb(image: Image.Image, draft: int | None) -> tuple[Image.Image, tuple[int, int]]:
    whole = image.size
    if draft is not None:
        image.draft(None, (draft, draft))
    drafted = image.size != whole
    image.load()
    if not drafted:
        whole = image.size  # some versions of Pillow turn a TIFF upright only as it loads
    turn = _UPRIGHT.get(_orientation(image))
    rgb = _rgb(image)
    if turn is None:
        return rgb, whole
    upright = rgb.transpose(turn)
    swapped = turn not in (_UPRIGHT[2], _UPRIGHT[3], _UPRIGHT[4])
    return upright, (whole[1], whole[0]) if swapped else whole


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except _DAMAGE:
        return 1  # a broken EXIF block is no reason to lose the picture
    return value if isinstance(value, int) else 1


def _rgb(image: Image.Image) -> Image.Image:
    """Bring any of Pillow's modes to RGB; transparency goes on white."""
    if image.mode in _WIDE_GREYS:
        return Image.fromarray(_eight_bit(np.asarray(image), image.mode)).convert("RGB")
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        white = Image.new("RGBA", opaque.size, "white")
        return Image.alpha_composite(white, opaque).convert("RGB")
    # A copy even of RGB: the result must not keep the open file alive.
    return image.copy() if image.mode == "RGB" else image.convert("RGB")


def _eight_bit(values: np.ndarray, mode: str) -> np.ndarray:
    """Scale wide grey values (h, w) to uint8: 16-bit integers by 1/257, others by min-max."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    low, high = float(values[finite].min()), float(values[finite].max())
    if mode != "F" and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    scale = 255.0 / (high - low) if high > low else 0.0
    scaled = (np.where(finite, values, low).astype(np.float64) - low) * scale
    return np.rint(scaled).astype(np.uint8)


def _perceptual_hash(grey: Image.Image) -> int:
    import imagehash

    # `grey` already has the size that pHash resizes to, so this equals the hash of the image.
    return int(str(imagehash.phash(grey)), 16)


_lock = threading.Lock()
_inside = 0  # threads that are decoding now
_undo: list[tuple[warnings.catch_warnings, int | None]] = []


@contextmanager
def _pillow_at_our_limits() -> Iterator[None]:
    """Silence Pillow's warnings and set its pixel limit to ours, for all threads inside.

    Warning filters and the limit are process-wide, so the first thread in sets them and the
    last one out restores them.
    """
    global _inside
    with _lock:
        if not _inside:
            _enter()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                quiet, limit = _undo.pop()
                Image.MAX_IMAGE_PIXELS = limit
                quiet.__exit__(None, None, None)


def _enter() -> None:
    quiet = warnings.catch_warnings()
    quiet.__enter__()
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    _undo.append((quiet, Image.MAX_IMAGE_PIXELS))
    Image.MAX_IMAGE_PIXELS = PIXEL_LIMIT

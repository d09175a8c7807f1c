import io
import struct
import threading
import warnings
import zlib
from contextlib import suppress

import numpy as np
import pytest
from imagery import encoded, picture
from PIL import Image

from typika.collection import _decode
from typika.collection.images import decode
from typika.errors import DataError


def rgb(source, **options):
    image = decode(source, **options)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG", "AVIF"])
def test_every_format_gives_rgb_of_its_size(kind):
    assert rgb(encoded(picture(0), kind)).shape == (32, 40, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_applied_whole_and_drafted(orientation, kind):
    upright = picture(3, (320, 160))
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    stored = upright
    if orientation > 1:
        stored = upright.transpose(_decode._UPRIGHT[inverse])
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(stored, kind, exif=exif)
    assert np.abs(rgb(content) - np.asarray(upright).astype(int)).mean() < 8
    assert _decode.decode_bytes(content, 16)[1] == (320, 160)
    look = _decode.look(content)
    assert (look.width, look.height) == (320, 160)


@pytest.mark.parametrize("block", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b""])
def test_bad_exif_never_kills(block):
    assert rgb(encoded(picture(0), "JPEG", exif=block)).shape == (32, 40, 3)


def test_transparency_goes_on_white():
    clear = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    clear.putpixel((0, 0), (200, 0, 0, 255))
    for kind in ("PNG", "WEBP"):
        pixels = rgb(encoded(clear, kind, **({"lossless": True} if kind == "WEBP" else {})))
        assert pixels[0, 0].tolist() == [200, 0, 0]
        assert (pixels[1:] == 255).all()


def test_palette_with_transparency_goes_on_white():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putpixel((0, 0), 0)
    pixels = rgb(encoded(image, "PNG", transparency=1))
    assert pixels[0, 0].tolist() == [10, 20, 30]
    assert (pixels[1:] == 255).all()


def test_grey_with_alpha_and_one_bit():
    assert (rgb(encoded(Image.new("LA", (8, 8), (50, 0)))) == 255).all()
    assert (rgb(encoded(Image.new("1", (8, 8), 1))) == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_divided_by_257(kind):
    values = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    pixels = rgb(encoded(Image.fromarray(values), kind))
    assert (pixels[..., 0] == np.rint(values / 257)).all()


def test_wide_integers_and_floats_are_stretched():
    ints = Image.fromarray(np.array([[-100, 0], [100, 70000]], np.int32).repeat(4, 0))
    assert {0, 255} <= set(rgb(encoded(ints, "TIFF")).ravel())
    floats = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    floats[0, 0] = np.nan
    pixels = rgb(encoded(Image.fromarray(floats), "TIFF"))
    assert pixels.min() == 0
    assert pixels.max() == 255
    assert (rgb(encoded(Image.new("F", (8, 8), 3.5), "TIFF")) == 0).all()


def test_cmyk():
    pixels = rgb(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert pixels[0, 0, 0] > 200
    assert pixels[0, 0, 1] < 60


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame(kind):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert np.abs(rgb(content)[8, 8] - [255, 0, 0]).max() < 10


def test_draft_never_goes_below_the_hint_and_is_refused_for_png():
    jpeg = encoded(picture(1, (800, 600)), "JPEG")
    assert min(decode(jpeg, draft=100).size) == 150
    assert min(decode(jpeg, draft=151).size) == 300
    assert decode(jpeg, draft=5000).size == (800, 600)
    assert decode(encoded(picture(1, (80, 60))), draft=10).size == (80, 60)


@pytest.mark.parametrize("draft", [None, 128])
def test_truncated_jpeg_is_named(tmp_path, draft):
    path = tmp_path / "half.jpg"
    content = encoded(picture(0, (300, 300)), "JPEG")
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"half\.jpg: damaged or truncated"):
        decode(path, draft)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG"])
@pytest.mark.parametrize("keep", [0.02, 0.3, 0.6, 0.9])
def test_a_cut_file_is_decoded_or_refused_but_never_crashes(kind, keep):
    content = encoded(picture(0, (64, 64)), kind)
    with suppress(DataError):
        decode(content[: int(len(content) * keep)])


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG"])
def test_flipped_bytes_are_decoded_or_refused_but_never_crash(kind):
    generator = np.random.default_rng(0)
    content = np.frombuffer(encoded(picture(0, (24, 24)), kind), np.uint8)
    for _ in range(60):
        damaged = content.copy()
        places = generator.integers(0, len(content), 3)
        damaged[places] = generator.integers(0, 256, 3)
        with suppress(DataError):
            decode(damaged.tobytes())


def test_text_named_png_and_other_non_images(tmp_path):
    path = tmp_path / "text.png"
    path.write_text("no picture")
    with pytest.raises(DataError, match=r"text\.png: not an image"):
        decode(path)
    with pytest.raises(DataError, match="empty"):
        decode(b"")
    with pytest.raises(DataError, match="cannot be opened"):
        decode(tmp_path / "missing.png")


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 10_001), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_from_its_header(size):
    with pytest.raises(DataError, match=r"too large|not an image"):
        decode(png_header(*size))


def test_just_below_the_limit_is_no_bomb():
    # Pillow itself would refuse this size; the pixels are missing, so it is only "damaged".
    with pytest.raises(DataError, match="damaged"):
        decode(png_header(20_000, 9_999))


def test_pillows_state_is_as_before_even_with_threads():
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    content = encoded(picture(0), "JPEG", exif=b"Exif\0\0garbage")
    threads = [threading.Thread(target=lambda: [decode(content) for _ in range(20)])] * 1
    threads += [threading.Thread(target=lambda: [decode(content) for _ in range(20)])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limit == Image.MAX_IMAGE_PIXELS
    assert filters == warnings.filters


def test_the_result_survives_its_file():
    buffer = io.BytesIO(encoded(picture(0), "TIFF"))
    image = decode(buffer.getvalue())
    buffer.close()
    assert image.resize((4, 4)).getpixel((0, 0))


def test_the_hash_is_imagehash_of_the_whole_image():
    import imagehash

    image = picture(5, (90, 70))
    assert _decode.look(encoded(image)).phash == int(str(imagehash.phash(image)), 16)

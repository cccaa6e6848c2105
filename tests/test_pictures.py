"""sgan/pictures.py: pictures of every kind that people have, and files that only look like pictures."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgan.command_line import InputError
from sgan.pictures import MOST_PIXELS, open_picture, read_picture

RANDOM = np.random.default_rng(0)


@pytest.fixture
def grey():
    """Every brightness once, uint8 (16, 16)."""
    return RANDOM.permutation(256).astype("uint8").reshape(16, 16)


def refusal(path):
    """The one line that is said of a file."""
    with pytest.raises(InputError) as caught:
        read_picture(path, (16, 16, 1))
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message


def write_png(path, pixels, bits, size=None):
    """A PNG file of integers (H, W) or (H, W, 3) with as many bits, or of `size` (width, height) and these bytes."""
    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    if size is None:
        size = pixels.shape[1], pixels.shape[0]
        rows = np.asarray(pixels, ">u2" if bits == 16 else "u1")
        pixels, colour = b"".join(b"\0" + row.tobytes() for row in rows), 2 * (rows.ndim == 3)
    else:
        colour = 0
    header = b"".join(length.to_bytes(4, "big") for length in size) + bytes([bits, colour, 0, 0, 0])
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels))
                     + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.pgm"])
def test_16_bit_files_are_scaled_by_the_bits_that_they_use(grey, tmp_path, bits, name):
    deep = (grey * ((2**bits - 1) / 255)).round().astype("uint16")
    Image.fromarray(deep).save(tmp_path / name)
    np.testing.assert_array_equal(read_picture(tmp_path / name, (16, 16, 1))[..., 0], grey)


def test_16_bit_colours_are_read_but_not_where_pillow_would_make_them_black(tmp_path):
    colours = RANDOM.integers(0, 256, (16, 16, 3), "uint8")
    full = write_png(tmp_path / "full.png", colours * np.uint16(257), 16)
    np.testing.assert_array_equal(read_picture(full, (16, 16, 3)), colours)
    assert "use only 12" in refusal(write_png(tmp_path / "dark.png", colours * np.uint16(16), 16))


def test_whole_numbers_of_32_bits_are_no_brightness(tmp_path):
    Image.fromarray(np.array([[0, 70000]], "int32")).save(tmp_path / "counts.tif")
    assert "from 0 to 70000" in refusal(tmp_path / "counts.tif")


def test_colour_models(grey, tmp_path):
    colours = RANDOM.integers(0, 256, (16, 16, 3), "uint8")
    Image.fromarray(colours).convert("CMYK").save(tmp_path / "cmyk.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "cmyk.tif", (16, 16, 3)), colours)
    Image.fromarray(grey > 127).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "bits.png", (16, 16, 1))[..., 0], 255 * (grey > 127))


def test_an_animation_is_its_first_frame_and_says_so(grey, tmp_path):
    frames = [Image.fromarray(grey), Image.new("L", (16, 16), 200)]
    for name in ("moving.gif", "moving.png", "moving.webp", "pages.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        picture = open_picture(tmp_path / name)
        assert picture.info["first_of_many"], name
        np.testing.assert_array_equal(np.asarray(picture.convert("L")), grey)
    frames[0].save(tmp_path / "still.png")
    assert not open_picture(tmp_path / "still.png").info["first_of_many"]


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    for side in (13300, 14200):  # Pillow itself warns of the one and refuses the other
        path = write_png(tmp_path / "large.png", bytes((side + 7) // 8 + 1) * side, 1, (side, side))
        path.write_bytes(path.read_bytes()[:100])  # nothing to decode: only the size is looked at
        assert f"more than {MOST_PIXELS // 10**6} million pixels" in refusal(path)
    wide = write_png(tmp_path / "wide.png", bytes(6251) * 1900, 1, (50000, 1900))
    assert read_picture(wide, (16, 16, 1)).max() == 0  # large, but not too large, and without a warning


def test_files_that_are_no_pictures(grey, tmp_path):
    good = tmp_path / "good.png"
    Image.fromarray(grey).save(good)
    Image.fromarray(grey.astype("float32")).save(tmp_path / "float.tif")
    for name, content in {"text.jpg": b"not a picture", "empty.png": b"", "cut.png": good.read_bytes()[:150],
                          "page.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
                          "photo.jpg": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "broken.heic": b"rubbish"}.items():
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "pipe.png")
    for name, words in {"text.jpg": "save it as JPEG or PNG", "empty.png": "it is empty", "cut.png": "truncated",
                        "page.png": "none of the kinds", "photo.jpg": "convert it to JPEG or PNG",
                        "broken.heic": "convert it to JPEG or PNG", "float.tif": "floating-point",
                        "pipe.png": "a pipe or a device", ".": "is not a file but a folder",
                        "none.png": "no such file"}.items():
        assert words in refusal(tmp_path / name), name
    assert "a pipe or a device" in refusal("/dev/zero")


def test_postscript_starts_no_program(tmp_path):
    trace = tmp_path / "trace"
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch '{trace}'\n")
    program.chmod(0o755)
    page = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "x.png").write_text(page)
    code = ("from PIL import Image\nfrom sgan.pictures import open_picture\n"
            "try:\n    Image.open('x.png').load()\nexcept OSError:\n    pass\n"
            "import os\nassert os.path.exists('trace')\nos.remove('trace')\n"  # it is a file that starts one elsewhere
            "open_picture('x.png')\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}",
                               "PYTHONPATH": str(Path(__file__).parents[1])})
    assert done.stderr.rstrip().endswith("save it as JPEG or PNG)") and not trace.exists()


def test_no_tensorflow_is_needed_to_read_pictures():
    code = "import sys, sgan.pictures; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1]).returncode == 0

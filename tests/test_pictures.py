"""sgan/data/pictures.py: pictures of every kind that people have, and files that only look like pictures."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgan.runs.command import InputError
from sgan.data.pictures import MAX_PIXELS, fit, open_picture, to_grey_or_rgb

RANDOM = np.random.default_rng(0)


@pytest.fixture
def grey():
    """Every brightness once, uint8 (16, 16)."""
    return RANDOM.permutation(256).astype("uint8").reshape(16, 16)


def read_picture(path, shape):
    """A picture file as uint8 (H, W, C), `shape`, read in the steps of evaluate_classifier.py."""
    return fit(to_grey_or_rgb(open_picture(path), shape[2]), shape)


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


@pytest.mark.parametrize("bits", [1, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.pgm"])
def test_16_bit_files_are_scaled_by_the_bits_that_they_use(grey, tmp_path, bits, name):
    deep = (grey * ((2**bits - 1) / 255)).round().astype("uint16")
    Image.fromarray(deep).save(tmp_path / name)
    expected = 255 * deep if bits == 1 else grey
    np.testing.assert_array_equal(read_picture(tmp_path / name, (16, 16, 1))[..., 0], expected)


def test_16_bit_colours_are_read_but_not_where_pillow_would_make_them_black(tmp_path):
    colours = RANDOM.integers(0, 256, (16, 16, 3), "uint8")
    full = write_png(tmp_path / "full.png", colours * np.uint16(257), 16)
    np.testing.assert_array_equal(read_picture(full, (16, 16, 3)), colours)
    assert "use only 12" in refusal(write_png(tmp_path / "dark.png", colours * np.uint16(16), 16))


def test_whole_numbers_of_32_bits_are_no_brightness(tmp_path):
    Image.fromarray(np.array([[0, 70000]], "int32")).save(tmp_path / "counts.tif")
    with pytest.raises(ValueError, match="from 0 to 70000"):
        read_picture(tmp_path / "counts.tif", (16, 16, 1))


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
        assert f"more than {MAX_PIXELS // 10**6} million pixels" in refusal(path)
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
                        "broken.heic": "convert it to JPEG or PNG",
                        "pipe.png": "a pipe or a device", ".": "is not a file but a folder",
                        "none.png": "no such file"}.items():
        assert words in refusal(tmp_path / name), name
    assert "a pipe or a device" in refusal("/dev/zero")
    with pytest.raises(ValueError, match="floating-point"):
        read_picture(tmp_path / "float.tif", (16, 16, 1))


def test_a_process_reads_its_first_picture_and_postscript_starts_no_program(tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "first.jpg")
    trace = tmp_path / "trace"
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch '{trace}'\n")
    program.chmod(0o755)
    page = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "x.png").write_text(page)
    code = ("from sgan.data.pictures import open_picture\nprint(open_picture('first.jpg').size)\n"
            "from PIL import Image\ntry:\n    Image.open('x.png').load()\nexcept OSError:\n    pass\n"
            "import os\nassert os.path.exists('trace')\nos.remove('trace')\n"  # it is a file that starts one elsewhere
            "open_picture('x.png')\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}",
                               "PYTHONPATH": str(Path(__file__).parents[1])})
    assert done.stdout == "(9, 9)\n" and done.stderr.rstrip().endswith("save it as JPEG or PNG)")
    assert not trace.exists()


# --------------------------------------------------------------------------------------------------------------
# What a classifier gets to see


@pytest.fixture
def digit(digits):
    """One digit, uint8 (28, 28)."""
    return digits.test_images[0, :, :, 0]


def read(picture, path, shape=(28, 28, 1), **options):
    """What the classifier gets to see of a Pillow picture or an array."""
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path, **options)
    return read_picture(path, shape)


def test_a_picture_of_the_right_size_is_not_changed(digit, tmp_path):
    deep = digit.astype("uint16") * 257
    opaque = np.dstack([digit, digit, digit, np.full_like(digit, 255)])
    palette = Image.fromarray(digit).convert("P")
    la = Image.fromarray(opaque).convert("LA")
    variants = {"grey.png": digit, "grey.bmp": digit, "palette.png": palette, "deep.png": deep,
                "deep.tif": deep, "rgb.png": opaque[..., :3], "rgba.png": opaque, "la.png": la}
    for name, picture in variants.items():
        np.testing.assert_array_equal(read(picture, tmp_path / name)[..., 0], digit, err_msg=name)
    still = Image.fromarray(digit)
    seen = read(still, tmp_path / "moving.gif", save_all=True, append_images=[Image.new("L", (28, 28), 200)])
    np.testing.assert_array_equal(seen[..., 0], digit)
    colours = np.random.default_rng(0).integers(0, 256, (28, 28, 3), "uint8")
    np.testing.assert_array_equal(read(colours, tmp_path / "c.png", (28, 28, 3)), colours)
    np.testing.assert_array_equal(read(digit, tmp_path / "g.png", (28, 28, 3)), np.dstack([digit] * 3))


def test_transparent_paper_is_the_opposite_of_the_ink(digit, tmp_path):
    for ink, seen in ((255, digit), (0, 255 - digit)):
        rgba = np.dstack([np.full((28, 28, 3), ink, "uint8"), digit])  # drawn by opacity alone
        np.testing.assert_allclose(read(rgba, tmp_path / "ink.png")[..., 0], seen, atol=1)
    np.testing.assert_array_equal(read(np.zeros((28, 28, 4), "uint8"), tmp_path / "nothing.png"), 255)


def test_scaling_keeps_proportions_and_continues_the_border(digit, tmp_path):
    large = np.kron(digit, np.ones((10, 10), "uint8"))
    assert np.corrcoef(read(large, tmp_path / "large.png").ravel(), digit.ravel())[0, 1] > 0.98
    bar = np.full((280, 140), 50, "uint8")
    bar[40:240, 40:100] = 250
    seen = read(bar, tmp_path / "bar.png")[..., 0]
    assert (seen[:, :7] == 50).all() and (seen[:, 21:] == 50).all()  # 14 wide, in the middle of 28
    assert (seen[6:22, 12:16] == 250).all() and seen[14, 9] == 50
    assert read(np.full((2000, 3), 9, "uint8"), tmp_path / "thread.png").min() == 9
    assert read(np.full((1, 1), 9, "uint8"), tmp_path / "dot.png").max() == 9
    turned = Image.Exif()
    turned[0x0112] = 3  # "turn me by 180 degrees", as cameras write it
    seen = read(digit[::-1, ::-1].copy(), tmp_path / "turned.png", exif=turned)
    np.testing.assert_array_equal(seen[..., 0], digit)

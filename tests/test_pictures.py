"""sgan/data/pictures.py: pictures of every kind that people have, and files that only look like pictures."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import refusal
from PIL import Image

from sgan.data.pictures import open_picture, scale_to, to_grey_or_rgb

RANDOM = np.random.default_rng(0)
GREY = RANDOM.permutation(256).astype("uint8").reshape(16, 16)  # every brightness once
COLOURS = RANDOM.integers(0, 256, (16, 16, 3), "uint8")


def read(path, shape=(16, 16, 1)):
    """A picture file as uint8 (H, W, C), `shape`, as a classifier gets to see it."""
    return scale_to(to_grey_or_rgb(open_picture(path), shape[2]), shape)


def save(path, picture, **options):
    """Save a Pillow picture or an array. Returns the path."""
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path, **options)
    return path


@pytest.mark.parametrize("bits, name", [(1, "deep.png"), (8, "deep.png"), (10, "deep.pgm"), (12, "deep.tif"),
                                        (14, "deep.tif"), (16, "deep.png"), (16, "deep.tif")])
def test_16_bit_files_are_scaled_by_the_bits_that_they_use(tmp_path, bits, name):
    deep = (GREY * ((2**bits - 1) / 255)).round().astype("uint16")
    expected = 255 * deep if bits == 1 else GREY
    np.testing.assert_array_equal(read(save(tmp_path / name, deep))[..., 0], expected)


def test_12_bit_colours_which_pillow_would_make_black_are_refused(tmp_path):
    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    path = tmp_path / "deep.png"
    for factor in 257, 16:
        rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(COLOURS * np.uint16(factor), ">u2"))
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\0\0\0\x10" * 2 + b"\x10\x02\0\0\0")
                         + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
        if factor == 257:
            np.testing.assert_array_equal(read(path, (16, 16, 3)), COLOURS)
    assert "use only 12 of them" in refusal(open_picture, path)


def test_kinds_of_pictures(tmp_path):
    opaque = np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)])
    kinds = {"grey.png": GREY, "grey.bmp": GREY, "palette.png": Image.fromarray(GREY).convert("P"),
             "rgb.png": opaque[..., :3], "rgba.png": opaque, "la.png": Image.fromarray(opaque).convert("LA")}
    for name, picture in kinds.items():
        np.testing.assert_array_equal(read(save(tmp_path / name, picture))[..., 0], GREY, err_msg=name)
    np.testing.assert_array_equal(read(save(tmp_path / "g.png", GREY), (16, 16, 3)), np.dstack([GREY] * 3))
    np.testing.assert_array_equal(read(save(tmp_path / "bits.png", GREY > 127))[..., 0], 255 * (GREY > 127))
    for name, picture in {"cmyk.tif": Image.fromarray(COLOURS).convert("CMYK"), "c.png": COLOURS}.items():
        np.testing.assert_array_equal(read(save(tmp_path / name, picture), (16, 16, 3)), COLOURS)
    lab = Image.merge("LAB", [Image.new("L", (16, 16), value) for value in (255, 128, 128)])
    assert read(save(tmp_path / "lab.tif", lab)).min() > 250


def test_pictures_are_turned_as_cameras_say(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 3  # by 180 degrees
    seen = read(save(tmp_path / "turned.png", GREY[::-1, ::-1].copy(), exif=turned))
    np.testing.assert_array_equal(seen[..., 0], GREY)


MORE = {"save_all": True, "append_images": [Image.new("L", (16, 16), 200)]}


@pytest.mark.parametrize("name", ["moving.gif", "moving.png", "moving.webp", "pages.tif"])
def test_a_file_of_several_pictures_is_refused(tmp_path, name):
    line = refusal(open_picture, save(tmp_path / name, GREY, **MORE))
    assert line.startswith(str(tmp_path / name)) and "it holds several pictures" in line


def test_a_cameras_second_small_picture_does_not_count(tmp_path):
    np.testing.assert_allclose(read(save(tmp_path / "camera.mpo", GREY * 0 + 9, **MORE)), 9, atol=1)


def test_transparent_paper_is_the_opposite_of_the_ink(tmp_path):
    ink = np.where(GREY > 200, GREY, 0).astype("uint8")
    for colour, seen in ((255, ink), (0, 255 - ink)):
        rgba = np.dstack([np.full((16, 16, 3), colour, "uint8"), ink])  # drawn by opacity alone
        np.testing.assert_allclose(read(save(tmp_path / "ink.png", rgba))[..., 0], seen, atol=1)
    assert read(save(tmp_path / "nothing.png", np.zeros((16, 16, 4), "uint8"))).min() == 255


def test_scaling_keeps_proportions_and_continues_the_border(tmp_path):
    bar = np.full((280, 140), 50, "uint8")
    bar[40:240, 40:100] = 250
    seen = read(save(tmp_path / "bar.png", bar), (28, 28, 1))[..., 0]
    assert (seen[:, :7] == 50).all() and (seen[:, 21:] == 50).all()  # 14 wide, in the middle of 28
    assert (seen[6:22, 12:16] == 250).all() and seen[14, 9] == 50
    assert read(save(tmp_path / "thread.png", np.full((2000, 3), 9, "uint8"))).min() == 9
    assert read(save(tmp_path / "dot.png", np.full((1, 1), 9, "uint8"))).max() == 9


# --------------------------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize("make, words", [
    (b"not a picture", "JPEG or PNG"), (b"", "JPEG or PNG"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "JPEG or PNG"),
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "JPEG or PNG"), (os.mkfifo, "is not a file but a pipe or a device"),
    (os.mkdir, "is not a file but a folder"), (lambda path: path.symlink_to("/dev/zero"), "a pipe or a device"),
    (lambda path: path.symlink_to("nothing"), "no such file"),
    (lambda path: path.write_bytes(save(path, GREY).read_bytes()[:150]), "truncated"),
    (lambda path: save(path, GREY.astype("float32"), format="tiff"), "its pixels are numbers from 0.0 to 255.0"),
    (lambda path: save(path, np.array([[0, 70000]], "int32"), format="tiff"), "from 0 to 70000; save it with 8 or 16"),
    (lambda path: save(path, Image.new("1", (14200, 14200))), "exceeds limit"),
])
def test_files_that_are_no_pictures_are_refused_in_a_line(tmp_path, make, words):
    path = tmp_path / "x.png"
    path.write_bytes(make) if isinstance(make, bytes) else make(path)
    message = refusal(read, path)
    assert message.startswith(str(path)) and words in message


@pytest.mark.slow
def test_a_process_reads_its_first_picture_and_postscript_starts_no_program(tmp_path):
    save(tmp_path / "first.png", Image.new("1", (50000, 1900)))  # so large that Pillow warns
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch '{tmp_path / 'trace'}'\n")
    program.chmod(0o755)
    page = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "x.png").write_text(page)
    code = ("from sgan.data.pictures import open_picture\nopen_picture('first.png')\nfrom PIL import Image\n"
            "try:\n    Image.open('x.png').load()\nexcept OSError:\n    pass\n"
            "import os\nassert os.path.exists('trace')\nos.remove('trace')\n"  # it is a file that starts one elsewhere
            "open_picture('x.png')\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}",
                               "PYTHONPATH": str(Path(__file__).parents[1])})
    assert "save it as JPEG or PNG" in done.stderr.splitlines()[-1] and not (tmp_path / "trace").exists()
    assert "Warning" not in done.stderr

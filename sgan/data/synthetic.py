"""Digits drawn from fonts, for tests and for machines without internet: like MNIST in form, easier in kind.

Each digit comes from one of the FONTS, in a random stroke width, rotated, scaled, sheared, shifted, pulled at its
corners and overlaid with noise.
"""

import functools
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONTS = ("DejaVuSans DejaVuSans-Bold DejaVuSans-Oblique DejaVuSans-BoldOblique DejaVuSansMono DejaVuSansMono-Bold "
         "DejaVuSansMono-Oblique DejaVuSansMono-BoldOblique DejaVuSerif DejaVuSerif-Bold DejaVuSerif-Italic "
         "DejaVuSerif-BoldItalic STIXGeneral STIXGeneralBol STIXGeneralItalic STIXGeneralBolIta cmr10 cmb10 cmss10 "
         "cmti10 cmtt10").split()


@functools.cache
def draw_glyphs():
    """Every digit in every font and stroke: glyphs[digit] is a list of PIL pictures with the digit centred.

    They are drawn at twice the final size, 40 pixels tall (20 in the end, as MNIST's digits are).
    """
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    glyphs, height = [[] for _ in range(10)], 40
    for name in FONTS:
        font = ImageFont.truetype(folder / f"{name}.ttf", 100, layout_engine=ImageFont.Layout.BASIC)
        font = font.font_variant(size=round(100 * height / font.getmask("8").size[1]))
        strokes = range(2 if "Bol" in name or name == "cmb10" else 4)  # a fatter bold 3 would be an 8
        for digit in range(10):
            left, top, right, bottom = font.getbbox(str(digit))
            for stroke in strokes:
                picture = Image.new("L", (2 * height, 2 * height))
                corner = height - (left + right) / 2, height - (top + bottom) / 2
                ImageDraw.Draw(picture).text(corner, str(digit), 255, font, stroke_width=stroke)
                glyphs[digit].append(picture)
    return glyphs


def draw_digits(n, seed):
    """White digits on black, as many of each class: images uint8 (n, 28, 28, 1), labels int64 (n,).

    `seed` is whatever np.random.default_rng takes; the same seed gives the same digits.
    """
    glyphs, rng = draw_glyphs(), np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 10)
    # For each image, where in the glyph's picture its four corners lie (in units of half its size).
    angle, shear = rng.normal(0, np.radians(9), n), rng.normal(0, 0.15, n)
    width, height = 1 / rng.uniform(0.85, 1.1, (2, n))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.array([[width, shear], [np.zeros(n), height]])
    square = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])  # PIL's order: upper left, lower left, ...
    corners = np.einsum("ijn,jkn,ck->nci", stretch, turn, square)
    corners += rng.normal(0, 0.05, (n, 1, 2)) + rng.normal(0, 0.05, (n, 4, 2))

    images = np.empty((n, 28, 28), np.float32)
    for image, label, quad in zip(images, labels, corners):
        glyph = glyphs[label][rng.integers(len(glyphs[label]))]
        quad = glyph.width / 2 + 28 * quad  # pixels of the glyph: 56 across become 28
        warped = glyph.transform((56, 56), Image.Transform.QUAD, quad.ravel(), Image.Resampling.BILINEAR)
        image[:] = warped.reduce(2)
    images *= rng.uniform(0.7, 1, (n, 1, 1))
    images += rng.uniform(0, 25, (n, 1, 1)) * rng.standard_normal(images.shape, np.float32)
    return images.clip(0, 255).astype(np.uint8)[..., None], labels

"""read_digit: pictures made of synthetic digits, read as MNIST was made or refused."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sgan.data.digits import NoDigit, read_digit

PAPER, PENCIL = 220, 70


@pytest.fixture(scope="module")
def clean_digits(digits):
    """Twenty synthetic digits without their noise: uint8 (20, 28, 28)."""
    images = digits.test_images[:20, ..., 0].astype(int)
    return np.where(images > 80, images, 0).astype("uint8")


def page(shape=(240, 320), seed=0):
    """Paper with a camera's noise: float (H, W)."""
    return PAPER + np.random.default_rng(seed).normal(0, 3, shape)


def draw(paper, digit, height=140, top=50, left=90, ink=PENCIL):
    """The paper with a 28x28 digit drawn on it; uint8."""
    size = round(height * 28 / 20)
    cover = np.zeros(paper.shape)
    large = np.asarray(Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC)) / 255
    cover[top:top + size, left:left + size] = large[:paper.shape[0] - top, :paper.shape[1] - left]
    return (paper + cover * (ink / PAPER - 1) * paper).clip(0, 255).astype("uint8")


def likeness(image, other):
    """Correlation of what is in the boxes around two digits, 1 if they are the same but for size and place."""
    cut = []
    for each in (image, other):
        rows, columns = np.flatnonzero(each.max(axis=1) > 100), np.flatnonzero(each.max(axis=0) > 100)
        box = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        cut.append(np.asarray(Image.fromarray(each).crop(box).resize((20, 20), Image.Resampling.BILINEAR)).ravel())
    return np.corrcoef(*cut)[0, 1]


def assert_as_mnist(image):
    """20 of 28 pixels long, its centre of mass in the middle, bright on black."""
    assert image.shape == (28, 28) and image.dtype == np.uint8
    rows, columns = np.flatnonzero(image.max(axis=1) > 20), np.flatnonzero(image.max(axis=0) > 20)
    assert 18 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
    pixels = image / image.sum()
    for axis in (0, 1):
        assert abs(pixels.sum(axis=axis) @ (np.arange(28) + 0.5) - 14) < 1
    assert image.max() > 240 and np.median(image) == 0


# ------------------------------------------------------------------------------------------------ what is read

@pytest.mark.parametrize("size", (1, 2, 5))
def test_dark_and_light_ink_are_told_apart_at_any_size(clean_digits, size):
    for digit in clean_digits[:25 // size]:
        picture = np.asarray(Image.fromarray(digit).resize((28 * size, 28 * size), Image.Resampling.BICUBIC))
        image = read_digit(picture)
        assert likeness(image, digit) > 0.7
        assert likeness(read_digit(255 - picture), image) > 0.85


@pytest.mark.parametrize("where", [{}, {"height": 50}, {"height": 60, "top": 150, "left": 10}])
def test_digit_on_paper_becomes_an_mnist_image(clean_digits, where):
    for digit in clean_digits[:3]:
        image = read_digit(draw(page(), digit, **where))
        assert_as_mnist(image)
        assert likeness(image, digit) > 0.7


def test_other_sizes_of_image(clean_digits):
    image = read_digit(draw(page(), clean_digits[0]), size=56)
    assert image.shape == (56, 56)
    assert_as_mnist(np.asarray(Image.fromarray(image).reduce(2)))


def uneven(paper):
    return paper * np.linspace(0.35, 1, paper.shape[1])


def ruled(paper):
    paper[np.arange(len(paper)) % 20 < 2] *= 0.75
    return paper


def on_a_table(paper):
    return np.pad(paper[25:, 40:], ((25, 0), (40, 0)), constant_values=60)


@pytest.mark.parametrize("change", [uneven, pytest.param(ruled, marks=pytest.mark.slow), on_a_table])
def test_background_is_removed(clean_digits, change):
    for digit in clean_digits[:3]:
        image = read_digit(draw(change(page()), digit, height=110, top=50, left=100))
        assert_as_mnist(image)
        assert likeness(image, digit) > 0.65
    with pytest.raises(NoDigit, match="no ink"):
        read_digit(change(page()).astype("uint8"))


def five(gap):
    """A picture of a 5 whose upper bar is `gap` pixels away from the rest."""
    picture = Image.fromarray(page().astype("uint8"))
    pencil = ImageDraw.Draw(picture)
    pencil.line((140 + gap, 62, 190 + gap, 62), fill=PENCIL, width=12)
    pencil.line((134, 62, 134, 115), fill=PENCIL, width=12)
    pencil.arc((125, 105, 190, 180), -140, 130, fill=PENCIL, width=12)
    return np.asarray(picture)


def test_broken_strokes_are_one_digit():
    assert likeness(read_digit(five(gap=0)), read_digit(five(gap=6))) > 0.7


def test_frame_is_no_digit(clean_digits):
    """As around the field of a form."""
    picture = Image.fromarray(draw(page(), clean_digits[0], height=100, top=50, left=90))
    ImageDraw.Draw(picture).rectangle((30, 20, 290, 220), outline=PENCIL, width=3)
    image = read_digit(np.asarray(picture))
    assert_as_mnist(image)
    assert likeness(image, clean_digits[0]) > 0.7


def test_polarity_can_be_forced():
    """A light ring with a dark disc in it: a 0 of light ink, or whatever the dark disc is."""
    picture = Image.new("L", (100, 100), 120)
    ImageDraw.Draw(picture).ellipse((25, 10, 75, 90), fill=120, outline=240, width=8)
    ImageDraw.Draw(picture).line((50, 35, 50, 65), fill=10, width=8)
    light, dark = (read_digit(np.asarray(picture), invert=invert) for invert in (False, True))
    assert light[:, 14].max() > 200 and light[14, 14] == 0
    assert dark[14, 14] == 255


def test_strokes_of_a_fine_pen_become_as_wide_as_mnists():
    picture = Image.fromarray(page().astype("uint8"))
    ImageDraw.Draw(picture).line((120, 50, 200, 50, 150, 200), fill=PENCIL, width=3)
    image = read_digit(np.asarray(picture))
    assert (image[12] > 100).sum() >= 1 and 1.2 < (image / 255).sum() / 30 < 3.5


# ------------------------------------------------------------------------------------------------ what is refused

@pytest.mark.parametrize("picture", [
    np.zeros((28, 28), "uint8"), np.full((28, 28), 255, "uint8"), np.full((8, 8), 7, "uint8"),
    page().astype("uint8"), uneven(page((300, 200))).astype("uint8"),
    np.random.default_rng(1).integers(0, 256, (100, 100), "uint8"), np.zeros((8, 5000), "uint8"),
    np.zeros((7, 28), "uint8"),
], ids=["black", "white", "8x8", "paper", "uneven", "noise", "strip", "small"])
def test_nothing_is_read_from_an_empty_page(picture):
    for invert in (None, True, False):
        with pytest.raises(NoDigit, match="no ink found|strokes as large stand apart"):  # the latter: noise
            read_digit(picture, invert=invert)


@pytest.mark.parametrize("gap", (8, 30, 100))
def test_two_digits_are_refused(clean_digits, gap):
    left, right = (digit[:, np.flatnonzero(digit.max(axis=0))] for digit in clean_digits[:2])
    both = np.hstack([left, np.zeros((28, round(gap / 4)), "uint8"), right])
    large = Image.fromarray(both).resize((both.shape[1] * 4, 112), Image.Resampling.BICUBIC)
    cover = np.zeros((240, 400))
    cover[60:172, 20:20 + large.width] = np.asarray(large) / 255
    with pytest.raises(NoDigit, match="more than one digit"):
        read_digit((page((240, 400)) * (1 - 0.7 * cover)).clip(0, 255).astype("uint8"))


# ------------------------------------------------------------------------------------------------ large pictures

def test_small_digit_in_a_photograph_of_12_megapixels_keeps_its_detail(clean_digits):
    """It is reduced first; a digit that is then tiny is cut out and read again."""
    digit = clean_digits[0]
    picture = np.full((3000, 4000), PAPER, "uint8")
    picture[700:900, 1100:1300] = draw(np.full((200, 200), float(PAPER)), digit, height=90, top=30, left=30)
    image = read_digit(picture)
    assert_as_mnist(image)
    assert likeness(image, digit) > 0.7

"""Turns a picture of a handwritten digit into an image like MNIST's.

    image = read_digit(picture)     # grey uint8 (H, W) of any size to uint8 (28, 28), bright on black

1. The background is estimated by a morphological opening: uneven light, the edges of shadows and of the sheet stay in
   it; whatever is narrower than the opening's window does not. The rest is the foreground.
2. Its strongest connected component of a digit's shape and with a sharp outline is the digit. The corner of a shadow or
   of the sheet has no sharp outline: where the window ends, the picture does not change.
3. Dark strokes on a light background and light strokes on a dark one are both looked for. The space between strokes is
   found as well, but it is smaller than they are, and a part of the sheet has less sharp an outline.
4. Components near it belong to it. One as large beside it is a second digit, which is refused.
5. The digit is scaled and centred as MNIST's digits were.

Lines on the paper need no step of their own: they are thinner and fainter than strokes.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

LONGEST = 320  # pixels: larger pictures are reduced to this first,
SMALLEST = 40  # and a digit that is then smaller than this is cut out of the picture and read again
BLUR = 0.004  # radius, in units of the picture's longer side: takes away noise and the lines of ruled paper
WINDOW = 0.38  # width of the opening's window, in units of the picture's mean side: wider strokes are not found
BLACK = 40  # grey levels added to the background before contrast is divided by it: dark backgrounds are mostly noise
MIN_CONTRAST = 0.05  # of the background: fainter marks are not strokes
THRESHOLD = 0.4  # of the strongest foreground: where strokes end
MIN_SHARP = 0.8  # smallest share of a digit's outline where foreground turns into background within 1 % of the picture
EXTENT = 20 / 28  # the longer side of MNIST's digits, in units of the image's
THINNEST = 1.5  # smallest width of strokes, in MNIST's pixels: thinner ones are made wider


class NoDigit(ValueError):
    """The picture shows no digit, or more than one; the message says which."""


class Strokes(NamedTuple):
    """What is found in a picture in one polarity."""

    dark: bool
    picture: np.ndarray  # uint8 (H, W), inverted if dark: strokes are bright
    contrast: np.ndarray  # float32 (H, W), 0..255: by how many grey levels it is brighter than the background
    foreground: np.ndarray  # float32 (H, W), from 0: the same in units of the background's brightness
    mask: np.ndarray  # bool (H, W): where the foreground is above the threshold
    component: np.ndarray  # bool (H, W): the connected component of the mask that may be a digit


def read_digit(picture, size=28, invert=None, extent=EXTENT):
    """Cut a digit, or another character, out of a picture.

    Args:
        picture: grey uint8 (H, W).
        size: of the image that is returned, in pixels.
        invert: True for dark strokes on a light background, False for light ones on dark; None finds out.
        extent: what the digit's longer side becomes, in units of the size.

    Returns:
        uint8 (size, size): bright strokes on black, their centre of mass in the middle, unless they would reach out.

    Raises:
        NoDigit: no strokes, or more than one digit.
    """
    factor = -(-max(picture.shape) // LONGEST)
    if min(picture.shape) < 8 * factor:
        raise NoDigit("too small, or a strip: no ink found")
    small = Image.fromarray(picture).reduce(factor)
    smooth = np.asarray(small.filter(ImageFilter.BoxBlur(BLUR * max(small.size))))
    found = [*filter(None, (find_strokes(smooth, dark) for dark in (True, False) if invert in (None, dark)))]
    if not found:
        raise NoDigit("no ink found")
    # A sharp outline counts more than size.
    strokes = max(found, key=lambda each: longer_side(each.component) * sharpness(each.component, each)**6)
    mask = all_of_digit(strokes)
    top, bottom, left, right = bounding_box(mask)
    long = max(bottom - top, right - left)
    if factor > 1 and long < SMALLEST:
        near = picture[factor * max(0, top - long):factor * (bottom + long),
                       factor * max(0, left - long):factor * (right + long)]
        return read_digit(near, size, strokes.dark, extent)
    return as_mnist(strokes.foreground, mask, size, extent)


# --------------------------------------------------------------------------------------------------------------
# Windows and masks


def square_filter(values, length, extreme):
    """The largest (np.maximum) or smallest value in each square window: (H - length + 1, W - length + 1)."""
    for _ in range(2):
        covered = 1  # rows, by each row
        while covered < length:
            step = min(covered, length - covered)
            values, covered = extreme(values[:-step], values[step:]), covered + step
        values = values.T
    return values


def dilate(mask, by):
    """A mask (H, W) with all that is at most `by` pixels away, up or down and sideways: a morphological dilation."""
    return square_filter(np.pad(mask, by), 2 * by + 1, np.maximum)


def connected_components(mask):
    """A number for each connected component of a mask (diagonals connect), 0 outside: int32 (H, W)."""
    numbers = np.where(mask, np.arange(1, mask.size + 1, dtype="int32").reshape(mask.shape), 0)
    while True:
        highest = np.where(mask, square_filter(np.pad(numbers, 1), 3, np.maximum), 0)
        highest = np.append(0, highest)[highest]  # jump ahead: the number that its pixel has by now
        if np.array_equal(highest, numbers):
            return numbers
        numbers = highest


def bounding_box(mask):
    """Top, bottom, left, right of a mask's pixels; bottom and right are the first without one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def longer_side(mask):
    """Height or width of a mask's pixels, whichever is larger."""
    top, bottom, left, right = bounding_box(mask)
    return max(bottom - top, right - left)


def stroke_width(mask):
    """Twice the area divided by the outline's length."""
    padded = np.pad(mask, 1)
    outline = np.count_nonzero(np.diff(padded, axis=0)) + np.count_nonzero(np.diff(padded, axis=1))
    return 2 * np.count_nonzero(mask) / outline


# --------------------------------------------------------------------------------------------------------------
# Finding the strokes


def find_strokes(picture, dark):
    """The Strokes of one polarity in a picture uint8 (H, W), None if there are none."""
    picture = 255 - picture if dark else picture
    length = round(WINDOW * sum(picture.shape) / 2) | 1
    background = np.pad(picture, length - 1, constant_values=255)  # windows may reach out of the picture
    background = square_filter(square_filter(background, length, np.minimum), length, np.maximum)
    contrast = (picture - background).astype("float32")
    brightness = (255 - background if dark else background).astype("float32")
    foreground = contrast / (brightness + BLACK)
    remaining = foreground.copy()
    for _ in range(12):  # the strongest first
        level = remaining.max()
        if level < MIN_CONTRAST:
            break
        mask = remaining > THRESHOLD * level
        numbers = connected_components(mask)
        component = numbers == numbers.flat[remaining.argmax()]
        strokes = Strokes(dark, picture, contrast, foreground, mask, component)
        if may_be_digit(component, strokes):
            return strokes
        remaining[dilate(component, 2)] = 0
    return None


def may_be_digit(component, strokes):
    """Whether a component (H, W) has a digit's shape and a sharp outline."""
    height, width = component.shape
    top, bottom, left, right = bounding_box(component)
    short, long = sorted((bottom - top, right - left))
    if long < max(4, 0.02 * max(height, width)):  # a speck
        return False
    at_border = top == 0 or left == 0 or bottom == height or right == width
    if at_border and (long < 0.6 * max(height, width) or short < 0.15 * min(height, width)):
        return False  # a cropped stroke, a ruled line, the sheet's edge
    middle = tuple(slice((3 * start + end) // 4, (start + 3 * end) // 4)
                   for start, end in ((top, bottom), (left, right)))
    if not component[middle].any() and np.count_nonzero(strokes.mask[middle]) > 0.1 * np.count_nonzero(component):
        return False  # a frame around other strokes
    return sharpness(component, strokes) > MIN_SHARP


def sharpness(component, strokes):
    """The share, 0..1, of a component's outline where the picture changes from foreground to background."""
    near = max(1, round(0.012 * max(component.shape)))
    component = np.pad(component, near + 1)
    ring = dilate(component, near + 1) & ~dilate(component, near)
    picture, contrast = (np.pad(each, near + 1, mode="edge") for each in (strokes.picture, strokes.contrast))
    level, contrast = (dilate(np.where(component, each, 0), 2 * near + 3)[ring] for each in (picture, contrast))
    return np.mean(level - picture[ring].astype(float) > 0.5 * contrast)


def all_of_digit(strokes):
    """A mask (H, W) of the strokes' component and what belongs to it. NoDigit if there is a second digit.

    Lengths and areas are compared with the component's own.
    """
    digit, area = strokes.component.copy(), np.count_nonzero(strokes.component)
    extent, width = longer_side(digit), stroke_width(digit)
    numbers = connected_components(strokes.mask & ~digit)
    areas = np.bincount(numbers[numbers > 0])
    for number in np.flatnonzero(areas >= 0.02 * area):
        component = numbers == number
        (top, bottom, left, right), box = bounding_box(digit), bounding_box(component)
        far = not dilate(digit, round(0.3 * extent))[component].any()
        beside = (top < box[1] and box[0] < bottom
                  and max(left - box[3], box[2] - right) > max(0.5 * width, 0.04 * extent))
        large = longer_side(component) > 0.4 * extent and areas[number] > 0.15 * area
        if large and (far or beside) and may_be_digit(component, strokes):
            raise NoDigit("more than one digit: strokes as large stand apart")
        if not far:
            digit |= component
    top, bottom, left, right = bounding_box(digit)
    if right - left > 2.5 * (bottom - top):
        raise NoDigit("more than one digit: far wider than high")
    return digit


# --------------------------------------------------------------------------------------------------------------
# From strokes to the digit


def as_mnist(foreground, mask, size, extent):
    """The foreground (H, W) near a mask as MNIST's digits are, but for `extent`: uint8 (size, size)."""
    width = stroke_width(mask)
    full = np.quantile(foreground[mask], 0.75)
    ink = np.where(dilate(mask, max(1, round(width / 2))), foreground, 0).clip(0, full)
    mask = ink > 0.25 * full
    missing = max(0, round((THINNEST * longer_side(mask) / 20 - width) / 2))
    ink, mask = (dilate(np.pad(each, missing), missing) for each in (ink, mask))
    top, bottom, left, right = bounding_box(mask)
    scale = size * extent / longer_side(mask)
    height, width = (max(1, round(scale * length)) for length in (bottom - top, right - left))
    ink = Image.fromarray(ink[top:bottom, left:right].astype("float32"))
    ink = np.asarray(ink.resize((width, height), Image.Resampling.HAMMING))
    ink = (ink / np.quantile(ink[ink > 0.5 * ink.max()], 0.75)).clip(0, 1)
    top, left = (np.clip(round(size / 2 - (np.arange(len(sums)) + 0.5) @ sums / sums.sum()), 0, size - len(sums))
                 for sums in (ink.sum(axis=1), ink.sum(axis=0)))  # the centre of mass goes into the middle
    image = np.zeros((size, size), "uint8")
    image[top:top + height, left:left + width] = np.round(255 * ink)
    return image

"""Reads a photographed or drawn digit as MNIST was made.

    image = read_digit(picture)     # grey uint8 (height, width) of any size to uint8 (28, 28), bright on black

1. Ruled lines, which cross the whole picture, are taken out of it.
2. The ground is what a morphological closing leaves (an opening, for light ink): uneven light, the edges of shadows
   and of the sheet, and the table beside it stay in the ground; what is narrower than the closing's square does not.
   What differs from the ground is ink.
3. The strongest ink is the digit if the picture changes sharply all along its outline. Otherwise, as at the corner of
   a shadow, the next strongest is tried.
4. Both polarities and two sizes of square are tried, and the sharpest outline wins. Where two are as sharp, one may be
   inside the other, as the light inside of a dark 0: then the outer one is the digit.
5. Strokes near it belong to it; others as large are a second digit, which is refused.
6. The digit is scaled and centred as MNIST's digits were.
"""

from contextlib import suppress

import numpy as np
from PIL import Image

LONGEST = 320  # pixels: larger pictures are reduced to this first,
SMALLEST = 40  # and a digit that then is smaller than this is cut out and looked at again
SQUARES = (0.25, 0.5)  # sides, in units of the picture's mean side: wider strokes are not found
BLACK = 40  # added to the ground before ink is divided by it: dark grounds are mostly noise
LEAST_INK = 0.05  # of the ground: fainter marks are none,
LEAST_SIGNAL = 8  # nor are those within so many standard deviations of the noise
CUT = 0.4  # of the strongest ink: where strokes end
SHARP = 0.8  # the least share of a digit's outline where ink changes to ground within about 1 % of the picture
STROKES = (1.5, 3.0)  # widths that MNIST's strokes have, in its pixels: others are made wider or narrower


class NoDigit(ValueError):
    """The picture shows no digit, or more than one; the message says which."""


def read_digit(picture, size=28, invert=None):
    """Cut a digit out of a picture.

    Args:
        picture: grey uint8 (height, width), from 8x8 pixels on.
        size: of the image that is returned, in pixels; the digit's longer side becomes 20/28 of it.
        invert: True for dark ink on light ground, False for light ink on dark; None finds out.

    Returns:
        uint8 (size, size): bright ink on black, its centre of mass in the middle.

    Raises:
        NoDigit: no ink, or more than one digit.
        ValueError: the array is none of these.
    """
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 2 or min(picture.shape) < 8:
        raise ValueError(f"not a grey uint8 picture from 8x8 pixels on: {picture.dtype} {picture.shape}")
    small, factor = reduced(picture)
    if min(small.shape) < 8:
        raise NoDigit("no ink found: the picture is a strip")
    strokes, mask = find_digit(small, invert)
    top, bottom, left, right = box = box_of(mask)
    extent = longer_side(box)
    if factor > 1 and extent < SMALLEST:
        rows, columns = (slice(max(0, factor * (start - extent)), factor * (end + extent))
                         for start, end in ((top, bottom), (left, right)))
        with suppress(NoDigit):  # then the first look has to do
            strokes, mask = find_digit(reduced(picture[rows, columns])[0], strokes.dark)
    return scaled(strokes, mask, size)


def reduced(picture):
    """The picture with at most LONGEST pixels a side, and how many pixels became one in each direction."""
    factor = -(-max(picture.shape) // LONGEST)
    return (np.asarray(Image.fromarray(picture).reduce(factor)) if factor > 1 else picture), factor


# --------------------------------------------------------------------------------------------------------------
# Windows, masks and their pieces


def extreme_within(values, window, extreme):
    """The largest (np.maximum) or smallest value in each window (rows, columns): (H, W), less by its size - 1."""
    for length in window:
        have = 1  # so many rows are covered by each row
        while have < length:
            step = min(have, length - have)
            values, have = extreme(values[:-step], values[step:]), have + step
        values = values.T
    return values


def mean_within(values, length):
    """The mean of the square of odd length around each pixel, the border repeated outside: (H, W)."""
    if length == 1:
        return values
    sums = np.pad(np.pad(values, length // 2, mode="edge"), ((1, 0), (1, 0))).cumsum(0, "float64").cumsum(1)
    sums = sums[length:, length:] - sums[:-length, length:] - sums[length:, :-length] + sums[:-length, :-length]
    return (sums / length**2).astype("float32")


def grown(mask, by):
    """The mask with all that is at most `by` pixels away, in both directions."""
    return extreme_within(np.pad(mask, by), 2 * (2 * by + 1,), np.maximum)


def numbered(mask):
    """A number for each connected piece of a mask (diagonals connect), 0 outside: int32 (H, W)."""
    numbers = np.where(mask, np.arange(1, mask.size + 1, dtype="int32").reshape(mask.shape), 0)
    while True:
        highest = np.where(mask, extreme_within(np.pad(numbers, 1), (3, 3), np.maximum), 0)
        highest = np.append(0, highest)[highest]  # what the pixel of that number has heard of meanwhile
        if np.array_equal(highest, numbers):
            return numbers
        numbers = highest


def box_of(mask):
    """Top, bottom, left, right of a mask's pixels; bottom and right are the first without one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def longer_side(box):
    return max(box[1] - box[0], box[3] - box[2])


def stroke_width(mask):
    """Twice the area by the outline's length."""
    padded = np.pad(mask, 1)
    outline = np.count_nonzero(np.diff(padded, axis=0)) + np.count_nonzero(np.diff(padded, axis=1))
    return 2 * np.count_nonzero(mask) / outline


# --------------------------------------------------------------------------------------------------------------
# Finding the strokes


class Strokes:
    """The strokes of a picture in one polarity. All arrays are (H, W).

    Attributes:
        dark: whether the ink is dark.
        ink: how much ink there is, in units of the ground: 0, apart from noise, where there is none.
        smooth: the same with less noise; below `faintest` it is no ink.
        mask: where there is ink; `piece`, where the strongest strokes are.
        sharpness: 0..1, of their outline; 0 where nothing was found.
    """

    def __init__(self, picture, dark, square):
        """`picture` is uint8; `square` is the ground's, in units of the picture's shorter side."""
        fine, coarse = (2 * round(share * max(picture.shape)) + 1 for share in (0.004, 0.0075))
        self.dark, self.square, self.ground = dark, square, find_ground(picture, dark, square)
        self.ink = np.abs(self.ground - picture) / (self.ground + BLACK)
        self.ink -= np.quantile(self.ink, 0.25)
        self.smooth = mean_within(self.ink, fine)
        self.picture = mean_within(picture.astype("float32"), fine)
        self.find_piece(mean_within(self.ink, coarse).copy())

    def find_piece(self, strength):
        step = max(1, 6 * round(0.004 * max(strength.shape)))
        noise = 1.05 * np.median(np.abs(self.smooth[step:] - self.smooth[:-step]))
        for _ in range(12):
            level = strength.max()
            if level < max(LEAST_INK, LEAST_SIGNAL * noise):
                break
            self.mask, self.faintest = (self.smooth > CUT * level) & (strength >= -1), max(0.25 * level, 4 * noise)
            if not self.mask.any():
                break
            peak = np.where(self.mask, strength, -3).argmax()
            pieces = numbered(self.mask)
            reach = round(stroke_width(pieces == pieces.flat[peak]))
            pieces = np.where(self.mask, numbered(grown(self.mask, reach)), 0)  # near dots are one stroke
            self.piece = pieces == pieces.flat[peak]
            self.sharpness = self.sharpness_of(self.piece) if self.may_be_digit(self.piece) else 0
            if self.sharpness > SHARP:
                return
            strength[grown(self.piece, 2)] = -2  # looked at
        self.sharpness = 0

    def may_be_digit(self, piece):
        """Whether a piece is no speck, no blob, no frame around other ink, and does not run out of the picture."""
        height, width = piece.shape
        top, bottom, left, right = box_of(piece)
        short, long = sorted((bottom - top, right - left))
        if long < max(4, 0.02 * max(height, width)) or stroke_width(piece) > 0.3 * long + 1:
            return False
        if ((top == 0 or left == 0 or bottom == height or right == width)  # unless it fills the picture
                and (long < 0.6 * max(height, width) or short < 0.15 * min(height, width))):
            return False
        middle = tuple(slice((3 * start + end) // 4, (start + 3 * end) // 4)
                       for start, end in ((top, bottom), (left, right)))
        return piece[middle].any() or np.count_nonzero(self.mask[middle]) <= 0.1 * np.count_nonzero(piece)

    def sharpness_of(self, piece):
        """On which share of a piece's outline the picture changes from ink to ground: 0..1."""
        near = max(1, round(0.012 * max(piece.shape)))
        inside, ink = np.pad(np.ones_like(piece), near + 1), np.pad(piece, near + 1)
        ring = grown(ink, near + 1) & ~grown(ink, near)
        picture, ground = (np.pad(array, near + 1, mode="edge") for array in (self.picture, self.ground))
        inked, level, contrast = (mean_within(np.where(ink, values, 0).astype("float32"), 4 * near + 7)[ring]
                                  for values in (1, picture, ground - picture))
        changes = (picture[ring] * inked - level) * np.sign(contrast) > 0.5 * np.abs(contrast)
        return np.maximum(changes, np.where(inside[ring], 0, 0.5)).mean()


def find_ground(picture, dark, square):
    """The picture without its dark (or light) strokes: float32 (H, W).

    Squares may reach out of the picture, so that a strip of table along its border is ground, too.
    """
    length = round(square * sum(picture.shape) / 2) | 1
    ground = np.pad(picture, length - 1, constant_values=0 if dark else 255)
    for extreme in (np.maximum, np.minimum) if dark else (np.minimum, np.maximum):
        ground = extreme_within(ground, (length, length), extreme)
    return ground.astype("float32")


def without_lines(picture):
    """The picture, uint8 (H, W), without level and upright lines, dark or light, across the whole of it."""
    if min(picture.shape) <= 64:  # where a stroke can be as long as the picture
        return picture
    for dark in (True, False):
        ground = find_ground(picture, dark, SQUARES[0])
        ink = np.abs(ground - picture) / (ground + BLACK)
        removed = ink - without_level_lines(without_level_lines(ink).T).T
        picture = np.round(picture + (1 if dark else -1) * removed * (ground + BLACK)).astype("uint8")
    return picture


def without_level_lines(ink):
    """The ink (H, W) without lines across the whole picture, level but for a few degrees."""
    height, width = ink.shape
    rows, columns = np.arange(height)[:, None], np.arange(width) - width / 2

    def sheared(values, slope, step=1):
        return np.take_along_axis(values, (rows + np.round(slope * columns[::step]).astype(int)) % height, axis=0)

    def contrast(slope):  # between the rows
        return np.diff(sheared(bounded, slope, step=4).mean(axis=1)).var()

    bounded = np.minimum(ink, np.quantile(ink, 0.99))[:, ::4]  # so that no stroke outweighs the lines
    slope = max(np.arange(-0.09, 0.091, 0.005), key=contrast)
    wider = extreme_within(np.pad(ink, 1, mode="edge"), (3, 3), np.maximum)  # a line need not be quite straight
    along = np.quantile(sheared(wider, slope), 0.15, axis=1)  # what most of the line has
    along = (along - np.median(along)).clip(0)
    if along.max() < 0.02 or np.count_nonzero(np.diff(along > 0.5 * along.max())) < 5:  # fewer than three
        return ink
    lines = sheared(np.broadcast_to(along[:, None], ink.shape), -slope)
    left = np.where(ink < 2 * lines, 0, ink)
    # A stroke that crosses a line goes on above and below it.
    reach = max(1, round(0.015 * max(ink.shape)))
    bridged = np.pad(left, ((2 * reach, 2 * reach), (0, 0)))
    for extreme in (np.maximum, np.minimum):
        bridged = extreme_within(bridged, (2 * reach + 1, 1), extreme)
    return np.where(left < ink, np.minimum(bridged, ink), ink)


# --------------------------------------------------------------------------------------------------------------
# From strokes to the digit


def find_digit(picture, invert):
    """The Strokes of the picture's digit and a mask (H, W) of all that belongs to it; NoDigit where there is none."""
    best = None
    picture = without_lines(picture)
    for square in SQUARES:
        for dark in (True, False) if invert is None else (invert,):
            strokes = Strokes(picture, dark, square)
            if strokes.sharpness and (best is None or is_better(strokes, best)):
                best = strokes
    if best is None:
        raise NoDigit("no ink found")
    return best, gather(best)


def is_better(strokes, best):
    """Whether these are the digit rather than the best so far, which were found with a square not larger."""
    widths = [stroke_width(each.piece) / longer_side(box_of(each.piece)) for each in (strokes, best)]
    encloses, is_enclosed = (a.mask[grown(b.piece, 2) & ~b.piece].mean() > 0.9
                             and (width < 0.15 or a.square == b.square)  # and is not the sheet
                             for a, b, width in ((strokes, best, widths[0]), (best, strokes, widths[1])))
    if encloses != is_enclosed:
        return encloses
    if abs(strokes.sharpness - best.sharpness) > 0.04:
        return strokes.sharpness > best.sharpness
    if strokes.dark == best.dark:
        return True  # the same strokes, but the larger square finds more of the inside of wide ones
    return widths[0] < widths[1]  # the space between two strokes is wider than they


def gather(strokes):
    """A mask (H, W) of the digit: its strongest piece and what belongs to it. NoDigit for a second digit."""
    extent, width = longer_side(box_of(strokes.piece)), stroke_width(strokes.piece)
    numbers, area = numbered(strokes.mask), np.count_nonzero(strokes.piece)
    areas = np.bincount(numbers[strokes.mask])
    own = set(np.unique(numbers[strokes.piece]).tolist())  # more than one where strokes are broken or dotted
    others = set(np.flatnonzero(areas >= 0.02 * area).tolist()) - own
    digit = np.zeros_like(strokes.mask)
    for number in (*sorted(own, key=lambda each: -areas[each]), *sorted(others, key=lambda each: -areas[each])):
        piece = numbers == number
        if number in others and strokes.sharpness_of(piece) < SHARP:
            continue  # a shadow
        if digit.any():
            (top, bottom, left, right), box = box_of(digit), box_of(piece)
            far = number in others and not grown(digit, round(0.3 * extent))[piece].any()
            beside = (top < box[1] and box[0] < bottom
                      and max(left - box[3], box[2] - right) > max(0.5 * width, 0.04 * extent))
            large = longer_side(box) > 0.4 * extent and areas[number] > 0.15 * area
            if large and (far or beside) and strokes.may_be_digit(piece):
                raise NoDigit("more than one digit: strokes as large stand apart")
            if far:
                continue
        digit |= piece
    top, bottom, left, right = box_of(digit)
    if right - left > 2 * (bottom - top):
        raise NoDigit("more than one digit: twice as wide as high")
    return digit


def scaled(strokes, mask, size):
    """The strokes within a mask as MNIST's digits are: uint8 (size, size)."""
    width = stroke_width(mask)
    around = grown(mask, max(1, round(width / 2)))
    ink = np.where(around, strokes.ink, 0).clip(0, np.quantile(strokes.ink[mask], 0.75))
    mask = mask | (around & (strokes.smooth > strokes.faintest))
    unit = longer_side(box_of(mask)) / 20  # pixels of the picture that become one of MNIST's
    by = round((np.clip(width, *(unit * limit for limit in STROKES)) - width) / 2)
    if by:
        ink, mask = (extreme_within(np.pad(array, 2 * abs(by)), 2 * (2 * abs(by) + 1,),
                                    np.maximum if by > 0 else np.minimum) for array in (ink, mask))
    top, bottom, left, right = box = box_of(mask)
    scale = size * 20 / 28 / longer_side(box)
    height, width = (max(1, round(scale * length)) for length in (bottom - top, right - left))
    ink = Image.fromarray(ink[top:bottom, left:right].astype("float32"))
    ink = np.asarray(ink.resize((width, height), Image.Resampling.HAMMING))
    ink = (ink / np.quantile(ink[ink > 0.5 * ink.max()], 0.75)).clip(0, 1)
    top, left = (round(1.5 * size - (np.arange(len(sums)) + 0.5) @ sums / sums.sum())
                 for sums in (ink.sum(axis=1), ink.sum(axis=0)))  # the centre of mass goes into the middle
    image = np.zeros((3 * size, 3 * size), "uint8")  # a lopsided digit may reach out of the size
    image[top:top + height, left:left + width] = np.round(255 * ink)
    return image[size:2 * size, size:2 * size]

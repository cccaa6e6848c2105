"""Read picture files of any kind and size, which anyone may have made, as the images of a classifier."""

import warnings

import numpy as np
from PIL import Image, ImageOps

from sgan.runs.command import InputError
from sgan.runs.files import first_line, regular_file

# What Pillow decodes by itself. Others need programs that it would start (EPS), or are no pictures (HDF5, MPEG, ...).
FORMATS = "PNG", "JPEG", "MPO", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000"
Image.init()  # or Pillow knows most kinds only after the first picture
warnings.filterwarnings("ignore", module="PIL")  # of damaged EXIF data and the like: it is the pixels that matter


def open_picture(path):
    """Decode a picture file, turned as its EXIF data say.

    Returns:
        A Pillow picture with 8 bits a channel.

    Raises:
        InputError: it is not a picture that is read here, is damaged, or holds several pictures (an animation, pages).
    """
    path = regular_file(path)
    try:
        with Image.open(path, formats=[kind for kind in FORMATS if kind in Image.OPEN]) as file:
            if file.format != "MPO" and getattr(file, "is_animated", False):  # in MPO, cameras store a small copy, too
                raise ValueError("it holds several pictures")
            deep = any(";16" in str(tile.args) for tile in file.tile)
            return to_8_bits(ImageOps.exif_transpose(file), deep)
    except Exception as error:  # Pillow's many decoders raise many kinds
        raise InputError(f"{path}: cannot be read as a picture; save it as JPEG or PNG ({first_line(error)})") from None


def to_8_bits(picture, deep):
    """A Pillow picture with 8 bits a channel; `deep`: its file has 16. Raises ValueError for other scales.

    Cameras, scanners and medical devices store 8, 10, 12 or 14 bits in 16, masks a single one: white is the largest
    value of as many bits as a grey picture uses, which for a dark one may be fewer than for others of its set. Pillow
    would cut greys off at 255; colours it divides by 256.
    """
    if deep and picture.mode in ("RGB", "RGBA") and max(high for _, high in picture.getextrema()[:3]) < 16:
        raise ValueError("its colours have 16 bits and use only 12 of them")
    if picture.mode[0] in "IF":
        pixels = np.asarray(picture)
        if picture.mode == "F" or pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError(f"its pixels are numbers from {pixels.min()} to {pixels.max()}; save it with 8 or 16 bits")
        white = next(2**bits - 1 for bits in (1, 8, 10, 12, 14, 16) if pixels.max() < 2**bits)
        return Image.fromarray((pixels * (255 / white)).round().astype("uint8"))
    return picture.convert("RGB") if picture.mode == "LAB" else picture


def to_grey_or_rgb(picture, channels):
    """Convert a Pillow picture with 8 bits a channel to grey (1 channel) or RGB (3)."""
    if picture.has_transparency_data:  # ink on nothing: bright ink is put on black, dark ink on white
        picture = picture.convert("RGBA")
        ink = np.sum(np.asarray(picture.getchannel("A")) * (np.asarray(picture.convert("L")) - np.int32(127)))
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black" if ink > 0 else "white"), picture)
    return picture.convert("L" if channels == 1 else "RGB")


def scale_to(picture, shape):
    """Scale a grey or RGB picture to uint8 (H, W, C), `shape`.

    It is scaled as a whole and keeps its proportions; what is then missing on two sides is filled with the colour of
    its border. A picture of the right size is taken as it is.
    """
    height, width, channels = shape
    scale = min(height / picture.height, width / picture.width)
    size = [max(1, round(scale * length)) for length in picture.size]
    pixels = np.asarray(picture.resize(size, Image.Resampling.BILINEAR)).reshape(size[1], size[0], channels)
    if pixels.shape == shape:
        return pixels
    image = np.empty(shape, "uint8")
    image[:] = ground_of(pixels)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    image[top:top + size[1], left:left + size[0]] = pixels
    return image


def ground_of(image):
    """The colour of an image's ground, (C,), for an image (H, W, C): the median of its border."""
    return np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]), axis=0)

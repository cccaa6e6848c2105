"""Read picture files of any kind and size, which anyone may have made, as the images of a classifier."""

import warnings

import numpy as np
from PIL import Image, ImageOps

from sgan.runs.command import InputError
from sgan.runs.files import first_line, regular_file

# What Pillow decodes by itself. Others need programs that it would start (EPS), or are no pictures (HDF5, MPEG, ...).
FORMATS = ("PNG", "JPEG", "MPO", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000", "ICO", "ICNS", "PSD", "QOI",
           "DIB", "DDS", "PCX", "SGI", "TGA")
Image.init()  # or Pillow knows most kinds only after the first picture
MAX_PIXELS = 100_000_000  # of one picture; decoding needs up to 16 bytes for each
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def open_picture(path):
    """Decode a picture file, turned as its EXIF data say.

    Returns:
        A Pillow picture; `info["first_of_many"]` is True where the file holds further ones (an animation, pages).

    Raises:
        InputError: it is not a picture that is read here, is damaged, or has more than MAX_PIXELS.
    """
    path = regular_file(path)
    if not path.stat().st_size:
        raise InputError(f"{path}: cannot be read as a picture (it is empty)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged EXIF data and the like: it is the pixels that matter
        try:
            with Image.open(path, formats=[kind for kind in FORMATS if kind in Image.OPEN]) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                # Cameras store a second, small picture in MPO, and a PSD's further ones are its layers.
                first_of_many = picture.format not in ("MPO", "PSD") and getattr(picture, "is_animated", False)
                deep = any(";16" in str(tile.args) for tile in picture.tile)
                picture.load()
                if deep and picture.mode in ("LA", "RGB", "RGBA") and brightest(picture) < 16:
                    raise ValueError("its colours have 16 bits and use only 12 of them; save it with 8 bits")
                ImageOps.exif_transpose(picture, in_place=True)
        except Image.DecompressionBombError:
            raise InputError(f"{path}: has more than {MAX_PIXELS // 10**6} million pixels; "
                             "make the picture smaller") from None
        except Image.UnidentifiedImageError:
            raise InputError(f"{path}: cannot be read as a picture ({unknown_kind(path)})") from None
        except Exception as error:  # Pillow's many decoders raise many kinds
            reason = getattr(error, "strerror", None) or first_line(error)
            raise InputError(f"{path}: cannot be read as a picture ({reason})") from None
    picture.info["first_of_many"] = first_of_many
    return picture


def unknown_kind(path):
    """Why a file that Pillow does not know is not read."""
    with open(path, "rb") as file:
        start = file.read(12)
    if path.suffix.lower() in (".heic", ".heif") or start[4:8] == b"ftyp" and start[8:] in HEIC_BRANDS:
        return "HEIC is not read here; convert it to JPEG or PNG"
    return "it is none of the kinds that are read here; save it as JPEG or PNG"


def brightest(picture):
    """The largest value of any colour, opacity left out."""
    return max(largest for _, largest in picture.getextrema()[:1 if picture.mode == "LA" else 3])


def to_grey_or_rgb(picture, channels):
    """Convert a Pillow picture to 8-bit grey (1 channel) or RGB (3). Raises ValueError where that is impossible."""
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it as PNG")
    if picture.mode.startswith("I"):
        picture = from_16_bits(picture)
    if picture.has_transparency_data:  # ink on nothing: bright ink is put on black, dark ink on white
        picture = picture.convert("RGBA")
        opacity, brightness = np.asarray(picture.getchannel("A")), np.asarray(picture.convert("L"))
        ink = sum(np.sum(row * (values - np.int32(127))) for row, values in zip(opacity, brightness))  # saves memory
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black" if ink > 0 else "white"), picture)
    if picture.mode == "LAB":
        picture = picture.convert("RGB")
    return picture.convert("L" if channels == 1 else "RGB")


def from_16_bits(picture):
    """Scale integer pixels, which Pillow would cut off at 255, to 8 bits.

    Cameras, scanners and medical devices store 8, 10, 12 or 14 bits in 16, masks a single one: white is the largest
    value of as many bits as the picture uses.
    """
    pixels = np.asarray(picture)
    least, largest = int(pixels.min()), int(pixels.max())
    if least < 0 or largest > 65535:
        raise ValueError(f"its pixels are whole numbers from {least} to {largest}; save it with 8 or 16 bits")
    white = next(2**bits - 1 for bits in (1, 8, 10, 12, 14, 16) if largest < 2**bits)
    scaled = (np.arange(white + 1) * (255 / white)).round().astype("uint8")
    return Image.fromarray(scaled[pixels])


def fit(picture, shape):
    """Scale a grey or RGB picture to uint8 (H, W, C), `shape`.

    It is scaled as a whole and keeps its proportions; what is then missing on two sides is filled with the colour of
    its border. A picture of the right size is taken as it is.
    """
    height, width, channels = shape
    scale = min(height / picture.height, width / picture.width)
    size = [max(1, round(scale * length)) for length in picture.size]
    pixels = np.asarray(picture.resize(size, Image.Resampling.BILINEAR)).reshape(size[1], size[0], channels)
    image = np.empty(shape, "uint8")
    image[:] = ground_of(pixels)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    image[top:top + size[1], left:left + size[0]] = pixels
    return image


def ground_of(image):
    """The colour of an image's ground, (C,), for an image (H, W, C): the median of its border."""
    return np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]), axis=0)

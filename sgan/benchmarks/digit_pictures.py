"""How well photographed digits are read: pictures like photographs, made from MNIST's digits.

    python -m sgan.benchmarks.digit_pictures                            200 pictures of each kind from the test digits
    python -m sgan.benchmarks.digit_pictures --data development.npz     from training digits (sgan.studies.development)

Each digit is drawn as ink on a page, the page is lit, and a camera takes its picture, with blur, noise and JPEG. The
pictures are read by `read_digit` and the committed classifier. Writes RESULTS/digit_pictures.csv and .png (examples of
each kind, beside each what was cut out).
"""

import io
from pathlib import Path

import sgan  # before Keras: it chooses the backend and TensorFlow's CPU kernels

if __name__ == "__main__":
    sgan.begin_script()

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageFilter

from sgan.data.dataset import load_real_samples
from sgan.data.digits import NoDigit, read_digit
from sgan.models.evaluation import predict_classes
from sgan.models.loading import load_classifier
from sgan.runs.command import InputError, run_command
from sgan.runs.device import set_up_device
from sgan.runs.files import check_writable, expand, write_csv
from sgan.runs.options import ArgumentParser, at_least
from sgan.runs.plots import save_figure

CLASSIFIER = Path(__file__).parents[2] / "results" / "tuned" / "c_model_4200.h5"
EXAMPLES = 4

# How the pictures of a kind differ from a digit in the middle, in dark ink on evenly lit plain paper.
KINDS = {
    "in the middle": {},
    "small (20 % of the height)": {"height": (0.2, 0.2), "spread": 1},
    "uneven light, off the middle": {"uneven": True, "height": (0.25, 0.45), "spread": 1},
    "squared paper": {"height": (0.25, 0.7), "squared": True},
    "pale pencil": {"contrast": (0.15, 0.35)},
    "chalk on a dark board": {"height": (0.3, 0.7), "paper": (0.05, 0.15), "chalk": True, "uneven": True},
    "shadow with a soft edge": {"height": (0.3, 0.7), "shadow": (0.02, 0.08)},
    "shadow with a hard edge": {"height": (0.3, 0.7), "shadow": (0.001, 0.004)},
    "sheet on a darker table": {"height": (0.2, 0.4), "table": (0.15, 0.5)},
    "grey sheet on a lighter table": {"height": (0.2, 0.4), "paper": (0.45, 0.6), "table": (0.75, 0.95)},
    "blurred, coarse JPEG": {"blur": 0.006, "quality": (12, 30)},
    "thick marker": {"swell": (1.0, 2.0)},
    "turned a little": {"angle": 15},
}


# --------------------------------------------------------------------------------------------------------------
# The pictures


def soft_step(values, width):
    """0 where `values` are far below 0, 1 far above, with a transition of about `width`."""
    return 1 / (1 + np.exp(-np.clip(4 * values / width, -30, 30)))


def across(shape, rng, angle=None):
    """A ramp over a picture, float32 (H, W): the distance from a line through its middle, in units of its height."""
    angle = rng.uniform(0, 2 * np.pi) if angle is None else angle
    y, x = np.mgrid[:shape[0], :shape[1]].astype("float32") / shape[0]
    return np.cos(angle) * (y - 0.5) + np.sin(angle) * (x - 0.5 * shape[1] / shape[0])


def draw_ink(digit, shape, rng, height, spread, swell, angle):
    """How much ink lies on each pixel: float32 (H, W), 0..1, from an MNIST digit uint8 (28, 28).

    Args:
        height: of the digit, smallest and largest, in units of the picture's.
        spread: how far from the picture's middle it may be: 0 not at all, 1 anywhere.
        swell: by how many of MNIST's pixels the strokes become wider, smallest and largest, or None.
        angle: the largest turn, in degrees.
    """
    large = Image.fromarray(digit).resize((280, 280), Image.Resampling.BICUBIC)
    if swell:
        width = 2 * round(5 * rng.uniform(*swell)) + 1
        large = large.filter(ImageFilter.GaussianBlur(3)).filter(ImageFilter.MaxFilter(width))
    large = large.rotate(rng.uniform(-angle, angle), Image.Resampling.BICUBIC)
    strokes = soft_step(np.asarray(large.filter(ImageFilter.GaussianBlur(3)), "float32") - 100, 60)
    large = Image.fromarray((255 * strokes).astype("uint8"))
    large = large.crop(large.point(lambda value: 255 * (value > 127)).getbbox())
    scale = min(rng.uniform(*height) * shape[0] / max(large.size), 0.9 * min(shape) / max(large.size))
    large = large.resize([max(3, round(scale * length)) for length in large.size], Image.Resampling.LANCZOS)
    margin = [0.04 * min(shape) + own / 2 for own in (large.height, large.width)]
    top, left = (round(length / 2 + spread * rng.uniform(-1, 1) * (length / 2 - space) - own / 2)
                 for length, space, own in zip(shape, margin, (large.height, large.width)))
    ink = np.zeros(shape, "float32")
    ink[top:top + large.height, left:left + large.width] = np.asarray(large) / 255
    return ink


def photograph(digit, rng, height=(0.55, 0.75), spread=0.1, swell=None, angle=4, contrast=(0.6, 0.9),
               paper=(0.7, 0.95), chalk=False, squared=False, uneven=False, shadow=None, table=None, blur=0.002,
               quality=(60, 95)):
    """A picture, uint8 (H, W), like a photograph of an MNIST digit uint8 (28, 28) on a page.

    Pairs are smallest and largest of a random choice. `contrast` is the share of the paper's light that the ink
    takes away; `shadow` the width of its edge and `blur` a standard deviation, both in units of the height;
    `paper` and `table` shares of the light that they reflect.
    """
    rows = int(rng.integers(240, 900))
    shape = rows, round(rows * rng.uniform(0.6, 1.8))
    ink = draw_ink(digit, shape, rng, height, spread, swell, angle)
    page = np.full(shape, rng.uniform(*paper), "float32")
    if squared:
        spacing, width, turn, dark = rng.uniform((0.05, 0.002, -0.05, 0.15), (0.12, 0.005, 0.05, 0.45))
        for direction in turn, turn + np.pi / 2:
            place = across(shape, rng, direction) / spacing
            distance = spacing * np.abs(place - np.round(place))
            page *= 1 - dark * soft_step(width / 2 - distance, 0.002)
    page += ink * (rng.uniform(0.5, 0.9) - page) if chalk else -ink * rng.uniform(*contrast) * page
    if table:
        for side in rng.choice(4, rng.integers(1, 4), replace=False):  # the table beyond some of the sheet's edges
            place = across(shape, rng, side * np.pi / 2 + rng.normal(0, 0.06))
            room = place.max() - place[ink > 0.5].max()  # between the digit and that side of the picture
            edge = soft_step(place - place.max() + room * rng.uniform(0.2, 0.7), 0.004)
            page = page * (1 - edge) + edge * rng.uniform(*table)
    light = 1 + rng.uniform(-0.1, 0.1) * across(shape, rng)
    if uneven:
        light += rng.uniform(0.4, 0.9) * across(shape, rng)
        light += rng.uniform(0.2, 0.6) * np.exp(-(across(shape, rng)**2 + across(shape, rng)**2) / 0.2)
    if shadow:
        edge = soft_step(across(shape, rng) + rng.uniform(-0.3, 0.3), rng.uniform(*shadow))
        light *= 1 - rng.uniform(0.3, 0.6) * edge
    picture = page * light * rng.uniform(0.85, 1) / max(1, (page * light).max())
    picture = 255 * np.clip(picture, 0, 1)**(1 / 1.8)  # a camera's response to light
    picture = Image.fromarray(picture.astype("uint8")).filter(ImageFilter.GaussianBlur(blur * shape[0]))
    picture = np.asarray(picture) + rng.normal(0, rng.uniform(1, 6), shape)
    file = io.BytesIO()
    Image.fromarray(picture.clip(0, 255).astype("uint8")).save(file, "jpeg", quality=int(rng.uniform(*quality)))
    return np.asarray(Image.open(file))


# --------------------------------------------------------------------------------------------------------------
# Reading them


def read_kind(c_model, pictures, labels):
    """Read the pictures of a kind. Returns (share read correctly, share refused, images that were cut out or None)."""
    images = []
    for picture in pictures:
        try:
            images.append(read_digit(picture))
        except NoDigit:
            images.append(None)
    read = np.array([image is not None for image in images])
    cut_out = np.array([image for image in images if image is not None], "uint8").reshape(-1, 28, 28, 1)
    right = predict_classes(c_model, cut_out, np.arange(len(cut_out))) == labels[read]
    return right.sum() / len(read), 1 - read.mean(), images


def save_examples(examples, path):
    """Draw a few pictures of each kind, beside each what was cut out of it."""
    figure = Figure(figsize=(2.2 * EXAMPLES, 1.3 * len(examples)), layout="constrained")
    axes = figure.subplots(len(examples), 2 * EXAMPLES, squeeze=False)
    for row, (kind, pairs) in zip(axes, examples.items()):
        row[0].set_title(kind, fontsize=8, loc="left", backgroundcolor="white")
        row[0].set_zorder(1)  # above the pictures
        for place, image in zip(row, (image for pair in pairs for image in pair)):
            place.axis("off")
            if image is not None:
                place.imshow(image, cmap="gray", vmin=0, vmax=255)
    save_figure(figure, path, dpi=90)


def main(argv=None):
    """Make, read and tabulate the pictures that the command line asks for."""
    parser = ArgumentParser(prog="python -m sgan.benchmarks.digit_pictures", description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="mnist", help="mnist or FILE.npz (default: %(default)s)")
    parser.add_argument("--number", type=at_least(int, 1), default=200, metavar="N",
                        help="pictures of each kind (default: %(default)s)")
    parser.add_argument("--results", type=expand, default="results", metavar="FOLDER", help="(default: %(default)s)")
    args = parser.parse_args(argv)
    set_up_device()
    check_writable(args.results)
    c_model, data = load_classifier(CLASSIFIER), load_real_samples(args.data)
    digits, labels = data.test_images, data.test_labels
    if digits is None or digits.shape[1:] != (28, 28, 1) or set(labels) != set(range(10)):
        raise InputError(f"--data {args.data}: needs a test set of labelled digits as in MNIST")
    table, examples = [], {}
    for number, (kind, settings) in enumerate(KINDS.items()):
        rng = np.random.default_rng((number, 1))
        rows = rng.integers(0, len(digits), args.number)
        pictures = [photograph(digits[row, ..., 0], rng, **settings) for row in rows]
        right, refused, images = read_kind(c_model, pictures, labels[rows])
        table.append({"kind": kind, "read correctly, %": f"{100 * right:.1f}", "refused, %": f"{100 * refused:.1f}",
                      "pictures": args.number})
        examples[kind] = list(zip(pictures, images))[:EXAMPLES]
        print(f"{kind}: {right:.1%} read correctly, {refused:.1%} refused", flush=True)
    write_csv(args.results / "digit_pictures.csv", table)
    save_examples(examples, args.results / "digit_pictures.png")
    print(f"Saved: {args.results / 'digit_pictures.csv'}, .png")


if __name__ == "__main__":
    run_command(main)

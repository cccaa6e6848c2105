"""How much of the tuned SGAN's step are its matrix products?

    python -m sgan.benchmarks.matrix_products

A convolution or dense layer is a matrix product for its outputs, one for its kernel's gradient and one for its inputs'.
Times, in alternation, a step as `fit` makes it and the matrix products of a step by themselves, float32, with the same
library. A yardstick rather than a floor: some convolutions are faster than their matrix products. Writes
RESULTS/matrix_products.csv.
"""

import math

import sgan  # before Keras: it chooses the backend and TensorFlow's CPU kernels

if __name__ == "__main__":
    sgan.begin_script()

import keras
import numpy as np
import tensorflow as tf

from sgan.benchmarks.timing import median_seconds, step_function
from sgan.runs.command import run_command
from sgan.runs.options import ArgumentParser, at_least
from sgan.runs.files import check_writable, expand, write_csv
from sgan.runs.device import set_up_device
from sgan.runs.fit import step_numbers
from sgan.tuned import TunedSettings, TunedSGAN

FORWARD, KERNELS, INPUTS = "forward", "kernels", "inputs"  # what a product computes: outputs, and two gradients


def products_of(model, n, *wanted, first_inputs=False):
    """The matrix products of a pass through a model, [(rows, inner, columns)].

    Args:
        model: of convolutions, transposed convolutions and dense layers, and others that have none.
        n: images or latent points.
        wanted: of FORWARD, KERNELS and INPUTS.
        first_inputs: whether INPUTS includes the gradient of the first layer's, the images.
    """
    products = []
    for number, layer in enumerate(layer for layer in model.layers if hasattr(layer, "kernel")):
        if isinstance(layer, keras.layers.Conv2DTranspose):  # height, width, outputs, inputs
            height, width, outputs, inner = layer.kernel.shape
            rows, columns = n * math.prod(layer.input.shape[1:3]), height * width * outputs
        else:
            *window, columns = layer.kernel.shape
            rows, inner = n * math.prod(layer.output.shape[1:-1]), math.prod(window)
        of_layer = {FORWARD: (rows, inner, columns), KERNELS: (inner, rows, columns), INPUTS: (rows, columns, inner)}
        products += [of_layer[name] for name in wanted if name != INPUTS or number or first_inputs]
    return products


def products_of_step(training):
    """The matrix products of a step of a `TunedSGAN` with all ingredients."""
    settings, discriminator = training.settings, training.discriminator
    generated = settings.generated_batch
    return [
        *products_of(training.c_model, settings.batch_size, FORWARD),  # the teacher's predictions
        *products_of(discriminator, settings.labelled_batch + settings.batch_size, FORWARD, KERNELS, INPUTS),
        *products_of(training.g_model, generated, FORWARD, KERNELS, INPUTS),
        *products_of(discriminator, generated, FORWARD, KERNELS, INPUTS),  # the discriminator's update
        *products_of(discriminator, generated, INPUTS, first_inputs=True),  # the generator's
    ]


def time_both(training, products, rounds):
    """Median seconds of a step as `fit` makes it, and of the products, in alternation."""
    training.compile(optimizer=None)
    step = step_function(training, step_numbers(rounds + 1))
    random = np.random.default_rng(0)

    def matrix(*size):
        return tf.constant(random.normal(size=size).astype("float32"))

    pairs = [(matrix(rows, inner), matrix(inner, columns)) for rows, inner, columns in products]
    multiply = tf.function(lambda pairs: [left @ right for left, right in pairs])
    medians = median_seconds({"step": lambda: float(step()["c_loss"]),
                              "products": lambda: multiply(pairs)[-1].numpy()}, rounds)
    return medians["step"], medians["products"]


def main(argv=None):
    """Measure, print and write."""
    parser = ArgumentParser(prog="python -m sgan.benchmarks.matrix_products", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=at_least(int, 1), default=50, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--results", type=expand, default="results", metavar="FOLDER", help="(default: %(default)s)")
    args = parser.parse_args(argv)
    check_writable(args.results)
    device = set_up_device()
    images = np.random.default_rng(0).integers(0, 256, (1000, 28, 28, 1), "uint8")
    training = TunedSGAN(TunedSettings(images="strokes"), (images[:100], np.arange(100) % 10), images, 10, 1000)
    products = products_of_step(training)
    operations = 2 * sum(map(math.prod, products))
    step, floor = time_both(training, products, args.rounds)
    rows = [("a step", 1000 * step, "ms"), ("its matrix products alone", 1000 * floor, "ms"),
            ("their share", 100 * floor / step, "per cent"), ("operations in them", operations / 1e9, "GFLOP"),
            ("speed of the products", operations / floor / 1e9, "GFLOP/s")]
    for name, value, unit in rows:
        print(f"{name:26} {value:8.2f} {unit}")
    print(f"Device: {device}; medians of {args.rounds}")
    path = args.results / "matrix_products.csv"
    table = [{"measured": name, "value": f"{value:.4g}", "unit": unit} for name, value, unit in rows]
    machine = f"{device}; TensorFlow {tf.__version__}, Keras {keras.__version__}"
    write_csv(path, [*table, {"measured": "machine", "value": machine, "unit": ""}])
    print(f"written: {path}")


if __name__ == "__main__":
    run_command(main)

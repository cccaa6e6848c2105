"""evaluate_classifier.py: its figures, its pictures, and the files that it refuses."""

import json
import shutil
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import evaluate_classifier
from evaluate_classifier import confusion_matrix, load_classifier, main, newest_classifier, read_picture
from mnist_data import InputError
from run_folder import save_model
from sgan_mnist import define_discriminator, define_generator, scale_images

# Saved by tf_keras 2.21 as the tutorial saves its classifier: three times Conv2D (4 filters, not 128) and
# LeakyReLU(alpha=0.2), Flatten, Dropout, Dense, Activation("softmax") in a functional model, compiled with
# Adam(learning_rate=2e-4, beta_1=0.5) and trained for one step; all kernels doubled before that, so that the
# probabilities differ. KERAS2_ANSWERS are that program's own predict() on KERAS2_PIXELS in [-1, 1].
KERAS2_FILE = Path(__file__).with_name("data") / "keras2_c_model.h5"
KERAS2_PIXELS = (np.arange(2 * 28 * 28) * 37 % 256).astype("uint8").reshape(2, 28, 28, 1)
KERAS2_ANSWERS = [[0.0269751, 0.0346165, 0.0001506, 0.0521414, 0.0077185,
                   0.0152810, 0.0260004, 0.0009186, 0.8166164, 0.0195816],
                  [0.0205005, 0.0994299, 0.0040528, 0.1596066, 0.0105202,
                   0.4490591, 0.0918539, 0.0570296, 0.0285839, 0.0793635]]


def small_classifier(*extra, in_shape=(28, 28, 1), n_outputs=10, activation="softmax"):
    last = layers.Dense(n_outputs, activation)
    return keras.Sequential([keras.Input(in_shape), *extra, layers.Flatten(), last])


@pytest.fixture(scope="module")
def centroids(digits):
    """Kernel and bias of a classifier that names the digit whose mean image is the nearest."""
    pixels = (digits.train_images.reshape(-1, 784) - 127.5) / 127.5
    means = np.stack([pixels[digits.train_labels == k].mean(axis=0) for k in range(10)])
    return means.T / 10, -(means**2).sum(axis=1) / 20


@pytest.fixture(scope="module")
def model_file(centroids, tmp_path_factory):
    model = small_classifier()
    model.layers[-1].set_weights(centroids)
    model.compile("adam", "sparse_categorical_crossentropy")
    path = tmp_path_factory.mktemp("model") / "c_model_0600.h5"
    save_model(model, path)
    return path


@pytest.fixture(scope="module")
def probabilities(centroids):
    """What model_file's classifier says of uint8 images, by NumPy alone: (N, 10)."""
    def classify(images):
        kernel, bias = centroids
        logits = ((images.reshape(len(images), -1) - 127.5) / 127.5) @ kernel + bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    return classify


def refusal(*arguments):
    """The one line that main raises for these arguments."""
    with pytest.raises(InputError) as caught:
        main([str(argument) for argument in arguments])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rewritten(source, path, change):
    """A copy of an .h5 model whose description is what `change` makes of it."""
    shutil.copy(source, path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        file.attrs["model_config"] = json.dumps(change(config) or config)
    return path


# ------------------------------------------------------------------------------------------- figures


def test_figures_are_numpys_own_count(model_file, digits, digits_file, probabilities, capsys):
    main([str(model_file), "--data", str(digits_file)])
    lines = capsys.readouterr().out.splitlines()
    answers = probabilities(digits.test_images).argmax(axis=1)
    train = (probabilities(digits.train_images).argmax(axis=1) == digits.train_labels).mean()
    test = (answers == digits.test_labels).mean()
    assert 0.3 < test < 1  # a classifier that is right about everything or nothing would prove little
    assert lines[0] == f"Model: {model_file}"
    assert lines[1] == f"Data: {digits_file}, 400 training images, 100 test images"
    assert lines[2:4] == [f"Train Accuracy: {100 * train:.3f}%", f"Test Accuracy: {100 * test:.3f}%"]
    assert lines[4] == "Classes, on the test set:"
    assert len(lines) == 16
    for k, line in enumerate(lines[6:]):
        right = np.sum((answers == k) & (digits.test_labels == k))
        images, answered = np.sum(digits.test_labels == k), np.sum(answers == k)
        precision = f"{100 * right / answered:.2f}%" if answered else "-"
        assert line.split() == [str(k), str(images), f"{100 * right / images:.2f}%", precision]


def test_images_without_label_and_without_a_test_set(model_file, digits, tmp_path, probabilities, capsys):
    labels = digits.train_labels.copy()
    labels[50:] = -1
    np.savez(tmp_path / "own.npz", x_train=digits.train_images, y_train=labels)
    main([str(model_file), "--data", str(tmp_path / "own.npz")])
    output = capsys.readouterr().out
    train = (probabilities(digits.train_images[:50]).argmax(axis=1) == labels[:50]).mean()
    assert f"Train Accuracy: {100 * train:.3f}%\n" in output
    assert "has no test set" in output and "Classes, on the training set:" in output


def test_confusion_matrix_and_its_picture(model_file, digits, digits_file, probabilities, tmp_path, capsys):
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (digits.test_labels, probabilities(digits.test_images).argmax(axis=1)), 1)
    model = load_classifier(model_file)
    np.testing.assert_array_equal(confusion_matrix(model, digits.test_images, digits.test_labels), expected)

    picture = tmp_path / "new" / "confusion.png"
    main([str(model_file), "--data", str(digits_file), "--confusion", str(picture)])
    assert f"Saved: {picture}" in capsys.readouterr().out
    assert [path.name for path in picture.parent.iterdir()] == ["confusion.png"]
    with Image.open(picture) as image:
        assert min(image.size) > 500


def test_several_models_each_under_its_name(model_file, digits_file, capsys):
    main([str(model_file), "--data", str(digits_file), str(KERAS2_FILE)])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "Model" in line] == [f"Model: {model_file}", f"Model: {KERAS2_FILE}"]
    assert sum(line.startswith("Test Accuracy: ") for line in lines) == 2


def test_file_saved_by_keras_2(digits_file, capsys, recwarn):
    model = load_classifier(KERAS2_FILE)
    answers = model.predict(scale_images(KERAS2_PIXELS), verbose=0)
    np.testing.assert_allclose(answers, KERAS2_ANSWERS, atol=1e-5)
    main([str(KERAS2_FILE), "--data", str(digits_file)])
    output = capsys.readouterr()
    assert "Test Accuracy: " in output.out
    assert not output.err and not [w for w in recwarn if "alpha" in str(w.message)]


def test_older_keras_2_called_a_functional_model_Model(tmp_path):
    path = rewritten(KERAS2_FILE, tmp_path / "c_model.h5", lambda config: {**config, "class_name": "Model"})
    answers = load_classifier(path).predict(scale_images(KERAS2_PIXELS), verbose=0)
    np.testing.assert_allclose(answers, KERAS2_ANSWERS, atol=1e-5)


# --------------------------------------------------------------------------- which model, which data


def test_newest_is_by_number_of_steps(tmp_path):
    for name in ("c_model_0600.h5", "c_model_9600.h5", "c_model_12000.h5", "c_model_best.h5",
                 "g_model_99999.h5", ".c_model_12600.partial.h5", "c_model_13200.h5.bak"):
        (tmp_path / name).touch()
    assert newest_classifier(tmp_path).name == "c_model_12000.h5"


def test_default_is_the_newest_on_its_runs_data(model_file, digits_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert refusal() == "no c_model_*.h5 in runs/sgan: train one with sgan_mnist.py, or name a file"
    run = tmp_path / "runs" / "sgan"
    run.mkdir(parents=True)
    shutil.copy(model_file, run / "c_model_1200.h5")
    (run / "c_model_0600.h5").write_text("older")
    (run / "run.json").write_text(json.dumps({"data": {"source": str(digits_file)}}))
    main([])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Model: runs/sgan/c_model_1200.h5" and lines[1].startswith(f"Data: {digits_file}, ")

    (run / "run.json").write_text(json.dumps({"data": {"source": "gone.npz"}}))
    assert "gone.npz: no such file" in refusal() and "run.json" in refusal()
    for text in ("{", "[]", "{}", '{"data": {}}'):
        (run / "run.json").write_text(text)
        assert "run.json: does not say" in refusal()
    main(["--data", str(digits_file)])


def test_without_a_record_the_data_are_auto(model_file, monkeypatch):
    asked = []

    def load(source):
        asked.append(source)
        raise InputError("enough")

    monkeypatch.setattr(evaluate_classifier, "load_real_samples", load)
    assert refusal(model_file) == "enough" and asked == ["auto"]


# ------------------------------------------------------------------------------------- files refused


def test_files_that_hold_no_model(model_file, tmp_path):
    (tmp_path / "text.h5").write_text("not a model")
    (tmp_path / "empty.h5").touch()
    (tmp_path / "cut.h5").write_bytes(model_file.read_bytes()[:-1000])
    shutil.copy(model_file, tmp_path / "c_model.bin")
    load_classifier(model_file).save_weights(tmp_path / "w.weights.h5")
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["weights"] = np.zeros(3)
    with h5py.File(tmp_path / "nonsense.h5", "w") as file:
        file.attrs["model_config"] = "{"
    with h5py.File(tmp_path / "bare.h5", "w") as file, h5py.File(model_file) as model:
        file.attrs["model_config"] = model.attrs["model_config"]
    for name, words in {"none.h5": "no such file", "": "is not a file", "text.h5": "is not an HDF5 file",
                        "empty.h5": "is not an HDF5 file", "cut.h5": "truncated", "c_model.bin": "end in .h5",
                        "w.weights.h5": "only weights?", "old.h5": "only weights?", "nonsense.h5": "damaged",
                        "bare.h5": "Keras cannot load it"}.items():
        message = refusal(tmp_path / name)
        assert message.startswith(str(tmp_path / name)) and words in message


def test_models_that_are_no_classifiers_of_these_images(digits_file, tmp_path):
    nan = small_classifier()
    nan.layers[-1].set_weights([np.full((784, 10), np.nan), np.zeros(10)])
    one, other = keras.Input((28, 28, 1)), keras.Input((28, 28, 1))
    two_inputs = keras.Model([one, other], small_classifier()(layers.Add()([one, other])))
    two_outputs = keras.Model(one, [small_classifier()(one), small_classifier()(one)])
    cases = {
        "generator": (define_generator(8), "is not a classifier"),
        "discriminator": (define_discriminator()[0], "is not one of the plain layers of a classifier"),
        "one_output": (small_classifier(n_outputs=1, activation="sigmoid"), "is not a classifier"),
        "logits": (small_classifier(activation=None), "not probabilities"),
        "sigmoids": (small_classifier(activation="sigmoid"), "not probabilities"),
        "nan": (nan, "not probabilities"),
        "two_inputs": (two_inputs, "is not a classifier"),
        "two_outputs": (two_outputs, "is not a classifier"),
        "flat": (small_classifier(in_shape=(784,)), "is not a classifier"),
        "other_size": (small_classifier(in_shape=(32, 32, 1)), "takes images of (32, 32, 1)"),
        "colour": (small_classifier(in_shape=(28, 28, 3)), "takes images of (28, 28, 3)"),
        "26_classes": (small_classifier(n_outputs=26), "knows 26 classes"),
        "5_classes": (small_classifier(n_outputs=5), "knows 5 classes"),
    }
    for name, (model, words) in cases.items():
        path = tmp_path / f"{name}.h5"
        save_model(model, path)
        message = refusal(path, "--data", digits_file)
        assert message.startswith(str(path)) and words in message, name


def test_a_lambda_is_not_run(tmp_path):
    trace = tmp_path / "trace"
    name = str(trace)
    spy = layers.Lambda(lambda x: (open(name, "w").close(), x)[1])
    image = keras.Input((28, 28, 1))
    nested = keras.Model(image, small_classifier()(keras.Sequential([image, spy])(image)))
    for file, model in {"plain.h5": small_classifier(spy), "nested.h5": nested}.items():
        path = tmp_path / file
        save_model(model, path)
        trace.unlink(missing_ok=True)
        keras.models.load_model(path, compile=False, safe_mode=False)
        assert trace.exists()  # it is a file that runs its code where it can
        trace.unlink()
        message = refusal(path, "--predict", "3.png")
        assert "refused, and not loaded: it contains 'Lambda'" in message
        assert not trace.exists()


@pytest.mark.parametrize("layer, named", [
    ({"class_name": "Lambda"}, "Lambda"),
    ({"class_name": "TFSMLayer"}, "TFSMLayer"),
    ({"class_name": "TorchModuleWrapper", "module": "keras.layers"}, "TorchModuleWrapper"),
    ({"class_name": ["Dense"]}, "Dense"),
    ({"class_name": None}, "None"),
    ({"module": "os"}, "Dense"),
    ({"module": "kerasx.layers"}, "Dense"),
    ({"registered_name": "package>Dense"}, "Dense"),
    ({"class_name": "mine>Dense"}, "mine>Dense"),
    ({"config": {"activation": {"class_name": "__lambda__", "config": {"code": "4wAAAA=="}}}}, "__lambda__"),
    ({"config": {"activation": {"class_name": "function", "config": "system", "module": "os"}}}, "function"),
    ({"config": {"kernel_initializer": {"class_name": "Zeros", "module": "mine", "config": {}}}}, "Zeros"),
    ({"class_name": "TimeDistributed", "config": {"layer": {"class_name": "Lambda"}}}, "Lambda"),
    ({"build_config": [{"deep": [{"class_name": "TypeSpec"}]}]}, "TypeSpec"),
])
def test_only_plain_built_in_layers_reach_keras(model_file, tmp_path, monkeypatch, layer, named):
    def change(config):
        last = config["config"]["layers"][-1]
        last.update({**layer, "config": {**last["config"], **layer.get("config", {})}})

    def load_model(*args, **kwargs):
        pytest.fail("Keras has seen the file")

    path = rewritten(model_file, tmp_path / "c_model.h5", change)
    monkeypatch.setattr(keras.models, "load_model", load_model)
    message = refusal(path)
    assert "refused, and not loaded" in message and named in message


# ----------------------------------------------------------------------------------------- pictures


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


def test_predict_prints_file_digit_and_probability(model_file, digits, probabilities, tmp_path, capsys):
    images, expected = digits.test_images[:3], probabilities(digits.test_images[:3])
    files = [tmp_path / f"{i}.png" for i in range(3)]
    lines = [f"{file}: {row.argmax()} ({100 * row.max():.2f}%)"
             for file, row in zip(files, expected, strict=True)]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image[..., 0]).save(file)
    main([str(model_file), "--predict", *map(str, files)])
    output = capsys.readouterr()
    assert output.out.splitlines() == [f"Model: {model_file}", *lines] and not output.err

    for file, image in zip(files, images, strict=True):
        Image.fromarray(255 - image[..., 0]).save(file)
    main([str(model_file), "--invert", "--predict", *map(str, files)])
    output = capsys.readouterr()
    assert output.out.splitlines()[1:] == lines and not output.err
    main([str(model_file), "--predict", str(files[0])])
    hint = capsys.readouterr().err.splitlines()
    assert len(hint) == 1 and "--invert" in hint[0] and str(files[0]) in hint[0]


def test_pictures_that_cannot_be_read(model_file, digit, tmp_path):
    good, cut, text = (tmp_path / name for name in ("good.png", "cut.png", "text.png"))
    Image.fromarray(digit).save(good)
    cut.write_bytes(good.read_bytes()[:150])
    text.write_text("not a picture")
    Image.fromarray(digit.astype("float32")).save(tmp_path / "float.tif")
    for name in (cut, text, tmp_path, tmp_path / "none.png", tmp_path / "float.tif"):
        assert refusal(model_file, "--predict", good, name).startswith(f"{name}: cannot be read as a picture")
    save_model(small_classifier(in_shape=(28, 28, 2)), tmp_path / "two.h5")
    assert "2 channels" in refusal(tmp_path / "two.h5", "--predict", good)


# -------------------------------------------------------------------------------------- command line


def test_flags_that_do_not_go_together(model_file):
    for other in (["--data", "synthetic"], ["--confusion", "c.png"]):
        assert "--predict only reads pictures" in refusal(model_file, "--predict", "3.png", *other)
    assert "--invert goes with --predict" in refusal(model_file, "--invert")
    assert "one model at a time" in refusal(model_file, model_file, "--confusion", "c.png")
    assert "must end in .png" in refusal(model_file, "--confusion", "c.xyz")
    assert "--frobnicate" in refusal("--frobnicate")
    refusal("--predict")


def test_as_commands(model_file, digit, tmp_path, run_script):
    Image.fromarray(digit).save(tmp_path / "digit.png")
    script = "evaluate_classifier.py"
    status, output, errors = run_script(script, model_file, "--predict", "digit.png", cwd=tmp_path)
    assert (status, errors) == (0, []) and output.splitlines()[1].startswith("digit.png: ")
    status, output, errors = run_script(script, "none.h5", cwd=tmp_path)
    assert (status, output, errors) == (2, "", ["evaluate_classifier.py: none.h5: no such file"])

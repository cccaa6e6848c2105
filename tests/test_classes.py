"""Names of classes: sorted and compared by value if they are numbers, else by name, never matched by position."""

import numpy as np
import pytest
from PIL import Image

from evaluate_classifier import main
from sgan.data.classes import listed, match_classes, sort_classes
from sgan.data.dataset import load_real_samples
from sgan.runs.files import save_model
from helpers import refusal, small_classifier

NUMBERS = tuple(map(str, range(12)))
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (24, 8, 8), np.uint8)


def save_npz(path, labels):
    """A file of 24 images with these labels."""
    np.savez(path, x_train=IMAGES, y_train=labels)
    return str(path)


def save_folders(path, names):
    """The same 24 images, as many in each of these class folders."""
    for i, image in enumerate(IMAGES):
        (path / names[i % len(names)]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path / names[i % len(names)] / f"{i:02d}.png")
    return str(path)


def save_classifier(path, names):
    """A classifier with these names that is right about all 24 images if their classes are the sorted names in turn."""
    model = small_classifier(in_shape=(8, 8, 1), n_outputs=len(names))
    pixels = np.column_stack([IMAGES.reshape(24, -1) / 127.5 - 1, np.ones(24)])
    wanted = np.arange(24)[:, None] % len(names) == [sort_classes(names).index(name) for name in names]
    weights = np.linalg.lstsq(pixels, 20.0 * wanted)[0]
    model.set_weights([weights[:-1], weights[-1]])
    save_model(model, path, {"classes": list(names), "image_shape": [8, 8, 1], "pixels": [-1, 1], "pictures": "whole",
                             "run": "0"})
    return str(path)


@pytest.mark.parametrize("names, expected", [
    (["10", "2", "1"], ["1", "2", "10"]), (["010", "2", "09"], ["2", "09", "010"]),
    (["0", "00000000000000000000000000000003", "2"], ["0", "2", "00000000000000000000000000000003"]),
    (["b", "10", "9"], ["10", "9", "b"]), (["b", "a", "B"], ["B", "a", "b"]), (["-2", "-10"], ["-10", "-2"]),
])
def test_numbers_are_sorted_by_value_and_names_by_name(names, expected):
    assert sort_classes(names) == expected


def test_folders_and_files_have_the_same_order_of_classes(tmp_path):
    folder = load_real_samples(save_folders(tmp_path / "folder", NUMBERS))
    numbers = load_real_samples(save_npz(tmp_path / "numbers.npz", np.arange(24) % 12))
    strings = load_real_samples(save_npz(tmp_path / "strings.npz", (np.arange(24) % 12).astype(str)))
    assert folder.class_names == numbers.class_names == strings.class_names == NUMBERS
    assert folder.notes[-1] == "the 12 classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"
    assert np.array_equal(strings.train_labels, numbers.train_labels)
    assert np.array_equal(np.sort(folder.train_labels), np.sort(numbers.train_labels))


def test_up_to_twenty_classes_are_listed_whole():
    assert listed(NUMBERS) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"
    assert listed(map(str, range(20))).endswith("17, 18, 19") and listed(map(str, range(21))) == "0, 1, 2, ..., 20"


def test_the_test_set_is_matched_by_value_too(tmp_path):
    np.savez(tmp_path / "x.npz", x_train=IMAGES, y_train=np.array(["7", "08", "9"] * 8), x_test=IMAGES[:3],
             y_test=[9, 7, 8])
    assert load_real_samples(str(tmp_path / "x.npz")).test_labels.tolist() == [2, 0, 1]
    save_folders(tmp_path / "folder" / "train", ["1", "02", "10"])
    save_folders(tmp_path / "folder" / "test", ["01", "2", "10"])
    data = load_real_samples(str(tmp_path / "folder"))
    assert data.class_names == ("1", "02", "10") and np.array_equal(data.test_labels, data.train_labels)
    assert np.array_equal(data.test_images, data.train_images)


@pytest.mark.parametrize("names", [("1", "01"), ("cat", "cat "), ("\xe9", "e\u0301"), ("5 ", "05")])
def test_two_names_of_one_class_are_refused(tmp_path, names):
    for source in save_npz(tmp_path / "x.npz", np.array(names)[np.arange(24) % 2]), save_folders(tmp_path / "x", names):
        line = refusal(load_real_samples, source)
        assert all(part in line for part in ("which differ only in blanks, in zeros", *map(ascii, names)))


# --------------------------------------------------------------------------------------------------------------
# Classifiers


@pytest.mark.parametrize("outputs", [NUMBERS, tuple(sorted(NUMBERS))], ids=["by value", "by name, as once saved"])
@pytest.mark.parametrize("save", [save_folders, save_npz])
def test_numbered_classes_are_measured_by_value(tmp_path, capsys, outputs, save):
    names = NUMBERS if save is save_folders else np.array(NUMBERS, int)[np.arange(24) % 12]
    main([save_classifier(tmp_path / "c.h5", outputs), "--data", save(tmp_path / "x.npz", names)])
    output = capsys.readouterr().out
    assert "Train Accuracy: 100.000%" in output
    assert [line.split()[0] for line in output.splitlines()[-12:]] == [*outputs]


def test_named_classes_are_measured_by_name_whatever_their_order_and_no_label_stays_none(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", x_train=IMAGES[:12], y_train=["bad", "good", "ugly"] * 4, x_unlabelled=IMAGES[12:])
    main([save_classifier(tmp_path / "c.h5", ("ugly", "bad", "good")), "--data", str(tmp_path / "x.npz")])
    assert "Train Accuracy: 100.000% (12 labelled images, " in capsys.readouterr().out


@pytest.mark.parametrize("outputs, classes", [
    (("bad", "good"), ("0", "1")), (("0", "1"), ("bad", "good")), (("0", "1", "2"), ("0", "1")),
    (("0", "1"), ("1", "2")), (("a", "b"), ("a", "b", "c")), (("1", "01", "2"), ("1", "2")),
])
def test_other_classes_are_refused_with_both_sides_and_a_remedy(outputs, classes):
    line = refusal(match_classes, "c.h5", outputs, "x.npz", classes)
    assert line.startswith(f"c.h5: has the classes {', '.join(outputs)}, and x.npz has {', '.join(classes)}. They are")
    assert line.endswith("not by order: give the data the model's names, as folders or strings in y_train")

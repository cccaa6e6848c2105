"""sgan/studies/own_data.py: folds, the exact McNemar test, and the command."""

import numpy as np
import pytest

from sgan.runs.command import InputError
from sgan.studies import own_data
from sgan.studies.own_data import main, make_folds, mcnemar, verdict
from sgan.tuned import TunedSGAN


def booleans(*numbers):
    """Which images two classifiers got right: so many both, only the first, only the second, neither."""
    return np.repeat([True, True, False, False], numbers), np.repeat([True, False, True, False], numbers)


IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), np.uint8)


def test_folds_are_as_equal_as_possible_in_all_and_in_each_class():
    labels = np.repeat([0, 1, 2], [11, 7, 2])
    folds = make_folds(IMAGES, labels, "0123456789", seed=0)
    assert np.bincount(folds).tolist() == [4] * 5
    for k in range(3):
        counts = np.bincount(folds[labels == k], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert (folds != make_folds(IMAGES, labels, "0123456789", seed=1)).any()
    np.testing.assert_array_equal(folds, make_folds(IMAGES, labels, "0123456789", seed=0))


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [0, 0, 0, 0, 0, 1]])
def test_too_few_labelled_images_for_folds_are_refused(labels):
    with pytest.raises(InputError, match="two of each class, but class [ab] has"):
        make_folds(IMAGES[:len(labels)], np.array(labels), "ab", seed=0)


@pytest.mark.parametrize("only_first, only_second, p, said", [
    (0, 0, 1, "No difference could be shown"), (3, 3, 1, "No difference"), (5, 0, 0.0625, "No difference"),
    (6, 0, 0.03125, "The classifier is better with it"), (1, 8, 0.0390625, "The classifier is better without it"),
    (10, 2, 0.03857421875, "The classifier is better with it")])
def test_the_verdict_is_the_two_sided_sign_test_of_the_images_that_one_got_right(only_first, only_second, p, said):
    first, second = booleans(20, only_first, only_second, 7)
    assert mcnemar(first, second) == (only_first, only_second, p)
    assert verdict({"with it": first, "without it": second}).startswith(said)


@pytest.mark.slow
def test_held_out_images_are_not_trained_on_in_any_way(monkeypatch, small_dataset):
    seen = []

    def watched(settings, labelled, unlabelled_images, n_classes, steps):
        seen.append((len(labelled[0]), {image.tobytes() for image in unlabelled_images}, steps))
        return TunedSGAN(settings, labelled, unlabelled_images, n_classes, steps)

    monkeypatch.setattr(own_data, "TunedSGAN", watched)
    rows, held_out = np.arange(0, 100, 2), np.arange(0, 100, 10)
    tuned = own_data.TunedSettings(epochs=2, steps_per_epoch=1)
    assert own_data.train_and_predict(tuned, small_dataset, rows, held_out).shape == (10,)
    (n_labelled, unlabelled, steps), = seen
    assert n_labelled == 40 and steps == 2
    assert not {small_dataset.train_images[row].tobytes() for row in held_out} & unlabelled


def test_every_labelled_image_is_predicted_once_in_each_training(monkeypatch, capsys, small_dataset, tmp_path):
    """With a stand-in for the trainings: one that is always right, and one that says "cat"."""
    trained = []

    def train_and_predict(tuned, dataset, rows, held_out):
        assert set(held_out) < set(rows)
        trained.append((tuned, held_out))
        return dataset.train_labels[held_out] if tuned.without != "unlabelled-images" else np.zeros(len(held_out))

    monkeypatch.setattr(own_data, "train_and_predict", train_and_predict)
    names = np.array(["cat", "dog"])[np.arange(20) % 2]
    np.savez(tmp_path / "named.npz", x_train=small_dataset.train_images[:20], y_train=names)
    main(["--data", str(tmp_path / "named.npz"), "--labels", "all", "--images", "other", "--epochs", "3",
          "--seed", "7"])
    output = capsys.readouterr().out
    assert "Data: the 2 classes are cat, dog\n" in output and output.count("\nfold ") == 10
    table = [line.split() for line in output.splitlines()[-4:-1]]
    assert table == [["cat", "10", "10", "right", "10", "right"], ["dog", "10", "10", "right", "0", "right"],
                     ["all", "20", "20", "right", "10", "right"]]
    assert "better with the unlabelled images (right only with the unlabelled images: 10, only without them: 0;" in (
        output.splitlines()[-1])
    assert {(each.epochs, each.images, each.seed) for each, _ in trained} == {(3, "other", 7)}
    for without in "mutual-information", "unlabelled-images":  # two classes do without the former
        held_out = [held_out for tuned, held_out in trained if tuned.without == without]
        assert sorted(np.concatenate(held_out)) == [*range(20)] and len(held_out) == 5


def test_a_validation_split_is_no_option_as_each_fold_is_held_out_already(small_digits):
    with pytest.raises(InputError, match="unrecognized arguments: --validation-split"):
        main(["--data", str(small_digits), "--validation-split", "0.2"])


def test_for_photographs_there_is_nothing_to_compare(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), "uint8")
    np.savez(tmp_path / "colour.npz", x_train=images, y_train=np.arange(20) % 2)
    with pytest.raises(InputError, match="does not use the unlabelled images of photographs"):
        main(["--data", str(tmp_path / "colour.npz"), "--labels", "all"])


@pytest.mark.parametrize("n_labels, without", [(4, "nothing"), (5, "mutual-information")])
def test_the_folds_have_the_ingredients_of_a_training_with_all_labels(monkeypatch, small_dataset, tmp_path, n_labels,
                                                                       without):
    left_out = []
    monkeypatch.setattr(own_data, "train_and_predict", lambda tuned, dataset, rows, held_out:
                        left_out.append(tuned.without) or dataset.train_labels[held_out])
    n = 3 * n_labels
    np.savez(tmp_path / "three.npz", x_train=small_dataset.train_images[:n], y_train=np.arange(n) % 3)
    main(["--data", str(tmp_path / "three.npz"), "--labels", "all", "--images", "strokes"])
    assert left_out == 5 * [without, "unlabelled-images"]

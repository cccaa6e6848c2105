"""sgan/data/synthetic.py: digits drawn from fonts."""

import numpy as np

from sgan.data.dataset import synthetic_digits


def test_synthetic_digits_have_mnists_form():
    data = synthetic_digits(500, 200)
    assert data.name == "synthetic" and data.n_classes == 10 and data.warning == ""
    for images, labels, n in ((data.train_images, data.train_labels, 500),
                              (data.test_images, data.test_labels, 200)):
        assert images.shape == (n, 28, 28, 1) and images.dtype == np.uint8
        assert labels.shape == (n,) and labels.dtype == np.int64
        np.testing.assert_array_equal(np.bincount(labels), n // 10)
        assert np.any(np.diff(labels[:20]) != 1), "in random order"
        assert images.max() > 240 and 25 < images.mean() < 65  # white on black; MNIST's mean is 33
        assert images[:, 8:20, 8:20].mean() > 5 * images[:, :2].mean()  # in the middle, with black around it
        tall = (images > 100).any((2, 3)).sum(1)
        assert 16 < tall.mean() < 24 and tall.min() > 8


def test_same_seed_same_digits():
    first, again, other = (synthetic_digits(100, 50, seed) for seed in (3, 3, 4))
    for array, same in zip(first[1:5], again[1:5], strict=True):
        np.testing.assert_array_equal(array, same)
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert (first.train_images != other.train_images).mean() > 0.2
    fewer = synthetic_digits(50, 50, 3)
    assert (fewer.train_images != fewer.test_images).mean() > 0.2
    np.testing.assert_array_equal(first.test_images, fewer.test_images)

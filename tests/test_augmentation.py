"""sgan/data/augmentation.py: how far images are warped and cluttered, and which images show strokes."""

import keras
import numpy as np
import pytest

from sgan.data.augmentation import AUGMENTATION, augment, background, clutter, random_warp


def without_changes(monkeypatch, **but):
    for name in ("rotation", "shear", "scaling", "shift", "elastic"):
        monkeypatch.setitem(AUGMENTATION, name, but.get(name, 0))


def test_augmentation_of_size_zero_changes_nothing(monkeypatch, digits):
    without_changes(monkeypatch)
    images = digits.train_images[:3].astype("float32")
    np.testing.assert_allclose(augment(images, keras.random.SeedGenerator(0)), images, atol=0.5)


def test_augmentation_shifts_each_image_by_its_own_share_and_goes_on_with_the_border(monkeypatch):
    without_changes(monkeypatch, shift=0.2)
    ramp = np.broadcast_to(np.arange(20, dtype="float32")[None, None, :, None], (50, 10, 20, 2))
    moved = np.asarray(augment(ramp, keras.random.SeedGenerator(0)))
    shifts = moved[:, :, 10, 0] - 10  # a ramp shows how far it was shifted
    assert np.allclose(shifts, shifts[:, :1], atol=1e-4) and len(np.unique(shifts.round(3))) > 40
    assert -4 <= shifts.min() < -3 and 3 < shifts.max() <= 4  # 0.2 of 20 columns
    np.testing.assert_allclose(moved, np.clip(ramp + shifts[:, :1, None, None], 0, 19), atol=0.02)


def test_augmentation_turns_about_the_centre(monkeypatch):
    without_changes(monkeypatch, rotation=0.5)
    rows, columns = map(np.asarray, random_warp((200, 9, 9, 1), keras.random.SeedGenerator(0)))
    np.testing.assert_allclose([rows[:, 4, 4], columns[:, 4, 4]], 4, atol=1e-5)
    down, across = rows[:, 5, 4] - rows[:, 4, 4], columns[:, 5, 4] - columns[:, 4, 4]
    np.testing.assert_allclose(down**2 + across**2, 1, atol=1e-5)
    assert 0.45 < np.arctan2(across, down).max() <= 0.5 and -0.5 <= np.arctan2(across, down).min() < -0.45


def test_augmentation_scales_height_and_width_each_by_its_own_share(monkeypatch):
    without_changes(monkeypatch, scaling=0.2)
    rows, columns = map(np.asarray, random_warp((500, 9, 9, 1), keras.random.SeedGenerator(0)))
    down, across = rows[:, 8, 4] - rows[:, 0, 4], columns[:, 4, 8] - columns[:, 4, 0]
    for length in down / 8, across / 8:
        assert 0.8 <= length.min() < 0.82 and 1.18 < length.max() <= 1.2 + 1e-5
    assert abs(np.corrcoef(down, across)[0, 1]) < 0.2


def test_augmentation_shears_rows_against_each_other(monkeypatch):
    without_changes(monkeypatch, shear=0.2)
    rows, columns = map(np.asarray, random_warp((500, 9, 9, 1), keras.random.SeedGenerator(0)))
    np.testing.assert_allclose(rows, np.broadcast_to(np.arange(9)[:, None], rows.shape), atol=1e-5)
    shift = columns[:, 5] - columns[:, 4]  # of a row against the one above it
    assert -0.2 - 1e-5 <= shift.min() < -0.18 and 0.18 < shift.max() <= 0.2 + 1e-5


def test_augmentation_bends_smoothly(monkeypatch):
    without_changes(monkeypatch, elastic=0.05)
    rows, columns = map(np.asarray, random_warp((1000, 20, 40, 1), keras.random.SeedGenerator(0)))
    down, across = rows - np.arange(20)[:, None], columns - np.arange(40)
    assert 0.9 < down[:, 0, 0].std() < 1.1 and 1.8 < across[:, 0, 0].std() < 2.2  # 0.05 of 20 and of 40, at a knot
    assert abs(np.corrcoef(down[:, 0, 0], down[:, -1, -1])[0, 1]) < 0.15  # the knots move independently
    assert np.abs(np.diff(down, axis=2)).max() < 0.8 < 3 < np.abs(down).max()  # neighbours in a row move together


def test_augmentation_never_mirrors():
    rows, columns = map(np.asarray, random_warp((500, 28, 28, 1), keras.random.SeedGenerator(0)))
    down = rows[:, 21, 14] - rows[:, 7, 14], columns[:, 21, 14] - columns[:, 7, 14]
    right = rows[:, 14, 21] - rows[:, 14, 7], columns[:, 14, 21] - columns[:, 14, 7]
    assert (down[0] * right[1] - down[1] * right[0] > 0).all()  # a mirrored image's axes turn the other way round


def test_augmentation_moves_pixels_in_proportion_to_its_settings(monkeypatch):
    pixels, settings, warps = np.mgrid[:28, :28][:, None], dict(AUGMENTATION), []
    for share in 0, 0.5, 1:
        for name in "rotation", "shear", "scaling", "shift", "elastic":
            monkeypatch.setitem(AUGMENTATION, name, share * settings[name])
        warps.append(np.asarray(random_warp((100, 28, 28, 1), keras.random.SeedGenerator(0))))
    none, half, whole = warps
    np.testing.assert_allclose(none, np.broadcast_to(pixels, none.shape), atol=1e-5)
    half, whole = np.abs(half - pixels).mean(), np.abs(whole - pixels).mean()
    assert 0.48 * whole < half < 0.52 * whole


def test_clutter_is_a_window_of_the_brighter_of_two_images(monkeypatch):
    random = np.random.default_rng(0)
    images, others = random.uniform(-1, 1, (2, 300, 20, 10, 3)).astype("float32")
    cluttered = np.asarray(clutter(images, others, 0.5, keras.random.SeedGenerator(0)))
    changed = (cluttered != images).any(axis=-1)
    np.testing.assert_array_equal(cluttered[changed], np.maximum(images, others)[changed])
    assert 0.35 < changed.any(axis=(1, 2)).mean() < 0.55  # the narrowest windows show nothing
    rows, columns = changed.any(axis=2).sum(axis=1), changed.any(axis=1).sum(axis=1)
    assert 11 <= rows.max() <= 13 and 5 <= columns.max() <= 7  # 0.6 of 20 and of 10
    assert len({tuple(np.argwhere(each)[0]) for each in changed if each.any()}) > 30  # at many places
    np.testing.assert_array_equal(clutter(images, others, 0, keras.random.SeedGenerator(0)), images)


def test_strokes_on_a_background_are_told_from_other_images(digits, small_dataset):
    random = np.random.default_rng(0)
    gradients = np.linspace(0, 255, 28).astype("uint8") + np.zeros((50, 28, 1), "uint8")
    for images, brightness in ((digits.train_images, 0), (255 - digits.train_images, 255),
                               (small_dataset.train_images, 0), (np.full((3, 8, 8, 3), 7, "uint8"), 7)):
        assert background(images) == pytest.approx(brightness, abs=12)
    for images in random.integers(0, 256, (50, 28, 28, 3)).astype("uint8"), gradients[..., None]:
        assert background(images) is None

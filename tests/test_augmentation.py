"""sgan/data/augmentation.py: how far images are warped, cluttered and changed, and which ones show strokes."""

import keras
import numpy as np
import pytest

from sgan.data.augmentation import AUGMENTATION, KINDS, background, clutter, photographs, random_warp, strokes, warp

SHAPE = 500, 9, 9, 1


def seed():
    return keras.random.SeedGenerator(0)


def random_places(shape=SHAPE, rotation=0, scaling=0, shift=0, **more):
    """Rows and columns of a random warp of these amounts, as NumPy arrays."""
    return map(np.asarray, random_warp(shape, seed(), rotation, scaling, shift, **more))


def test_a_warp_of_size_zero_changes_nothing(digits):
    images = digits.train_images[:3].astype("float32")
    np.testing.assert_allclose(warp(images, seed(), rotation=0, scaling=0, shift=0), images, atol=0.5)


def test_a_warp_shifts_each_image_by_its_own_share_and_goes_on_with_the_border():
    ramp = np.broadcast_to(np.arange(20, dtype="float32")[None, None, :, None], (50, 10, 20, 2))
    moved = np.asarray(warp(ramp, seed(), rotation=0, scaling=0, shift=0.2))
    shifts = moved[:, :, 10, 0] - 10  # a ramp shows how far it was shifted
    assert np.allclose(shifts, shifts[:, :1], atol=1e-4) and len(np.unique(shifts.round(3))) > 40
    assert -4 <= shifts.min() < -3 and 3 < shifts.max() <= 4  # 0.2 of 20 columns
    np.testing.assert_allclose(moved, np.clip(ramp + shifts[:, :1, None, None], 0, 19), atol=0.02)


def test_a_warp_turns_about_the_centre():
    rows, columns = random_places(rotation=0.5)
    np.testing.assert_allclose([rows[:, 4, 4], columns[:, 4, 4]], 4, atol=1e-5)
    down, across = rows[:, 5, 4] - rows[:, 4, 4], columns[:, 5, 4] - columns[:, 4, 4]
    np.testing.assert_allclose(down**2 + across**2, 1, atol=1e-5)
    assert 0.45 < np.arctan2(across, down).max() <= 0.5 and -0.5 <= np.arctan2(across, down).min() < -0.45


def test_a_warp_scales_height_and_width_each_by_its_own_share():
    rows, columns = random_places(scaling=0.2)
    down, across = rows[:, 8, 4] - rows[:, 0, 4], columns[:, 4, 8] - columns[:, 4, 0]
    for length in down / 8, across / 8:
        assert 0.8 <= length.min() < 0.82 and 1.18 < length.max() <= 1.2 + 1e-5
    assert abs(np.corrcoef(down, across)[0, 1]) < 0.2


def test_a_warp_shears_rows_against_each_other():
    rows, columns = random_places(shear=0.2)
    np.testing.assert_allclose(rows, np.broadcast_to(np.arange(9)[:, None], rows.shape), atol=1e-5)
    shift = columns[:, 5] - columns[:, 4]  # of a row against the one above it
    assert -0.2 - 1e-5 <= shift.min() < -0.18 and 0.18 < shift.max() <= 0.2 + 1e-5


def test_a_warp_bends_smoothly():
    rows, columns = random_places((1000, 20, 40, 1), elastic=0.05)
    down, across = rows - np.arange(20)[:, None], columns - np.arange(40)
    assert 0.9 < down[:, 0, 0].std() < 1.1 and 1.8 < across[:, 0, 0].std() < 2.2  # 0.05 of 20 and of 40, at a knot
    assert abs(np.corrcoef(down[:, 0, 0], down[:, -1, -1])[0, 1]) < 0.15  # the knots move independently
    assert np.abs(np.diff(down, axis=2)).max() < 0.8 < 3 < np.abs(down).max()  # neighbours in a row move together


@pytest.mark.parametrize("kind", KINDS)
def test_only_photographs_are_mirrored_half_of_them(kind):
    ramp = np.broadcast_to(np.linspace(-0.5, 0.5, 28, dtype="float32")[:, None], (400, 28, 28, 3))
    slopes = np.diff(np.asarray(KINDS[kind](ramp, seed()))[..., 0], axis=2).sum(axis=(1, 2))
    assert (slopes < 0).mean() == pytest.approx(0.5 if kind == "photographs" else 0, abs=0.1)


def test_strokes_are_warped_as_far_as_their_settings_say():
    images = np.random.default_rng(0).uniform(-1, 1, (4, 12, 10, 1)).astype("float32")
    amounts = {name: AUGMENTATION[name] for name in ("rotation", "shear", "scaling", "shift", "elastic")}
    np.testing.assert_array_equal(strokes(images, seed()), warp(images, seed(), **amounts))


def test_half_of_the_photographs_change_in_light_and_colour_and_get_a_hole():
    images = (np.random.default_rng(0).uniform(-0.3, 0.3, (400, 32, 32, 3)) + [0.1, 0, -0.1]).astype("float32")
    changed = np.asarray(photographs(images, seed()))
    assert changed.shape == images.shape and abs(changed).max() <= 1
    hole = (changed == 0).all(axis=-1)
    rows, areas = hole.any(axis=2).sum(axis=1), hole.sum(axis=(1, 2))
    some = areas > 0
    assert some.mean() == pytest.approx(0.5, abs=0.1)
    assert rows[some].min() >= 10 and areas.max() <= 13 * 13  # 0.375 of 32, less at the border
    for chosen, is_changed in (some, True), (~some, False):
        seen = [each[~inside] for each, inside in zip(changed[chosen], hole[chosen])]
        assert (max(abs(each.mean()) for each in seen) > 0.4) == is_changed
        assert (max(np.ptp(each.mean(axis=0)) for each in seen) > 0.25) == is_changed


def test_clutter_is_a_window_of_the_brighter_of_two_images():
    random = np.random.default_rng(0)
    images, others = random.uniform(-1, 1, (2, 300, 20, 10, 3)).astype("float32")
    cluttered = np.asarray(clutter(images, others, 0.5, seed()))
    changed = (cluttered != images).any(axis=-1)
    np.testing.assert_array_equal(cluttered[changed], np.maximum(images, others)[changed])
    assert 0.35 < changed.any(axis=(1, 2)).mean() < 0.55  # the narrowest windows show nothing
    rows, columns = changed.any(axis=2).sum(axis=1), changed.any(axis=1).sum(axis=1)
    assert 11 <= rows.max() <= 13 and 5 <= columns.max() <= 7  # 0.6 of 20 and of 10
    assert len({tuple(np.argwhere(each)[0]) for each in changed if each.any()}) > 30  # at many places
    np.testing.assert_array_equal(clutter(images, others, 0, seed()), images)


def test_strokes_on_a_background_are_told_from_other_images(digits, small_dataset):
    random = np.random.default_rng(0)
    gradients = np.linspace(0, 255, 28).astype("uint8") + np.zeros((50, 28, 1), "uint8")
    for images, brightness in ((digits.train_images, 0), (255 - digits.train_images, 255),
                               (np.minimum(255 - digits.train_images, np.uint8([250, 230, 120])), 200),  # yellow paper
                               (small_dataset.train_images, 0), (np.full((3, 8, 8, 3), 7, "uint8"), 7)):
        assert background(images) == pytest.approx(brightness, abs=12)
    for images in random.integers(0, 256, (50, 28, 28, 3)).astype("uint8"), gradients[..., None]:
        assert background(images) is None

"""Generated images of any size: made with multiples of 4 as height and width, then cut."""

from keras import layers


def crop(images, height, width):
    """Cut images (n, H, W, C) off at the bottom and the right; no layer where they have the right size."""
    rest = (0, images.shape[1] - height), (0, images.shape[2] - width)
    return images if rest == ((0, 0), (0, 0)) else layers.Cropping2D(rest, name="crop")(images)

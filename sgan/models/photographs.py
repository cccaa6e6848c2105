"""The network of the tuned SGAN for photographs."""

from keras import layers


def photograph_backbone(images):
    """Images (n, H, W, C) in [-1, 1] to features (n, 256): four convolutions with batch normalisation (Ioffe and
    Szegedy 2015, arXiv 1502.03167), a dense layer, dropout."""
    x = images
    for i, (filters, size, strides) in enumerate([(64, 5, 2), (128, 3, 1), (256, 3, 1), (256, 3, 1)], start=1):
        x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False,
                          kernel_initializer="he_normal", name=f"conv_{i}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"batch_norm_{i}")(x)
        x = layers.LeakyReLU(negative_slope=0.1)(x)
        if i in (2, 3):
            x = layers.MaxPooling2D(padding="same", name=f"pool_{i}")(x)
    x = layers.Dropout(0.5, name="dropout_1")(layers.Flatten(name="flatten")(x))
    x = layers.Dense(256, kernel_initializer="he_normal", name="dense")(x)
    x = layers.LeakyReLU(negative_slope=0.1)(x)
    return layers.Dropout(0.5, name="dropout_2")(x)

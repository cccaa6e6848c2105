"""Weight normalisation: Salimans and Kingma 2016, arXiv 1602.07868."""

from keras import layers, ops


class WeightNormDense(layers.Layer):
    """A dense layer whose weights, for each unit, have any `direction` and the length `scale` (arXiv 1602.07868)."""

    def __init__(self, units, initializer, train_scale=True, **kwargs):
        super().__init__(**kwargs)
        self.units, self.initializer, self.train_scale = units, initializer, train_scale

    def build(self, input_shape):
        self.direction = self.add_weight((input_shape[-1], self.units), self.initializer, name="direction")
        self.scale = self.add_weight((self.units,), "ones", trainable=self.train_scale, name="scale")
        self.bias = self.add_weight((self.units,), "zeros", name="bias")

    @property
    def gain(self):
        """What brings each unit's direction to its length, (units,)."""
        return self.scale / ops.sqrt(ops.sum(ops.square(self.direction), axis=0) + 1e-6)

    @property
    def kernel(self):
        """The normalised weights, (inputs, units)."""
        return self.direction * self.gain

    def call(self, inputs):
        return ops.matmul(inputs, self.direction) * self.gain + self.bias

    def initialise_scale(self, inputs):
        """Set scale and bias so that the outputs for `inputs` (n, m) have mean 0 and deviation 1 (section 3 there)."""
        outputs = ops.matmul(inputs, self.kernel)
        deviation = ops.std(outputs, axis=0)
        self.bias.assign(-ops.mean(outputs, axis=0) / deviation)
        self.scale.assign(self.scale / deviation)


def plain_dense(units, initializer, train_scale=True, name=None):
    """The layer, of Keras alone, into which the normalised weights are written before a model is saved."""
    return layers.Dense(units, name=name)


def initialise_from_data(discriminator, images):
    """Set scales and biases, layer by layer, from training images (n, H, W, C) in [-1, 1]."""
    for layer in discriminator.layers[1:]:
        if isinstance(layer, WeightNormDense):
            layer.initialise_scale(images)
        images = layer(images, training=True)


def write_out(model, plain):
    """Give a model of plain layers, of the same form, the weights of `model`, the normalised ones multiplied out."""
    for layer, copy in zip(model.layers, plain.layers):
        copy.set_weights([layer.kernel, layer.bias] if isinstance(layer, WeightNormDense) else layer.get_weights())

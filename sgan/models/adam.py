"""Adam as Salimans et al. (2016) have it: nn.py of github.com/openai/improved-gan, mnist_svhn_cifar10."""

import keras
from keras import ops


class EpsilonInRootAdam(keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015, arXiv 1412.6980) with epsilon inside the root, beside the corrected second moment.

    Keras adds epsilon to the root of the second moment before its bias correction: in step t that is like adding
    epsilon / sqrt(1 - beta_2^t) to the root of the corrected one. For float32 weights; amsgrad is ignored.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Move a weight by its gradient, of the same shape."""
        i = self._get_variable_index(variable)
        mean, square = self._momentums[i], self._velocities[i]  # as Keras' Adam names them
        self.assign_add(mean, (1 - self.beta_1) * (gradient - mean))
        self.assign_add(square, (1 - self.beta_2) * (ops.square(gradient) - square))
        step = ops.cast(self.iterations + 1, variable.dtype)
        corrected_mean = mean / (1 - self.beta_1 ** step)
        corrected_square = square / (1 - self.beta_2 ** step)
        self.assign_sub(variable, learning_rate * corrected_mean / ops.sqrt(corrected_square + self.epsilon))

"""Adam with its epsilon where Salimans et al. (2016) have it: nn.py of github.com/openai/improved-gan."""

import keras
from keras import ops


class CorrectedAdam(keras.optimizers.Adam):
    """Adam whose epsilon is added to the second moment after its correction for the start, inside the root.

    Keras adds its epsilon to the root of the uncorrected second moment. In the first thousand steps that damps small
    gradients more, and feature matching's generator collapses with the authors' learning rate.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Move one weight and its moments."""
        i, step = self._get_variable_index(variable), ops.cast(self.iterations + 1, variable.dtype)
        mean, square = self._momentums[i], self._velocities[i]
        self.assign_add(mean, (1 - self.beta_1) * (gradient - mean))
        self.assign_add(square, (1 - self.beta_2) * (ops.square(gradient) - square))
        corrected_mean, corrected_square = (
            moment / (1 - ops.power(ops.cast(beta, variable.dtype), step))
            for moment, beta in ((mean, self.beta_1), (square, self.beta_2)))
        root = ops.sqrt(corrected_square + self.epsilon)
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * corrected_mean / root)

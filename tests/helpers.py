"""What several test files need."""

import pytest

from sgan.command_line import InputError
from sgan.data import MNIST_FINGERPRINT
from sgan.safe_loading import load_classifier


def hand_made(run, test_accuracy, fingerprint=MNIST_FINGERPRINT, **others):
    """What a `sgan.studies.run.Run` would write if it ended with that accuracy; `others` replace entries."""
    final = {"step": run.steps, "seconds": 9, "test_accuracy": test_accuracy, "train_accuracy": 0.5}
    before = {"step": 500, "seconds": 5, "test_accuracy": test_accuracy + 0.1}
    return {**run.result(fingerprint, error=None), "final": final, "history": [before, final],
            "seconds_per_step": 0.5, "seconds": 1, "weights": 7, "unlabelled_images": run.unlabelled or 60000,
            "labelled_images": {"number": run.labels, "sha256": "0"}, "versions": {}, "device": "none", "threads": 1,
            **others}


def refusal(path):
    """The one line with which a file is refused as a classifier."""
    with pytest.raises(InputError) as caught:
        load_classifier(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message

"""Figures that others have published about MNIST, to stand beside ours. Their networks, budgets and choice of models
differ: they show the order of magnitude, and are no race. More of them are in results/README.md."""

# Test error in per cent by number of labels.
PUBLISHED_ERRORS = {"published: SGAN (Odena 2016, arXiv 1606.01583)": {50: 11.7, 100: 7.2, 1000: 3.6}}
# The second article, one run each: test accuracy in per cent after so many steps.
PUBLISHED_ARTICLE = {"published: SGAN": {500: 75.9, 2000: 86.9, 2500: 89.8, 6000: 90.67},
                     "published: supervised only": {400: 66.63}}
# The tutorial's run: accuracy on the training set in per cent after each epoch of 600 steps, and the test accuracy,
# 0..1, of its model after the twelfth, the best one by the training labels.
EPOCH_STEPS = 600
PUBLISHED_EPOCHS = {EPOCH_STEPS * epoch: value for epoch, value in enumerate((
    85.543, 91.487, 92.628, 94.017, 94.252, 93.828, 94.122, 93.597, 95.283, 95.287, 95.263, 95.432, 95.270, 95.212,
    94.803, 94.640, 93.622, 91.870, 92.525, 92.180), start=1)}
PUBLISHED_TUTORIAL = 0.9592

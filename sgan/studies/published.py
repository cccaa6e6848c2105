"""Figures that others have published about MNIST, to stand beside ours."""

# Published test errors on MNIST in per cent, mean ± standard deviation of several runs, or one run. Their networks,
# budgets and choice of models differ from ours: they show the order of magnitude, and are no race.
ODENA = "SGAN (Odena 2016, arXiv 1606.01583)"
PUBLISHED_ERRORS = {
    ODENA: {50: "11.7", 100: "7.2", 1000: "3.6"},
    "feature matching (Salimans et al. 2016, arXiv 1606.03498)":
        {20: "16.77 ± 4.52", 50: "2.21 ± 1.36", 100: "0.93 ± 0.065", 200: "0.90 ± 0.04"},
    "the same, ensemble of 10": {100: "0.86 ± 0.06", 200: "0.81 ± 0.04"},
    "CatGAN (arXiv 1511.06390)": {100: "1.91 ± 0.10"},
    "Triple-GAN (arXiv 1703.02291)": {20: "4.81 ± 4.95", 50: "1.56 ± 0.72", 100: "0.91 ± 0.58"},
    "Bad GAN (arXiv 1705.09783)": {100: "0.795 ± 0.098"},
    "Ladder + PBWN (arXiv 1710.02338)": {20: "2.52 ± 2.42", 50: "1.06 ± 0.48", 100: "0.91 ± 0.05"},
    "Ladder network (arXiv 1507.02672)": {50: "1.62 ± 0.65", 100: "1.06 ± 0.37"},
}
# The tutorial's run: accuracy on the training set in per cent after each epoch of 600 steps, and the test accuracy,
# 0..1, of its model after the twelfth, the best one by the training labels.
PUBLISHED_EPOCHS = (85.543, 91.487, 92.628, 94.017, 94.252, 93.828, 94.122, 93.597, 95.283, 95.287, 95.263, 95.432,
                    95.270, 95.212, 94.803, 94.640, 93.622, 91.870, 92.525, 92.180)
EPOCH_STEPS = 600
PUBLISHED_TUTORIAL = 0.9592
# The second article's, one run each: test accuracy in per cent after so many steps.
PUBLISHED_ARTICLE = {"SGAN": {500: 75.9, 2000: 86.9, 2500: 89.8, 6000: 90.67}, "supervised only": {400: 66.63}}

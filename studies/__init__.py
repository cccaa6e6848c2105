"""What goes beyond the tutorial: the SGAN tuned, what the GAN adds, and which discriminator is best.

    tuned.py         the tuned SGAN, a script to read after sgan_mnist.py: python -m studies.tuned
    networks.py      the second article's networks, the three discriminators ready to train, the presets' settings
    run.py           one run: python -m studies.run ...
    study.py         many runs, and their table: python -m studies.study NAME
    tables.py        what is made of finished runs: CSV, table, picture
    development.py   images to develop a recipe on: python -m studies.development FILE.npz
"""

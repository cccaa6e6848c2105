"""Comparisons: what the GAN adds to the same classifier trained alone, and which discriminator is best.

    networks.py   the second article's networks, the three discriminators ready to train, the settings of both articles
    run.py        one run: python -m studies.run ...
    study.py      many runs, and their table: python -m studies.study NAME
    tables.py     what is made of finished runs: CSV, table, picture
"""

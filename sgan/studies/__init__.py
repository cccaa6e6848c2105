"""Comparisons of many runs: which discriminator is best, what the unlabelled images add, what each ingredient is worth.

    study.py             the studies, lists of runs: python -m sgan.studies NAME
    jobs.py              runs side by side, each in a process
    run.py               one run: python -m sgan.studies.run ...
    supervised_only.py   the baseline: the same classifier trained on the labelled images only
    baselines.py         methods without a neural network: python -m sgan.studies.baselines
    article.py           the second article's model
    results.py           where finished runs are kept
    tables.py            what is made of finished runs: CSV and tables
    figures.py           and figures
    published.py         what others have published, to stand beside it
    own_data.py          whether unlabelled images help on your own data: python -m sgan.studies.own_data --data mine
    development.py       images to develop a recipe on: python -m sgan.studies.development FILE.npz
"""

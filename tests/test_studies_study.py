"""sgan/studies/study.py: lists of runs, what is made of them, the command; and the committed tables."""

import shlex
import shutil
from types import SimpleNamespace

import pytest
from conftest import ROOT
from helpers import hand_made

from sgan.data.dataset import MNIST_FINGERPRINT
from sgan.feature_matching import FeatureMatchingSettings
from sgan.runs.command import InputError
from sgan.studies import run as one_run
from sgan.studies import study
from sgan.studies.results import read_results, write_result

# --------------------------------------------------------------------------------------------------------------
# The runs


@pytest.mark.parametrize("arguments, complaint", [
    (["default", "--steps", "2"], "--steps: the study 'default' has no such choice"),
    (["article", "--first-split", "2"], "--first-split: the study 'article' has no such choice"),
    (["article", "--splits", "0"], "--splits: 0: must be at least 1"),
    (["article", "--labels", "3,"], "--labels: invalid int value: '3,'"),
    (["other"], "invalid choice: 'other'"),
])
def test_choices_that_a_study_does_not_have_are_refused(arguments, complaint):
    with pytest.raises(InputError, match=complaint):
        study.main([*arguments, "--list"])


def test_the_tuned_sgan_without_augmentation_has_splits_of_its_own():
    splits = {}
    for run in study.make_runs("tuned", "mnist"):
        splits.setdefault((run.without, run.labels), []).append(run.label_seed)
    assert splits.pop(("augmentation,generator", 100)) == splits.pop(("augmentation", 20)) == [41, 42, 43, 44, 45]
    assert splits.pop(("augmentation", 100)) == [41, 42, 43, 44, 45]
    assert set(map(tuple, splits.values())) == {(36, 37, 38, 39, 40)} and len(splits) == 5


def test_feature_matching_is_compared_with_each_other_loss_and_measured_in_full_on_other_splits():
    runs = study.make_runs("feature-matching", "mnist", splits=1)
    assert [(run.label_seed, run.labels, run.method, run.variant, run.steps) for run in runs] == [
        (10, 100, "sgan", "stacked", 30000), (10, 20, "sgan", "stacked", 30000),
        (10, 100, "supervised-only", "stacked", 30000), (10, 100, "sgan", "no-generator", 30000),
        (10, 100, "sgan", "adversarial", 30000),
        (15, 100, "sgan", "stacked", 600 * FeatureMatchingSettings.epochs)]
    assert [run.label_seed for run in study.make_runs("feature-matching", "mnist", splits=6) if run.steps == 48000] == [
        16, 17, 18, 19, 20, 21]  # none of the six before: tables pair runs of different lengths


# --------------------------------------------------------------------------------------------------------------
# What is made of them


def test_tables_say_which_runs_failed_and_how_many_are_missing(tmp_path):
    runs = study.make_runs("article", "mnist", splits=2)
    results = [hand_made(run, 0.75) for run in runs]
    results[1] = {**runs[1].result(MNIST_FINGERPRINT, error="diverged"), "final": None, "history": []}
    study.write_tables("article", [*results[:-1], None], tmp_path, "article --splits 2")
    text = (tmp_path / "article.md").read_text()
    assert text.startswith("# article\n\n| run |") and "\n## Beside the article's figures\n\n| test accuracy" in text
    assert text.endswith("`python -m sgan.studies article --splits 2`: 5 of 6 runs, 1 failed; see results/README.md\n"
                         f"- failed: {runs[1].name}: diverged\n")
    rows = (tmp_path / "article.csv").read_text().splitlines()[1:]
    assert len(rows) == 5 and f",diverged,{runs[1].name}," in rows[1] and "0.75" not in rows[1]
    study.write_tables("article", results[1:2], tmp_path, "")  # none but failed ones
    assert "1 of 1 runs, 1 failed" in (tmp_path / "article.md").read_text()
    with pytest.raises(InputError, match="no run of the study 'article' is done yet"):
        study.write_tables("article", [None] * len(runs), tmp_path, "")


def test_tables_of_other_data_have_files_of_their_own_and_no_published_figures(tmp_path):
    for name, published in (("article", "90.67"), ("default", "95.43")):
        for fingerprint, title in ((MNIST_FINGERPRINT, name), ("another", f"{name}-letters")):
            runs = study.make_runs(name, "some/letters.npz", splits=1)
            study.write_tables(name, [hand_made(run, 0.8, fingerprint) for run in runs], tmp_path, "")
            text = (tmp_path / f"{title}.md").read_text()
            assert text.startswith(f"# {title}\n") and (published in text) == (title == name)


@pytest.fixture
def committed(tmp_path, monkeypatch):
    """A folder with a copy of the committed runs, results/runs/, as the current one."""
    shutil.copytree(ROOT / "results" / "runs", tmp_path / "results" / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


@pytest.mark.parametrize("name", [
    "variants", "article", "supervised-only", "labels", "default", "tuned", "feature-matching", "ablation-development",
    "other-data-usps", "other-data-long_tail", "other-data-pneumoniamnist",
])
def test_committed_tables_are_what_the_committed_runs_give(committed, monkeypatch, name):
    """Those of the command below the table; of images that are not here, the fingerprint is in the runs."""
    text = (ROOT / "results" / f"{name}.md").read_text()
    rows = (ROOT / "results" / f"{name}.csv").read_text()
    found = [result for result in read_results(committed).values() if result["id"] in rows]
    monkeypatch.setattr(study, "load_real_samples", lambda data: SimpleNamespace(
        fingerprint=lambda: found[0]["data"]["fingerprint"]))
    command = text.split("`python -m sgan.studies ")[1].split("`")[0]
    study.main(command.split())
    (path,) = committed.glob("*.csv")
    assert (path.stem, path.read_text(), path.with_suffix(".md").read_text()) == (name, rows, text)


# --------------------------------------------------------------------------------------------------------------
# The command


@pytest.fixture
def making(monkeypatch):
    """The runs that a study asks for, a list for each time; the one with seed 1 fails, that with 2 is killed."""
    asked = []

    def make(runs, results, jobs):
        asked.append(runs)
        for run in runs:
            if run.seed != 2:
                write_result(results, hand_made(run, 0.75, error="diverged" if run.seed == 1 else None))

    monkeypatch.setattr(study, "make_side_by_side", make)
    return asked


def test_a_study_makes_what_is_missing_or_has_failed(tmp_path, making, capsys):
    arguments = ["default", "--splits", "3", "--results", str(tmp_path)]
    for done in 0, 1:
        with pytest.raises(SystemExit) as stop:
            study.main(arguments)
        assert stop.value.code == 1 and f"3 runs, {done} of them done already; " in capsys.readouterr().out
    assert [[run.seed for run in runs] for runs in making] == [[0, 1, 2], [1, 2]]
    assert f"`python -m sgan.studies {' '.join(arguments)}`: 2 of 3 runs, 1 failed" in (
        tmp_path / "default-chosen.md").read_text()
    study.main([*arguments, "--table"])
    assert len(making) == 2 and not (tmp_path / "default.md").exists()  # the table of all runs, if there was one


@pytest.mark.slow
def test_listed_commands_run_and_the_study_then_finds_them_done(small_digits, tmp_path, capsys):
    """As a job array would have it; the study makes the other run in a process of its own."""
    options = ["supervised-only", "--labels", "20", "--splits", "1", "--steps", "3", "--data", str(small_digits),
               "--results", str(tmp_path)]
    study.main([*options, "--list"])
    *command, _ = capsys.readouterr().out.splitlines()
    python, module, name, *arguments = shlex.split(*command)
    assert [python, module, name] == ["python", "-m", "sgan.studies.run"]
    one_run.main(arguments)
    study.main(options)
    assert "2 runs, 1 of them done already" in capsys.readouterr().out
    assert "2 of 2 runs, 0 failed" in (tmp_path / "supervised-only-small.md").read_text()

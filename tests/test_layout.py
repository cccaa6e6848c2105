"""The one direction of imports: helpers, sgan_mnist, then tuned and the other scripts, then studies and benchmarks."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = [path.relative_to(ROOT) for path in sorted([*ROOT.glob("*.py"), *ROOT.glob("sgan/**/*.py")])]
NAMES = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}


def floor_of(name):
    """On which floor a module is: it may import from lower ones, and from its own where that is a folder."""
    if name in ("sgan_mnist", "sgan.tuned", "sgan.feature_matching", "discriminator_variants", "evaluate_classifier"):
        return 1 if name == "sgan_mnist" else 2
    return {"sgan.studies": 3, "sgan.benchmarks": 4}.get(".".join(name.split(".")[:2]), 0)


def imports_of(name, inside_functions=False):
    """The project's modules that a module imports, at the top or in functions."""
    tree = ast.parse((ROOT / NAMES[name]).read_text(encoding="utf-8"))
    in_functions = {node for function in ast.walk(tree) if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
                    for node in ast.walk(function)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and (node in in_functions) == inside_functions:
            assert not getattr(node, "level", 0), f"{name}, line {node.lineno}: a relative import"
            modules = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                modules = [f"{node.module}.{each}" if f"{node.module}.{each}" in NAMES else node.module
                           for each in modules]
            found += [module for module in modules if module in NAMES or module.split(".")[0] == "tests"]
    return found


def test_imports_are_found():
    assert {"sgan_mnist", "sgan.data.dataset", "sgan.tuned", "sgan.studies.run"} <= NAMES.keys()
    assert {"sgan.studies.run", "sgan.tuned"} <= {*imports_of("sgan.studies.study")}
    assert {"sgan_mnist", "sgan.benchmarks.plain_loop"} <= {*imports_of("sgan.benchmarks.train_step")}


def test_imports_have_one_direction():
    upwards = []
    for name in NAMES:
        for imported in imports_of(name):
            here, there = floor_of(name), floor_of(imported)
            allowed = there < here or there == here and here in (0, 3, 4) or imported == "sgan"
            if not allowed or imported.startswith("tests"):
                upwards.append(f"{name} imports {imported}")
    assert upwards == []


def test_there_is_no_circle():
    waiting = {name: {each for each in imports_of(name) if each in NAMES} for name in NAMES}
    while free := {name for name, needed in waiting.items() if not needed & waiting.keys()}:
        waiting = {name: needed for name, needed in waiting.items() if name not in free}
    assert not waiting


def test_no_import_of_the_project_is_hidden_in_a_function():
    hidden = {name: imports_of(name, inside_functions=True) for name in NAMES}
    assert {name: modules for name, modules in hidden.items() if modules} == {
        "discriminator_variants": ["sgan.studies.study"]}  # --compare is a study, which trains this script's VARIANTS

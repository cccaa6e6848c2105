"""The one direction of imports: helpers, sgan_mnist, then tuned and the other scripts, then studies and benchmarks."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATHS = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
         for path in [*ROOT.glob("*.py"), *ROOT.glob("sgan/**/*.py")]}
SCRIPTS = "sgan.tuned", "sgan.feature_matching", "discriminator_variants", "evaluate_classifier"
HIDDEN = {("discriminator_variants", "sgan.studies.study")}  # --compare is a study, which trains the script's VARIANTS


def floor_of(name):
    """On which floor a module is: it may import from lower ones, and from its own if that is a folder."""
    if name == "sgan_mnist" or name in SCRIPTS:
        return 2 if name in SCRIPTS else 1
    return {"sgan.studies": 3, "sgan.benchmarks": 4}.get(".".join(name.split(".")[:2]), 0)


def imports():
    """(module, module that it imports, whether that happens in a function or a block) of the project and its tests."""
    for name, path in PATHS.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert not getattr(node, "level", 0), f"{name}, line {node.lineno}: a relative import"
                modules = [alias.name for alias in node.names]
                if isinstance(node, ast.ImportFrom):
                    modules = [full if (full := f"{node.module}.{each}") in PATHS else node.module for each in modules]
                yield from ((name, module, node.col_offset > 0) for module in modules
                            if module in PATHS or module.split(".")[0] == "tests")


def test_imports_have_one_direction_and_are_not_hidden():
    found = {*imports()}
    assert {("sgan.studies.study", "sgan.studies.run", False), ("sgan.tuned", "sgan_mnist", False)} <= found
    for name, imported, hidden in found:
        here, there = floor_of(name), floor_of(imported)
        allowed = there < here or there == here and here in (0, 3, 4) or imported == "sgan"
        assert allowed and not hidden and imported in PATHS or (name, imported) in HIDDEN, f"{name} imports {imported}"

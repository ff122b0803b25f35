"""The layers of the package: lower ones know nothing of higher ones."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "comining"
#: From the lowest to the highest. Modules beside the layers are below all of them.
LAYERS = (
    "annotations", "modeling", "data", "evaluation", "engine", "studies", "completion", "cli"
)  # fmt: skip
#: Starting the command stands apart, and the config, whose methods tell keys of their own.
APART = ("__init__", "__main__", "config")


def imported(path):
    """The modules of the package that a file imports, by their parts below it."""
    place = path.relative_to(PACKAGE).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".") if node.module else []
            if node.level:
                yield (*place[: len(place) - node.level], *parts)
            elif parts[0] == "comining":
                yield tuple(parts[1:])
        elif isinstance(node, ast.Import):
            yield from (x.name.split(".")[1:] for x in node.names if x.name.startswith("comining."))


@pytest.mark.parametrize("layer", LAYERS)
def test_layer_imports_no_higher_one(layer):
    higher = LAYERS[LAYERS.index(layer) + 1 :]
    upwards = [
        f"{path.relative_to(PACKAGE)}: {'.'.join(module)}"
        for path in sorted((PACKAGE / layer).rglob("*.py"))
        for module in imported(path)
        if module and module[0] in higher
    ]
    assert upwards == []


def test_modules_beside_the_layers_import_none():
    for path in PACKAGE.glob("*.py"):
        if path.stem not in APART:
            assert [x for x in imported(path) if x and x[0] in LAYERS] == [], path


def test_every_folder_is_a_layer():
    folders = {x.name for x in PACKAGE.iterdir() if (x / "__init__.py").exists()}
    assert folders == {*LAYERS, "installation"}


def test_annotation_files_need_neither_torch_nor_detectron2():
    heavy = ("torch", "torchvision", "detectron2", "fvcore")
    for path in sorted((PACKAGE / "annotations").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [x.name for x in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            assert not [x for x in names if x.split(".")[0] in heavy], path


def test_commands_are_short():
    for path in (PACKAGE / "cli").glob("[!_]*.py"):
        assert len(path.read_text().splitlines()) < 100, path

"""A config that tells why each setting is as it is."""

import yaml

from comining.completion.config_text import Choice, config_text


def test_choices_replace_what_is_there_and_reasons_stand_above():
    base = {"MODEL": {"NAME": "x", "SIZES": [[1, 2]]}, "SEED": 0}
    text = config_text(
        base,
        [Choice("MODEL.SIZES", [[3.5], [4]], "they fit"), Choice("SOLVER.STEPS", [])],
        "About this file",
    )
    assert text == (
        "# About this file\n"
        "MODEL:\n"
        "  NAME: x\n"
        "  # they fit\n"
        "  SIZES: [[3.5], [4]]\n"
        "SEED: 0\n"
        "SOLVER:\n"
        "  STEPS: []\n"
    )


def test_values_come_back_as_they_were():
    values = {
        "A.TEXT": "",
        "A.PATH": "/a b/ü: #1.json",
        "A.NUMBER": 1e-5,
        "A.LIST": [["training", "/x/ä.json", "/images, and more"]],
        "A.FLAG": True,
        "A.NOTHING": {},
        "B": "a\nb",
    }
    text = config_text({}, [Choice(*pair, "why " * 60) for pair in values.items()], "")
    read = yaml.safe_load(text)
    assert read["B"] == values.pop("B")
    assert {f"A.{key}": value for key, value in read["A"].items()} == values
    assert max(map(len, text.splitlines())) <= 100

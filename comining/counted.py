"""Numbers of things, as messages tell them."""

from __future__ import annotations

import re

#: What agrees with a noun: the verb that follows it, and pronouns anywhere behind.
_VERBS = {
    "are": "is",
    "have": "has",
    "were": "was",
    "lie": "lies",
    "reach": "reaches",
    "occur": "occurs",
}
_PRONOUNS = {"their boxes": "its box", "their": "its", "them": "it"}
_NOUN = re.compile(rf"(ies|(?<=ss)es|(?<=x)es|s)\b(?: ({'|'.join(_VERBS)})\b)?")
_PRONOUN = re.compile(rf"(?<= )({'|'.join(_PRONOUNS)})(?= |$|[,:;.])")


def counted(number: int, text: str) -> str:
    """A number and what it counts: "3 boxes have no area", "1 box has no area".

    Args:
        number: at least 0.
        text: in the plural. Its first word that ends in s is the noun.
    """
    if number != 1:
        return f"{number} {text}"
    noun, ending, verb, rest = _NOUN.split(text, maxsplit=1)
    if ending == "ies":
        noun += "y"
    if verb is not None:
        noun += f" {_VERBS[verb]}"
    return f"1 {noun}{_PRONOUN.sub(lambda found: _PRONOUNS[found[0]], rest)}"

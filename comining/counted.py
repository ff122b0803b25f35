"""Numbers of things, as messages tell them."""

from __future__ import annotations

import re

#: What agrees with a noun in the plural: verbs that follow it, and pronouns anywhere.
_VERBS = {
    "are": "is",
    "have": "has",
    "were": "was",
    "lie": "lies",
    "lead": "leads",
    "occur": "occurs",
    "lack": "lacks",
    "reach": "reaches",
    "recur": "recurs",
    "belong": "belongs",
}
_PRONOUNS = {
    "they are": "it is",
    "them": "it",
    "their boxes": "its box",
    "their": "its",
    "these categories": "this category",
}
_NOUN = re.compile(r"\b(\w+?)(ies|(?<=ss)es|(?<=x)es|s)\b(?: (\w+))?")


def counted(number: int, text: str) -> str:
    """A number and what it counts: "3 boxes have no area", "1 box has no area".

    Args:
        number: at least 0.
        text: in the plural. Its first word that ends in s is the noun, and a verb follows it at
            once, if there is one that agrees with it. Without such a word, it begins with a verb.
    """
    if number != 1:
        return f"{number} {text}"
    noun = _NOUN.search(text)
    if noun is None:
        verb, _, rest = text.partition(" ")
        return f"1 {_VERBS.get(verb, verb)} {rest}"
    stem, ending, verb = noun.groups()
    start = text[: noun.start()] + stem + ("y" if ending == "ies" else "")
    if verb is not None:
        start = f"{start} {_VERBS.get(verb, verb)}"
    rest = re.sub(
        rf"(?<= )({'|'.join(_PRONOUNS)})(?= |$|[,:;.])",
        lambda found: _PRONOUNS[found[0]],
        text[noun.end() :],
    )
    return f"1 {start}{rest}"

"""What the check of an annotation file found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from comining.counted import counted

#: How many offenders of a kind a report names.
NUM_NAMED = 5


@dataclass(frozen=True)
class Finding:
    """One kind of problem.

    Attributes:
        severity: "error" (the file can't be used), "repaired" or "note".
        text: what is wrong and, if repaired, by which rule; of offenders, as `counted` takes it.
        offenders: ids or names; none where the file as a whole is meant.
    """

    severity: str
    text: str
    offenders: list[Any]

    def __str__(self) -> str:
        if not self.offenders:
            return f"{self.severity}: {self.text}"
        what = counted(len(self.offenders), self.text)
        text = f"{self.severity}: {what} ({some(self.offenders)})"
        # Names of files may hold bytes that are no text.
        return text.encode(errors="backslashreplace").decode()


@dataclass
class Report:
    """What the check of an annotation file found.

    Attributes:
        known: how much the file says besides its boxes, such as "regions to ignore".
    """

    json_file: str
    num_images: int = 0
    num_annotations: int = 0
    num_categories: int = 0
    known: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def add(self, severity: str, text: str, offenders: Iterable[Any]) -> None:
        """Add a `Finding` if there are offenders."""
        offenders = list(offenders)
        if offenders:
            self.findings.append(Finding(severity, text, offenders))

    def add_whole(self, severity: str, text: str) -> None:
        """Add a `Finding` about the file as a whole."""
        self.findings.append(Finding(severity, text, []))

    @property
    def is_fatal(self) -> bool:
        return any(finding.severity == "error" for finding in self.findings)

    def __str__(self) -> str:
        counts = {
            "images": self.num_images,
            "annotations": self.num_annotations,
            "categories": self.num_categories,
            **self.known,
        }
        numbers = ", ".join(counted(number, what) for what, number in counts.items())
        return "\n  ".join([f"{self.json_file}: {numbers}", *map(str, self.findings)])


def some(offenders: Iterable[Any]) -> str:
    """As many of them as a report names."""
    first = [str(x) for x in islice(offenders, NUM_NAMED + 1)]
    return ", ".join([*first[:NUM_NAMED], *(["..."] if len(first) > NUM_NAMED else [])])


def short(value: Any) -> str:
    """A value as a report shows it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

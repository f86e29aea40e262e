"""What a protocol of numbers of codes consists of, and its file.

    protocol = named("infodiffusion")
    protocol.section("auroc").rows          "five folds"
    protocol.sources["auroc.rows"]          "isjakewong/InfoDiffusion@75c7b31 eval_disentanglement.py l.437"

A protocol is a file of benchmarks/protocols/codes/ with a section for each kind of numbers that it
defines, and one, `codes`, for the rows that all of them take.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.metrics.codes import dci, information, tad, votes
from benchmarks.metrics.codes.data import Rows
from benchmarks.metrics.codes.invariant import factors, linear, neighbours, spectrum
from benchmarks.metrics.codes.number import by_metric, section_name
from benchmarks.metrics.codes.space import density, gaussian, places
from benchmarks.metrics.group import metrics_of_table
from benchmarks.metrics.protocols.library import FOLDERS, Head, Library, Value
from benchmarks.metrics.protocols.library import PLAIN as PLAIN
from diffae.system.errors import UserError

FOLDER = FOLDERS["codes"]
INVARIANT = by_metric((*linear.GROUPS, *neighbours.GROUPS, *spectrum.GROUPS, *factors.GROUPS))
BOUND_TO_AXES = by_metric((*tad.GROUPS, *dci.GROUPS, *information.GROUPS, *votes.GROUPS))
SPACE = by_metric((*gaussian.GROUPS, *places.GROUPS, *density.GROUPS))
NUMBERS = INVARIANT | BOUND_TO_AXES | SPACE
KINDS: list[type] = [group.section for group in NUMBERS.values()]
SECTIONS: dict[str, type] = {"codes": Rows} | {section_name(kind): kind for kind in KINDS}


def shown_in(table: str) -> tuple[str, ...]:
    """The metrics of codes that a table shows."""
    return metrics_of_table(table, dict.fromkeys(NUMBERS.values()))


def section_of(name: str) -> str:
    """The section that the choices of a metric are in."""
    return section_name(NUMBERS[name].section)


@dataclass(frozen=True)
class CodeProtocol(Head):
    """A protocol of numbers of codes.

    sections  the choices for each kind of numbers that it defines, and for the rows: `codes`
    """

    sections: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def codes(self) -> Rows:
        """The rows and dimensions that all numbers take."""
        return self.sections.get("codes", Rows())

    def defines(self, name: str) -> bool:
        """Whether it has a section for this number."""
        return section_of(name) in self.sections

    def section(self, name: str) -> Any:
        """The choices for a number. Raises UserError if it has none."""
        if not self.defines(name):
            have = ", ".join(number for number in NUMBERS if self.defines(number))
            raise UserError(f"{self.name} does not define {name}; it has: {have}")
        return self.sections[section_of(name)]

    def changed(self, name: str, value: Value) -> "CodeProtocol":
        """This protocol with another value of the field "section.field"."""
        section, _, key = name.partition(".")
        before = self.codes if section == "codes" else self.sections[section]
        new = replace(before, **{key: value})
        return replace(self, sections={**self.sections, section: new})


def _protocol(sections: Mapping[str, Any], **head: Any) -> CodeProtocol:
    """The protocol of a file; what the file of `plain` does not name has its defaults."""
    if head["name"] == PLAIN:
        sections = {name: kind() for name, kind in SECTIONS.items()} | dict(sections)
    return CodeProtocol(sections=sections, **head)


LIBRARY = Library("codes", SECTIONS, _protocol)
names, named, asked = LIBRARY.names, LIBRARY.named, LIBRARY.asked

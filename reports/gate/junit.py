"""Verdicts as JUnit XML: one test suite per benchmark, one test case per number."""

from collections import Counter
from itertools import groupby
from xml.etree import ElementTree

from reports.gate.page import Findings, change
from reports.gate.verdicts import NOT_COMPARED, Comparison
from reports.records.metrics import Metrics
from reports.records.reading import for_xml, joined
from reports.tables.numbers import steps_text

# The class and the name of a test; "failure", "error", "skipped", or nothing; and why.
Case = tuple[str, str, str, str]


def junit(findings: Findings) -> bytes:
    """All comparisons as test cases; those that fail are failures."""
    failed = {id(c) for c in findings.failing}
    ordered = sorted(findings.comparisons, key=lambda c: c.record.benchmark)
    groups = groupby(ordered, key=lambda c: c.record.benchmark)
    metrics = findings.metrics
    return _xml(
        {name: [_case(c, id(c) in failed, metrics) for c in group] for name, group in groups}
    )


def junit_of_refusal(reason: str) -> bytes:
    """A comparison that could not be made: one test case, an error with the reason."""
    # The name of a test is what should hold.
    case = ("reports.compare", "the runs can be compared", "error", reason)
    return _xml({"regression gate": [case]})


def _case(c: Comparison, failed: bool, metrics: Metrics) -> Case:
    r = c.record
    names = f"{r.benchmark}.{r.system}", joined(r.setting, steps_text(r), r.metric)
    if not failed:
        return (*names, "skipped" if c.verdict == NOT_COMPARED else "", c.note)
    base, new, difference = change(c, metrics)
    message = f"{c.verdict}: {base} -> {new or 'no value'} ({difference}), margin {c.margin:.2g}, p {c.p:.2g} {c.note}"
    return (*names, "failure", message.strip())


def _xml(suites: dict[str, list[Case]]) -> bytes:
    root = ElementTree.Element("testsuites", name="regression gate")
    for name, cases in suites.items():
        kinds = Counter(kind for _, _, kind, _ in cases)
        counts = {"tests": len(cases), "failures": kinds["failure"], "errors": kinds["error"]}
        counts["skipped"] = kinds["skipped"]
        attributes = {key: f"{count}" for key, count in counts.items()}
        suite = ElementTree.SubElement(root, "testsuite", {"name": for_xml(name)} | attributes)
        for classname, title, kind, why in cases:
            names = {"classname": for_xml(classname), "name": for_xml(title)}
            case = ElementTree.SubElement(suite, "testcase", names)
            if kind:
                ElementTree.SubElement(case, kind, message=for_xml(why))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)

"""Verdicts as JUnit XML: one test suite per benchmark, one test case per number."""

from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree

from reports.gate import page
from reports.gate.verdicts import NOT_COMPARED, Comparison
from reports.records.reading import for_xml
from reports.tables.numbers import steps_text


def junit(found: Sequence[Comparison], failing: Sequence[Comparison]) -> bytes:
    """All comparisons as test cases; those in `failing` are failures."""
    failed = {id(c) for c in failing}
    root = ElementTree.Element("testsuites", name="regression gate")
    ordered = sorted(found, key=lambda c: c.record.benchmark)
    for benchmark, group in groupby(ordered, key=lambda c: c.record.benchmark):
        cases = list(group)
        failures = sum(id(c) in failed for c in cases)
        skipped = sum(c.verdict == NOT_COMPARED for c in cases)
        suite = _suite(root, benchmark, len(cases), failures=failures, skipped=skipped)
        for comparison in cases:
            _case(suite, comparison, id(comparison) in failed)
    return _xml(root)


def junit_of_refusal(reason: str) -> bytes:
    """A comparison that could not be made: one test case, an error with the reason."""
    root = ElementTree.Element("testsuites", name="regression gate")
    suite = _suite(root, "regression gate", 1, errors=1)
    # The name of a test is what should hold.
    names = {"classname": "reports.compare", "name": "the runs can be compared"}
    case = ElementTree.SubElement(suite, "testcase", names)
    ElementTree.SubElement(case, "error", message=for_xml(reason))
    return _xml(root)


def _suite(
    root: ElementTree.Element,
    name: str,
    tests: int,
    failures: int = 0,
    errors: int = 0,
    skipped: int = 0,
) -> ElementTree.Element:
    counts = {"tests": tests, "failures": failures, "errors": errors, "skipped": skipped}
    attributes = {"name": for_xml(name)} | {kind: str(count) for kind, count in counts.items()}
    return ElementTree.SubElement(root, "testsuite", attributes)


def _xml(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _case(suite: ElementTree.Element, c: Comparison, failed: bool) -> None:
    r = c.record
    title = ", ".join(part for part in (r.setting, steps_text(r), r.metric) if part)
    names = {"classname": for_xml(f"{r.benchmark}.{r.system}"), "name": for_xml(title)}
    case = ElementTree.SubElement(suite, "testcase", names)
    base, new, change = page.change(c)
    message = f"{c.verdict}: {base} -> {new or 'no value'} ({change}), margin {c.margin:.2g}, p {c.p:.2g} {c.note}"
    if failed:
        ElementTree.SubElement(case, "failure", message=for_xml(message.strip()))
    elif c.verdict == NOT_COMPARED:
        ElementTree.SubElement(case, "skipped", message=for_xml(c.note))

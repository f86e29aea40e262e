"""What to cite of a run, and how it was measured in words: `reports.make --cite`.

The works are those of `published/citations.bib`. The lines above each say for which metrics, networks, systems,
solvers and data sets it is cited.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

from reports.records.metrics import published_name
from reports.records.reading import flat, grouped, joined, part_of, short
from reports.records.record import Record
from reports.tables.build import Merged
from reports.tables.latex import escape
from reports.tables.make_files import heading
from reports.tables.markdown import facts
from reports.tables.numbers import metric_label
from reports.tables.ranking import is_measured

HARNESS = "diffae_bench"
START = "% diffae-bench: what to cite\n\n"  # by this a file is known for one of ours
PIXELS = {"side in px": "transform.image_size", "crop": "transform.crop"}
Source = tuple[str, str]  # a kind (metric, network, system, solver, dataset) and a name


class CitedWork(NamedTuple):
    """An entry of BibTeX: its key, its text, and what it is cited for."""

    key: str
    text: str
    cited_for: frozenset[Source]


@cache
def works() -> tuple[CitedWork, ...]:
    """Every work of the file, in its order."""
    path, entries = resources.files("reports").joinpath("published", "citations.bib"), []
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        if entry := re.search(r"^@\w+\{(\w+),.*", block, re.M | re.S):
            lines = re.findall(r"^% (\w+): (.+)$", block, re.M)
            things = frozenset((kind, name) for kind, text in lines for name in text.split())
            entries.append(CitedWork(entry[1], entry[0].strip(), things))
    return tuple(entries)


def keys_of(source: Source) -> list[str]:
    """The keys of the works that are cited for a source. A metric of another network has those of its
    original, a data set those of the longest name that its own begins with.
    """
    kind, name = source
    if kind == "dataset":
        names = {n for work in works() for k, n in work.cited_for if k == kind}
        begins = [n for n in names if re.match(rf"{re.escape(n)}(?![a-z])", name.lower())]
        name = max(begins, key=len, default=name)
    for candidate in (name, published_name(name)):
        if keys := [work.key for work in works() if (kind, candidate) in work.cited_for]:
            return keys
    return []


def appendix(merged: Merged) -> tuple[str, list[str]]:
    """BibTeX of all that runs used, then a paragraph in LaTeX that says how they were measured; and
    a remark on each source for which no work is known.
    """
    records = [r for r in merged.records if is_measured(r)]
    used = dict.fromkeys(_used(merged, records))
    keys = {HARNESS, *(key for source in used for key in keys_of(source))}
    entries = [work.text for work in works() if work.key in keys]
    text = "\n\n".join([*entries, "\n".join(_paragraph(merged, records, [*used]))])
    unknown = [f"{kind} {short(name)}" for kind, name in used if not keys_of((kind, name))]
    return f"{START}{text}\n", [f"{name}: no work is known here; cite its own" for name in unknown]


def _used(merged: Merged, records: Iterable[Record]) -> Iterator[Source]:
    """All that has a number."""
    for name, title in _titles(merged).items():
        if any(r.system.startswith(title) for r in records):
            yield "system", name.partition(":")[0]
    for r in records:
        metric = merged.metrics.get(r.metric)
        names = {"dataset": r.dataset, "metric": r.metric, "solver": r.solver.partition(":")[0]}
        names |= {"network": metric.network if metric else ""}
        yield from ((kind, name) for kind, name in names.items() if name)


def _titles(merged: Merged) -> dict[str, str]:
    """The titles of the systems of all runs, by name; empty where a run does not say them."""
    titles: dict[str, str] = {}
    for run in merged.sources:
        names = run.settings.get("systems")
        titles |= dict.fromkeys(map(str, names if isinstance(names, list) else ()), "")
        titles |= {name: str(title) for name, title in part_of(run.notes, "titles").items()}
    return titles


def _paragraph(merged: Merged, records: Sequence[Record], used: list[Source]) -> Iterator[str]:
    """Its sentences, a line each."""
    fields: dict[str, dict[str, None]] = {}  # the values of each field of a protocol
    for protocol in (merged.protocols.get(r.protocol, {}) for r in records):
        for name, value in flat(protocol):
            fields.setdefault(name, {})[str(value)] = None
    data, run = facts(records), heading(merged)[1]

    def named(kind: str) -> list[Source]:
        return [source for source in used if source[0] == kind]

    run |= {"suite": merged.suite} if merged.suite else {}
    settings = joined(
        *(f"{name} {run[name]}" for name in ("suite", "profile", "seed") if name in run)
    )
    yield rf"\paragraph{{Evaluation.}} All numbers were measured with diffae-bench~\cite{{{HARNESS}}} ({escape(settings)})."
    pixels = (f"{label} {joined(*fields[f])}" for label, f in PIXELS.items() if f in fields)
    where = joined(f"Data: {data.get('data set')}", *pixels, f"split {data.get('split', 'none')}")
    yield _cited(where.replace("; ", ", "), named("dataset")) + "."
    titles = _titles(merged)
    systems = (_cited(titles.get(name) or name, [(kind, name)]) for kind, name in named("system"))
    yield f"Systems: {joined(*systems)}."
    for benchmark, numbers in grouped(records, lambda r: r.benchmark).items():
        shared = facts([r for r in numbers if not r.reference] or numbers)
        at = joined(
            *(f"{name} = {shared[name]}" for name in ("n", "T", "solver") if name in shared)
        )
        metrics = {
            r.metric: _cited(metric_label(r.metric, merged.metrics), [("metric", r.metric)])
            for r in numbers
        }
        yield rf"\emph{{{escape(benchmark)}}} ({escape(at.replace('; ', ', '))}): {joined(*metrics.values())}."
    if networks := [
        text for name, texts in fields.items() if name.endswith("_network") for text in texts
    ]:
        yield _cited(f"Networks: {joined(*networks, by='; ')}", named("network")) + "."
    influences = (x for r in records for x in r.estimate.influences)
    units = dict.fromkeys(re.split("[:,]| of | with ", x.units)[0] for x in influences)
    yield escape(
        f"Errors (±) are one standard error over independent units ({joined(*units) or 'not known'}), intervals are of "
        "95 % by Student's t, and two systems are compared in pairs over the units that both share."
    )


def _cited(text: str, sources: Iterable[Source]) -> str:
    """A text with citations of works other than the harness, which is cited once."""
    keys = dict.fromkeys(key for source in sources for key in keys_of(source) if key != HARNESS)
    return escape(text) + (rf"~\cite{{{','.join(keys)}}}" if keys else "")

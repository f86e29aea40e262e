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
from reports.records.reading import Fields, flat, grouped, listed, part_of, short
from reports.records.record import Record
from reports.tables.build import Merged
from reports.tables.latex import escape
from reports.tables.make_files import heading
from reports.tables.markdown import facts
from reports.tables.numbers import metric_label
from reports.tables.ranking import is_measured

HARNESS = "diffae_bench"
START = "% diffae-bench: what to cite\n\n"  # by this a file is known for one of ours
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


def appendix(merged: Merged, shown: Iterable[Record]) -> tuple[str, list[str]]:
    """BibTeX of all that the numbers of `shown` used, then a paragraph in LaTeX that says how they were
    measured; and a remark on each source for which no work is known.
    """
    records = [r for r in shown if is_measured(r)]
    used = list(dict.fromkeys(_used(merged, records)))
    keys = {HARNESS, *(key for source in used for key in keys_of(source))}
    entries = [work.text for work in works() if work.key in keys]
    text = "\n\n".join([*entries, "\n".join(_paragraph(merged, records, used))])
    unknown = [f"{kind} {short(name)}" for kind, name in used if not keys_of((kind, name))]
    return f"{START}{text}\n", [f"{name}: no work is known here; cite its own" for name in unknown]


def _used(merged: Merged, records: Iterable[Record]) -> Iterator[Source]:
    """All that has a number."""
    titles = _titles(merged)
    shown = {r.system for r in records}
    fitting = ([t for t in titles.values() if system.startswith(t)] for system in shown)
    longest = {max(fits, key=len) for fits in fitting if fits}
    yield from (("system", n.partition(":")[0]) for n, title in titles.items() if title in longest)
    for r in records:
        metric = merged.metrics.get(r.metric)
        names = {"dataset": r.dataset, "metric": r.metric, "solver": r.solver.partition(":")[0]}
        names |= {"network": metric.network if metric else ""}
        yield from ((kind, name) for kind, name in names.items() if name)


def _titles(merged: Merged) -> dict[str, str]:
    """The titles of the systems of all runs, by name; empty where a run does not say them."""
    titles: dict[str, str] = {}
    for run in merged.sources:
        names, titled = run.settings.get("systems"), part_of(run.notes, "titles")
        untitled = map(str, names if isinstance(names, list) and not titled else ())
        titles |= dict.fromkeys(untitled, "") | {name: str(t) for name, t in titled.items()}
    return titles


def _paragraph(merged: Merged, records: Sequence[Record], used: list[Source]) -> Iterator[str]:
    """Its sentences, a line each."""
    run = heading(merged)[1] | ({"suite": merged.suite} if merged.suite else {})
    settings = [f"{name} {run[name]}" for name in ("suite", "profile", "seed") if name in run]
    about = f" ({escape(', '.join(settings))})" if settings else ""
    yield rf"\paragraph{{Evaluation.}} We measured all numbers with diffae-bench~\cite{{{HARNESS}}}{about}."
    protocols = [merged.protocols.get(r.protocol, {}) for r in records]
    yield from _of_data(records, protocols)
    titles = _titles(merged)
    systems = [_cited(titles.get(n) or n, [(k, n)]) for k, n in used if k == "system"]
    if systems:
        yield f"The {_number('system is', 'systems are', systems)} {listed(systems)}."
    for benchmark, numbers in grouped(records, lambda r: r.benchmark).items():
        yield _of_benchmark(benchmark, numbers, merged)
    metrics = merged.metrics
    networks = [
        text
        for r, protocol in zip(records, protocols, strict=True)
        if r.metric in metrics and metrics[r.metric].network
        for name, text in flat(protocol)
        if name.endswith("_network")
    ]
    if networks := list(dict.fromkeys(map(str, networks))):
        sources = [source for source in used if source[0] == "network"]
        verb = _number("through one network, which is", "through these networks:", networks)
        yield f"Some of these metrics look {verb} {_cited('; '.join(networks), sources)}."
    yield from _of_errors(records)


def _of_data(records: Sequence[Record], protocols: Sequence[Fields]) -> Iterator[str]:
    """Where the images are from, and how they were cut."""
    names = list(dict.fromkeys(r.dataset for r in records if r.dataset))
    if not names:
        return
    sets = [_cited(name, [("dataset", name)]) for name in names]
    splits = list(dict.fromkeys(r.split for r in records if r.split))
    sides, crops = (_values(protocols, f"transform.{name}") for name in ("image_size", "crop"))
    parts = [f"{', '.join(sides)} pixels a side"] if sides else []
    parts += [f"the crop {' or '.join(crops)}"] if crops else []
    parts += [f"the {_number('split', 'splits', splits)} {listed(splits)}"] if splits else []
    about = f", with {escape(listed(parts))}" if parts else ""
    yield f"The images are those of {listed(sets)}{about}."


def _values(protocols: Sequence[Fields], name: str) -> list[str]:
    """The values of a field of protocols, each once."""
    values = (str(dict(flat(protocol)).get(name, "")) for protocol in protocols)
    return [value for value in dict.fromkeys(values) if value]


def _of_benchmark(benchmark: str, numbers: Sequence[Record], merged: Merged) -> str:
    """Its metrics, and the n, T and solvers of its systems."""
    shared = facts([r for r in numbers if not r.reference] or numbers)
    given = {"n": "n = {}", "T": "T = {}", "solver": "solver {}"}
    at = [text.format(shared[name]) for name, text in given.items() if name in shared]
    about = f" ({escape(', '.join(at).replace(';', ','))})" if at else ""
    labels = {r.metric: metric_label(r.metric, merged.metrics) for r in numbers}
    metrics = [_cited(label, [("metric", name)]) for name, label in labels.items()]
    return rf"The benchmark \emph{{{escape(benchmark)}}} reports {listed(metrics)}{about}."


def _of_errors(records: Iterable[Record]) -> Iterator[str]:
    """Over which units the errors are, if there are any."""
    with_error = [r for r in records if r.stderr is not None]
    if not with_error:
        return
    influences = (x for r in with_error for x in r.estimate.influences)
    units = list(dict.fromkeys(re.split("[:,]| of | with ", x.units)[0] for x in influences))
    over = f" ({listed(units)})" if units else ""
    yield escape(f"The error after ± is one standard error over independent units{over}.")
    yield escape(
        "Intervals cover 95 % by Student's t, and two systems are compared in pairs over the units that both share."
    )


def _number(singular: str, plural: str, words: Sequence[str]) -> str:
    return singular if len(words) == 1 else plural


def _cited(text: str, sources: Iterable[Source]) -> str:
    """A text with citations of works other than the harness, which is cited once."""
    keys = dict.fromkeys(key for source in sources for key in keys_of(source) if key != HARNESS)
    return escape(text) + (rf"~\cite{{{','.join(keys)}}}" if keys else "")

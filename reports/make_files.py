"""The files of `reports.make`: every table in every format, from run folders."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from reports import latex
from reports.layout import Table
from reports.reading import Refused
from reports.sources import Source, known
from reports.tables import all_tables, write_table

TABLES, LATEX, DOCUMENT = "tables", "latex", "tables.tex"
LONGEST_RUN = 120  # seconds of pdflatex
AGAIN = 2  # times that it runs, until the page knows its labels


def write_files(folder: Path, sources: Sequence[Source], pdf: bool = False) -> int:
    """Write everything into `folder` and return the number of tables. Raises Refused where no table can be made."""
    (source,) = sources
    tables = all_tables(source.records, source.times, source.specs, known(source), source.folder)
    title, context = heading(source)
    (folder / TABLES).mkdir()
    for table in tables:
        write_table(table, folder / TABLES, title, context)
    write_latex(folder / LATEX, tables, title, context)
    if pdf:
        compile_latex(folder / LATEX)
    return len(tables)


def heading(source: Source) -> tuple[str, dict[str, str]]:
    """What stands above the tables, and the facts below them."""
    datasets = ", ".join(dict.fromkeys(r.dataset for r in source.records if r.dataset))
    seed = source.settings.get("seed")
    found = {
        "run": str(source.folder),
        "profile": source.profile,
        "seed": "" if seed is None else str(seed),
    }
    title = f"{datasets}, profile {source.profile}" if source.profile else datasets
    return title, {name: text for name, text in found.items() if text}


def write_latex(
    folder: Path, tables: Sequence[Table], title: str, context: Mapping[str, str]
) -> None:
    """One file a table, and the document of all. The overview is none: it repeats what other tables say."""
    folder.mkdir()
    names = []
    for table in tables:
        if table.name == "overview":
            continue
        names.append(f"{table.name}.tex")
        if names[-1] == DOCUMENT:
            raise Refused(f"a table {table.name!r} would be written over {DOCUMENT}")
        (folder / names[-1]).write_text(latex.render(table, title, context), encoding="utf-8")
    (folder / DOCUMENT).write_text(latex.document(names, title), encoding="utf-8")


def compile_latex(folder: Path) -> None:
    """Make tables.pdf of tables.tex. Raises Refused without pdflatex, and if it fails."""
    program = shutil.which("pdflatex")
    if program is None:
        raise Refused("--pdf: no pdflatex here; install LaTeX (docs/reports.md) or leave --pdf out")
    with tempfile.TemporaryDirectory() as work:
        command = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"]
        command += [f"-output-directory={work}", DOCUMENT]
        for _ in range(AGAIN):
            done = subprocess.run(
                command,
                cwd=folder,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=LONGEST_RUN,
            )
            if done.returncode:
                raise Refused(f"--pdf: pdflatex failed: {_reason(done.stdout)}")
        shutil.copy(Path(work) / "tables.pdf", folder / "tables.pdf")


def _reason(log: bytes) -> str:
    """The first error of a log, which LaTeX marks by an exclamation mark."""
    lines = log.decode(errors="replace").splitlines()
    return next((line for line in lines if line.startswith("!")), "see its log")

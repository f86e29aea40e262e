"""The tables of `reports.make` in every format, from run folders."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diffae.system.errors import UserError
from diffae.system.whole import copy_whole, write_whole
from reports.records.reading import joined, part_of, short
from reports.records.run_folder import Run
from reports.tables import latex
from reports.tables.build import Merged, write_tables
from reports.tables.differences import NAME, table_of_differences
from reports.tables.layout import Table

TABLES, LATEX, DOCUMENT = "tables", "latex", "tables.tex"
LONGEST_RUN = 120  # seconds of pdflatex
AGAIN = 2  # runs, the second to resolve the labels


def write_files(folder: Path, merged: Merged, pdf: bool = False) -> int:
    """Write the tables into `folder`, as CSV, Markdown and LaTeX, and return their number.

    Raises UserError if no table can be made.
    """
    tables = list(merged.tables)
    if NAME in (table.name for table in tables):
        taken = f"a benchmark has a table {NAME!r}, which is the name of one of this command's"
        raise UserError(f"{merged.where}: {taken}")
    if found := table_of_differences(merged):
        tables.append(found)
    title, context = heading(merged)
    write_tables(tables, folder / TABLES, title, context)
    write_latex(folder / LATEX, tables, title, context)
    if pdf:
        compile_latex(folder / LATEX)
    return len(tables)


def heading(merged: Merged) -> tuple[str, dict[str, str]]:
    """The text above the tables, and the facts below them."""
    datasets = ", ".join(dict.fromkeys(r.dataset for r in merged.records if r.dataset))
    profiles = each(merged, profile_of)
    found = {
        "run": each(merged, lambda source: str(source.folder)),
        "profile": profiles,
        "seed": each(merged, lambda source: str(source.settings.get("seed", ""))),
        "not alike": "; ".join(merged.remarks),
    }
    title = f"{datasets}, profile {profiles}" if profiles else datasets
    return title, {name: text for name, text in found.items() if text}


def profile_of(run: Run) -> str:
    """The profile's name and its changes; empty if run.json does not say."""
    profile = part_of(run.settings, "profile")
    limit, changed = profile.get("limit"), profile.get("changed")
    limited = "" if limit is None else f"counts limited to {limit}"
    what = ", ".join(map(str, changed)) if isinstance(changed, list) else ""
    return short(joined(str(profile.get("name", "")), limited, what and f"changed: {what}"), 200)


def each(merged: Merged, what: Callable[[Run], str]) -> str:
    """A value that all runs share, or the value of each: `A: 0, 1; B: 0`."""
    texts = [list(dict.fromkeys(map(what, run_group.sources))) for run_group in merged.run_groups]
    if all(text == texts[0] for text in texts):
        return ", ".join(texts[0])
    pairs = zip(merged.run_groups, texts, strict=True)
    return "; ".join(f"{group.name}: {', '.join(text)}" for group, text in pairs if any(text))


def write_latex(folder: Path, tables: list[Table], title: str, context: Mapping[str, str]) -> None:
    """Write one file per table, and the document of all.

    The overview is left out: it repeats other tables.
    """
    folder.mkdir()
    names = []
    for table in tables:
        if table.name == "overview":
            continue
        names.append(f"{table.name}.tex")
        if names[-1] == DOCUMENT:
            raise UserError(f"a table {table.name!r} would be written over {DOCUMENT}")
        write_whole(folder / names[-1], latex.render(table, title, context).encode())
    write_whole(folder / DOCUMENT, latex.document(names, title).encode())


def compile_latex(folder: Path) -> None:
    """Compile tables.tex to tables.pdf. Raises UserError without pdflatex, or if it fails."""
    program = shutil.which("pdflatex")
    if program is None:
        how = "install LaTeX (`diffae-bench docs reports`) or leave --pdf out"
        raise UserError(f"--pdf: no pdflatex here; {how}")
    with tempfile.TemporaryDirectory() as work:
        command = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"]
        command += [f"-output-directory={work}", DOCUMENT]
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True}
        for _ in range(AGAIN):
            done = subprocess.run(command, cwd=folder, timeout=LONGEST_RUN, **pipes)
            if done.returncode:  # LaTeX marks errors in its log with an exclamation mark
                lines = done.stdout.decode(errors="replace").splitlines()
                reason = next((line for line in lines if line.startswith("!")), "see its log")
                raise UserError(f"--pdf: pdflatex failed: {reason}")
        copy_whole(Path(work) / "tables.pdf", folder / "tables.pdf")

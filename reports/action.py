"""The gate of a pull request: measure, compare with the baseline, and report the result.

    python -P -m reports.action           what action.yml calls; all settings come from the environment

    GATE_ARGUMENTS   of `diffae-bench run`, e.g. "all --profile quick"
    GATE_RUN         a finished run folder: nothing is measured
    GATE_BASELINE    a run folder in the repository, or "artifact": that of the last run of GATE_BRANCH
    GATE_FOUND       with "artifact": success (it is in GATE_DOWNLOADED), skipped (there is none yet) or failure
    GATE_COMPARE     further flags of `diffae-bench compare`
    GATE_NAME        distinguishes several gates of a pull request
    GATE_COMMENT     always, on-failure or never
    GATE_ACCEPT      true: on GATE_BRANCH, a run becomes the baseline even if it is worse
    GATE_PULL        number of the pull request, GATE_COMMIT what was measured, GATE_LINK the page of the job

and from what GitHub sets: GITHUB_REF, GITHUB_STEP_SUMMARY, GITHUB_OUTPUT, RUNNER_TEMP.

The result is written to the job's summary and to the step's outputs; one of them, `comment`, is a
file with the text of the pull request's comment. action.yml does the rest.

Exit status: that of `reports.compare` (0 passed, 1 worse, 2 not compared, 3 the gate failed), or
that of a benchmark that failed. If there is no artifact yet, there is nothing to compare with: 0.
"""

import json
import os
import re
import secrets
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffae.system.cli import run as run_command
from diffae.system.errors import UserError
from diffae.system.files import Target, read_json, read_text, refuse_outputs
from diffae.system.whole import append, write_whole
from reports import compare
from reports.gate import page as gate_page
from reports.records.reading import short
from reports.tables.markdown import escape

ARTIFACT = "artifact"
COMMENTS = ("always", "on-failure", "never")
LONGEST_COMMENT = 60_000  # characters; GitHub takes 65,536
REFUSED = 2

Environ = Mapping[str, str]
Outcome = tuple[int, dict[str, Any], str]  # exit status, verdict as compare's JSON has it, page


@dataclass(frozen=True)
class Inputs:
    """The inputs of the workflow, checked."""

    arguments: tuple[str, ...]
    compare: tuple[str, ...]
    run: str
    baseline: str
    branch: str
    name: str
    comment: str
    accept: bool


def main(environ: Environ = os.environ) -> int:
    """Run the gate and return the exit status."""
    outputs = {"report": "", "baseline": "", "comment": ""}
    inputs = out = None
    try:
        inputs = read_inputs(environ)
        out = _folder(environ, inputs)
        status, verdict, page = _gate(environ, inputs, out)
    except UserError as reason:
        status, verdict, page = _refused(environ, str(reason))
    if inputs and out:
        outputs["report"] = str(out)
        if _becomes_the_baseline(environ, inputs, status, verdict):
            outputs["baseline"] = inputs.run or str(out / "run")
        if environ.get("GATE_PULL") and inputs.comment != "never":
            write_whole(out / "comment.md", _comment(environ, inputs.name, page).encode())
            outputs["comment"] = str(out / "comment.md")
    passed, regressed = json.dumps(bool(verdict["passed"])), str(verdict["regressed"])
    for name, value in ({"passed": passed, "regressed": regressed} | outputs).items():
        end = f"end-{secrets.token_hex(8)}"  # so that no value is read as another output
        _append(environ, "GITHUB_OUTPUT", f"{name}<<{end}\n{value}\n{end}\n")
    return status


def read_inputs(environ: Environ) -> Inputs:
    """Read the inputs from the environment. Raises UserError naming the input that is wrong."""

    def get(name: str, instead: str = "", pattern: str = ".*", allowed: str = "") -> str:
        value = environ.get(name) or instead
        if not re.fullmatch(pattern, value, re.DOTALL):
            what = name.removeprefix("GATE_").lower()
            raise UserError(f"{what} is {short(repr(value), 80)}; give {allowed}")
        return value

    names = r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", "up to 60 letters, digits, '.', '_' and '-'"
    return Inputs(
        arguments=_words("GATE_ARGUMENTS", get("GATE_ARGUMENTS", "all")),
        compare=_words("GATE_COMPARE", get("GATE_COMPARE")),
        run=get("GATE_RUN"),
        baseline=get("GATE_BASELINE", ARTIFACT),
        branch=get("GATE_BRANCH", "main"),
        name=get("GATE_NAME", "gate", *names),
        comment=get("GATE_COMMENT", COMMENTS[0], "|".join(COMMENTS), ", ".join(COMMENTS)),
        accept=get("GATE_ACCEPT", "false", "true|false", "true or false") == "true",
    )


def _words(name: str, text: str) -> tuple[str, ...]:
    """Split an input into the words of a command line, quoted as in a shell; no shell is run."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UserError(f"{name} is not a command line ({error}): {short(text)}") from None


def _folder(environ: Environ, inputs: Inputs) -> Path:
    """An empty folder for the files of this gate.

    Raises UserError if another gate of the job has the same name, or if the folder would lie inside
    one that is compared.
    """
    out = Path(environ.get("RUNNER_TEMP") or tempfile.mkdtemp()) / "diffae-gate" / inputs.name
    base = inputs.baseline if inputs.baseline != ARTIFACT else None
    refuse_outputs([Target("RUNNER_TEMP", out, Path.is_dir)], (inputs.run or None, base))
    try:
        out.mkdir(parents=True)
    except FileExistsError:
        twice = f"two gates of this job are called {inputs.name!r}"
        raise UserError(f"{twice}; give each its own name") from None
    return out


# ----------------------------------------------------------------------------------------------
# Measuring and comparing


def _gate(environ: Environ, inputs: Inputs, out: Path) -> Outcome:
    """Measure if needed, and compare. Raises UserError if there is nothing to compare with."""
    measured, run = _measure(environ, inputs, out), Path(inputs.run or out / "run")
    notes = run / "run.json"
    if not notes.exists() or read_json(notes).get("complete") is not True:
        reason = f"the benchmark did not finish (status {measured}); its log is above"
        return _refused(environ, reason, measured or REFUSED)
    base = _baseline(environ, inputs)
    compared = _first(environ, inputs) if base is None else _compared(inputs, base, run, out)
    status, verdict, page = compared
    if not measured or status:
        return compared
    text = f"Nothing is worse, but the benchmark ended with status {measured}: its log says what could not be measured"
    _annotate("error", text)
    return measured, verdict | {"passed": False}, f"{page.rstrip()}\n\n**{text}.**\n"


def _measure(environ: Environ, inputs: Inputs, out: Path) -> int:
    """Run the benchmark and return its exit status.

    Its output goes to the log, with GitHub's workflow commands disabled.
    """
    if inputs.run:
        return 0
    command = [sys.executable, "-P", "-m", "benchmarks.console", "run"]
    command += [*inputs.arguments, "--out", str(out / "run")]
    resume = secrets.token_hex(16)
    shown = gate_page.of_command(shlex.join(["diffae-bench", "run", *inputs.arguments]))
    print(f"::group::{shown}\n::stop-commands::{resume}", flush=True)
    status = subprocess.run(command, env=dict(environ), stderr=subprocess.STDOUT).returncode
    print(f"::{resume}::\n::endgroup::", flush=True)
    return status if status >= 0 else 128 - status


def _baseline(environ: Environ, inputs: Inputs) -> Path | None:
    """The folder to compare with; None if the branch has no artifact yet. Raises UserError."""
    if inputs.baseline != ARTIFACT:
        if not (Path(inputs.baseline) / "records.csv").is_file():
            what = "commit records.csv, run.json, influences.npz of a run there"
            raise UserError(f"baseline {short(inputs.baseline)}: no such run folder; {what}")
        return Path(inputs.baseline)
    if environ.get("GATE_FOUND") == "skipped":
        return None
    if environ.get("GATE_FOUND") != "success":
        raise UserError(
            f"the baseline of {short(inputs.branch)} cannot be read: the log of the steps above says why; "
            "the job needs `permissions: actions: read`"
        )
    return Path(environ.get("GATE_DOWNLOADED", ""))


def _compared(inputs: Inputs, base: Path, run: Path, out: Path) -> Outcome:
    files = {kind: out / f"gate.{kind}" for kind in ("xml", "md", "json")}
    flags = ["--junit", str(files["xml"]), "--page", str(files["md"]), "--json", str(files["json"])]
    theirs = f"the last run of {inputs.branch}" if inputs.baseline == ARTIFACT else inputs.baseline
    flags += ["--names", theirs, "this run"]  # the runner's folder names mean nothing to a reader
    try:
        status = compare.main([*flags, *inputs.compare, "--", str(base), str(run)])
    except SystemExit:
        raise UserError("GATE_COMPARE contains --help; remove it") from None
    except UserError:
        if not files["json"].exists():  # a flag is wrong
            raise
        status = REFUSED
    verdict = read_json(files["json"])
    if verdict["refused"]:
        _annotate("error", str(verdict["refused"]))
    return status, verdict, read_text(files["md"])


def _becomes_the_baseline(
    environ: Environ, inputs: Inputs, status: int, verdict: Mapping[str, Any]
) -> bool:
    """Whether the run becomes the baseline: on its branch, if nothing is worse or GATE_ACCEPT is set."""
    if environ.get("GITHUB_REF") != f"refs/heads/{inputs.branch}" or environ.get("GATE_PULL"):
        return False
    return not verdict["refused"] and (not status or inputs.accept)


# ----------------------------------------------------------------------------------------------
# Reporting


def _first(environ: Environ, inputs: Inputs) -> Outcome:
    branch = short(inputs.branch)
    text = (
        f"There is no baseline to compare with, because {branch} has no artifact "
        f"diffae-bench-baseline-{inputs.name} yet: the first successful run on {branch} stores one"
    )
    _annotate("warning", text)
    page = f"# Regression gate: no baseline yet\n\n{escape(text)}.\n"
    _append(environ, "GITHUB_STEP_SUMMARY", page)
    return 0, {"passed": True, "regressed": 0, "refused": ""}, page


def _refused(environ: Environ, reason: str, status: int = REFUSED) -> Outcome:
    """Report a comparison that could not be made: an annotation, the summary, and the verdict."""
    line = " ".join(reason.split())
    _annotate("error", line)
    page = gate_page.refusal(line)
    _append(environ, "GITHUB_STEP_SUMMARY", page)
    return status, {"passed": False, "regressed": 0, "refused": line}, page


def _comment(environ: Environ, name: str, page: str) -> str:
    """The text of the comment: the page, cut before a table if it is too long, without mentions
    that notify users.
    """
    page = page.replace("@", "@\N{ZERO WIDTH SPACE}").replace("# Regression", "### Regression", 1)
    while len(page) > LONGEST_COMMENT and "<details>" in page:
        page = page[: page.rindex("<details>")].rstrip()
    if len(page) > LONGEST_COMMENT:
        page = page[: page.rindex("\n", 0, LONGEST_COMMENT)] + "\n\n..."
    commit, link = environ.get("GATE_COMMIT", "")[:12], environ.get("GATE_LINK")
    which = f"Gate `{name}`" + (f" at {commit}" if re.fullmatch("[0-9a-f]+", commit) else "")
    where = f"; [report, tables and pictures]({link}#artifacts)" if link else ""
    return f"<!-- diffae-bench: {name} -->\n{page.rstrip()}\n\n{which}{where}.\n"


def _annotate(level: str, text: str) -> None:
    print(f"::{level} title=Regression gate::{gate_page.of_command(text)}", flush=True)


def _append(environ: Environ, name: str, text: str) -> None:
    if path := environ.get(name):
        append(Path(path), text.encode(errors="backslashreplace"))


if __name__ == "__main__":
    run_command(main)

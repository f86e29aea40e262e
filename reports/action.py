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
from pathlib import Path
from typing import Any

from diffae.system.cli import Parser, prog
from diffae.system.cli import run as run_command
from diffae.system.errors import UserError
from diffae.system.files import Target, read_json, read_text, refuse_outputs
from diffae.system.whole import append, write_whole
from reports import compare
from reports.gate import page as gate_page
from reports.records.reading import short
from reports.records.run_folder import read_run
from reports.tables.markdown import escape

ARTIFACT = "artifact"
LONGEST_COMMENT = 60_000  # characters; GitHub takes 65,536
REFUSED = 2
DEFAULTS = {
    "ARGUMENTS": "all", "RUN": "", "BASELINE": ARTIFACT, "BRANCH": "main", "FOUND": "", "DOWNLOADED": "", "COMPARE": "",
    "NAME": "gate", "COMMENT": "always", "ACCEPT": "false", "PULL": "", "COMMIT": "", "LINK": "",
}  # fmt: skip
# Events whose GITHUB_REF is what was measured; others, such as workflow_run, have the default branch's.
OF_BRANCH = ("push", "schedule", "workflow_dispatch")
# What an input must match, and that in words.
ALLOWED = {
    "NAME": ("[A-Za-z0-9][A-Za-z0-9._-]{0,59}", "up to 60 letters, digits, '.', '_' and '-'"),
    "COMMENT": ("always|on-failure|never", "always, on-failure, never"),
    "ACCEPT": ("true|false", "true or false"),
}

Inputs = Mapping[str, str]
Outcome = tuple[int, dict[str, Any], str]  # exit status, verdict as compare's JSON has it, page


def main() -> int:
    """Run the gate and return the exit status."""
    outputs = {"report": "", "baseline": "", "comment": ""}
    inputs = out = None
    try:
        inputs = read_inputs()
        out = _folder(inputs)
        status, verdict, page = _gate(inputs, out)
    except UserError as reason:
        status, verdict, page = _refused(str(reason))
    if inputs and out:
        outputs["report"] = str(out)
        if _becomes_the_baseline(inputs, _run(inputs, out), status, verdict):
            outputs["baseline"] = str(_run(inputs, out))
        if inputs["PULL"] and inputs["COMMENT"] != "never":
            write_whole(out / "comment.md", _comment(inputs, page).encode())
            outputs["comment"] = str(out / "comment.md")
    passed, regressed = json.dumps(bool(verdict["passed"])), str(verdict["regressed"])
    for name, value in ({"passed": passed, "regressed": regressed} | outputs).items():
        end = f"end-{secrets.token_hex(8)}"  # so that no value is read as another output
        _append("GITHUB_OUTPUT", f"{name}<<{end}\n{value}\n{end}\n")
    return status


def read_inputs(environ: Mapping[str, str] = os.environ) -> Inputs:
    """The inputs of the workflow by their names without GATE_, checked.

    Raises UserError naming the one that is wrong.
    """
    inputs = {name: environ.get(f"GATE_{name}") or own for name, own in DEFAULTS.items()}
    for name, (pattern, allowed) in ALLOWED.items():
        if not re.fullmatch(pattern, inputs[name]):
            raise UserError(f"{name.lower()} is {short(repr(inputs[name]), 80)}; give {allowed}")
    for name in ("ARGUMENTS", "COMPARE"):  # words quoted as in a shell; no shell is run
        try:
            shlex.split(inputs[name])
        except ValueError as error:
            reason = f"GATE_{name} is not a command line ({error}): {short(inputs[name])}"
            raise UserError(reason) from None
    return inputs


def _folder(inputs: Inputs) -> Path:
    """An empty folder for the files of this gate.

    Raises UserError if another gate of the job has the same name, or if the folder would lie inside
    one that is compared.
    """
    out = Path(os.environ.get("RUNNER_TEMP") or tempfile.mkdtemp()) / "diffae-gate" / inputs["NAME"]
    base = inputs["BASELINE"] if inputs["BASELINE"] != ARTIFACT else None
    refuse_outputs([Target("RUNNER_TEMP", out, Path.is_dir)], (inputs["RUN"] or None, base))
    try:
        out.mkdir(parents=True)
    except FileExistsError:
        twice = f"two gates of this job are called {inputs['NAME']!r}"
        raise UserError(f"{twice}; give each its own name") from None
    return out


# ----------------------------------------------------------------------------------------------
# Measuring and comparing


def _gate(inputs: Inputs, out: Path) -> Outcome:
    """Measure if needed, and compare. Raises UserError if there is nothing to compare with."""
    measured, run = _measure(inputs, out), _run(inputs, out)
    notes = run / "run.json"
    if not notes.exists() or read_json(notes).get("complete") is not True:
        reason = f"the benchmark did not finish (status {measured}); its log is above"
        return _refused(reason, measured or REFUSED)
    base = _baseline(inputs)
    compared = _first(inputs) if base is None else _compared(inputs, base, run, out)
    status, verdict, page = compared
    if not measured or status:
        return compared
    text = f"Nothing is worse, but the benchmark ended with status {measured}: its log says what could not be measured"
    _annotate("error", text)
    return measured, verdict | {"passed": False}, f"{page.rstrip()}\n\n**{text}.**\n"


def _run(inputs: Inputs, out: Path) -> Path:
    return Path(inputs["RUN"] or out / "run")


def _measure(inputs: Inputs, out: Path) -> int:
    """Run the benchmark and return its exit status.

    Its output goes to the log, with GitHub's workflow commands disabled.
    """
    if inputs["RUN"]:
        return 0
    words = ["run", *shlex.split(inputs["ARGUMENTS"])]
    command = [sys.executable, "-P", "-m", "benchmarks.console", *words, "--out", str(out / "run")]
    resume = secrets.token_hex(16)
    shown = gate_page.of_command(shlex.join(["diffae-bench", *words]))
    print(f"::group::{shown}\n::stop-commands::{resume}", flush=True)
    status = subprocess.run(command, stderr=subprocess.STDOUT).returncode
    print(f"::{resume}::\n::endgroup::", flush=True)
    return status if status >= 0 else 128 - status


def _baseline(inputs: Inputs) -> Path | None:
    """The folder to compare with; None if the branch has no artifact yet. Raises UserError."""
    base, branch = inputs["BASELINE"], short(inputs["BRANCH"])
    if base != ARTIFACT:
        if not (Path(base) / "records.csv").is_file():
            what = "commit records.csv, run.json, influences.npz of a run there"
            raise UserError(f"baseline {short(base)}: no such run folder; {what}")
        return Path(base)
    if inputs["FOUND"] == "skipped":
        return None
    if inputs["FOUND"] != "success":
        raise UserError(
            f"the baseline of {branch} cannot be read: the log of the steps above says why; "
            "the job needs `permissions: actions: read`"
        )
    return Path(inputs["DOWNLOADED"])


def _compared(inputs: Inputs, base: Path, run: Path, out: Path) -> Outcome:
    files = {kind: out / f"gate.{kind}" for kind in ("xml", "md", "json")}
    flags = ["--junit", str(files["xml"]), "--page", str(files["md"]), "--json", str(files["json"])]
    theirs = inputs["BASELINE"]
    if theirs == ARTIFACT:
        theirs = f"the last run of {inputs['BRANCH']}"
    flags += ["--names", theirs, "this run"]  # the runner's folder names mean nothing to a reader
    try:
        status = compare.main([*flags, *shlex.split(inputs["COMPARE"]), "--", str(base), str(run)])
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
    inputs: Inputs, run: Path, status: int, verdict: Mapping[str, Any]
) -> bool:
    """Whether the run becomes the baseline: on its branch, if nothing is worse.

    With GATE_ACCEPT every finished run does, also one that cannot be compared with the last.
    """
    if os.environ.get("GITHUB_REF") != f"refs/heads/{inputs['BRANCH']}" or inputs["PULL"]:
        return False
    if os.environ.get("GITHUB_EVENT_NAME") not in OF_BRANCH:
        return False
    if inputs["ACCEPT"] != "true":
        return not verdict["refused"] and not status
    try:
        read_run(run)
    except UserError:
        return False
    return True


# ----------------------------------------------------------------------------------------------
# Reporting


def _first(inputs: Inputs) -> Outcome:
    branch = short(inputs["BRANCH"])
    text = (
        f"There is no baseline to compare with, because {branch} has no artifact "
        f"diffae-bench-baseline-{inputs['NAME']} yet: the first successful run on {branch} stores one"
    )
    page = f"# Regression gate: no baseline yet\n\n{escape(text)}.\n"
    return _not_compared("warning", text, page, 0)


def _refused(reason: str, status: int = REFUSED) -> Outcome:
    line = " ".join(reason.split())
    return _not_compared("error", line, gate_page.refusal(line), status)


def _not_compared(level: str, line: str, page: str, status: int) -> Outcome:
    """Report that nothing was compared: an annotation, the summary, and the verdict."""
    _annotate(level, line)
    _append("GITHUB_STEP_SUMMARY", page)
    return status, {"passed": not status, "regressed": 0, "refused": line if status else ""}, page


def _comment(inputs: Inputs, page: str) -> str:
    """The text of the comment: the page, cut before a table if it is too long, without mentions
    that notify users.
    """
    page = page.replace("@", "@\N{ZERO WIDTH SPACE}").replace("# Regression", "### Regression", 1)
    while len(page) > LONGEST_COMMENT and "<details>" in page:
        page = page[: page.rindex("<details>")].rstrip()
    if len(page) > LONGEST_COMMENT:
        page = page[: page.rindex("\n", 0, LONGEST_COMMENT)] + "\n\n..."
    commit, link = inputs["COMMIT"][:12], inputs["LINK"]
    which = f"Gate `{inputs['NAME']}`" + (
        f" at {commit}" if re.fullmatch("[0-9a-f]+", commit) else ""
    )
    where = f"; [report, tables and pictures]({link}#artifacts)" if link else ""
    return f"<!-- diffae-bench: {inputs['NAME']} -->\n{page.rstrip()}\n\n{which}{where}.\n"


def _annotate(level: str, text: str) -> None:
    print(f"::{level} title=Regression gate::{gate_page.of_command(text)}", flush=True)


def _append(name: str, text: str) -> None:
    if path := os.environ.get(name):
        append(Path(path), text.encode(errors="backslashreplace"))


def command() -> int:
    """`main` for a command line, which takes no arguments but --help."""
    Parser(prog("reports.action"), __doc__).parse()
    return main()


if __name__ == "__main__":
    run_command(command)

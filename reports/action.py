"""The gate of a pull request: measure, compare with the baseline, and report the result.

    python -P -m reports.action           what action.yml calls; all settings come from the environment

    GATE_ARGUMENTS   of `diffae-bench run`, e.g. "all --profile quick"
    GATE_RUN         a finished run folder: nothing is measured
    GATE_BASELINE    a run folder in the repository, or "artifact": that of the last run of GATE_BRANCH (default: the
                     repository's default branch)
    GATE_COMPARE     further flags of `diffae-bench compare`
    GATE_NAME        distinguishes several gates of a pull request
    GATE_COMMENT     always, on-failure or never
    GATE_ACCEPT      true: on GATE_BRANCH, a run becomes the baseline even if it is worse

and from what GitHub sets: GITHUB_REPOSITORY, _EVENT_PATH, _REF, _SHA, _TOKEN, _API_URL,
_STEP_SUMMARY, _OUTPUT, RUNNER_TEMP.

The result is written to the job's summary, to the step's outputs and to one comment on the pull
request.

Exit status: that of `reports.compare` (0 passed, 1 worse, 2 not compared, 3 the gate failed), or
that of a benchmark that failed. If there is no artifact yet, there is nothing to compare with: 0.
If the comment cannot be written (a pull request from a fork has a read-only token), the log says so
and the status does not change.
"""

import json
import os
import secrets
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffae.system.cli import run as run_command
from diffae.system.errors import UserError
from diffae.system.files import Target, read_text, refuse_outputs
from reports import compare
from reports.gate import page as gate_page
from reports.gate.artifact import BASELINE_FILES, copy_baseline, unpack
from reports.gate.github import RequestFailed, find_comment, keep_comment, newest_artifact
from reports.gate.job import ARTIFACT, Inputs, Job, read_inputs, read_job
from reports.records.reading import read_json, short
from reports.tables.markdown import escape

LONGEST_COMMENT = 60_000  # characters; GitHub takes 65,536
REFUSED = 2
NO_RIGHTS = (401, 403, 404)

Outcome = tuple[int, dict[str, Any], str]  # exit status, verdict as compare's JSON has it, page


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Run the gate and return the exit status."""
    try:
        job = read_job(environ)
        inputs = read_inputs(job)
        out = _folder(job, inputs)
    except UserError as reason:
        job = Job(environ)
        status, *_ = _refused(job, str(reason))
        job.set({"passed": "false", "regressed": "0", "report": "", "baseline": ""})
        return status
    try:
        outcome = _gate(job, inputs, out)
    except UserError as reason:
        outcome = _refused(job, str(reason))
    _report(job, inputs, out, outcome)
    return outcome[0]


def _gate(job: Job, inputs: Inputs, out: Path) -> Outcome:
    """Measure if needed, compare, and return the exit status.

    Raises UserError if there is nothing to compare with.
    """
    measured, run = _measure(job, inputs, out), Path(inputs.run or out / "run")
    notes = run / "run.json"
    if not notes.exists() or read_json(notes).get("complete") is not True:
        reason = f"the benchmark did not finish (status {measured}); its log is above"
        return _refused(job, reason, measured or REFUSED)
    base = _baseline(job, inputs, out)
    status, verdict, page = (
        _first(job, inputs) if base is None else _compared(job, inputs, base, run, out)
    )
    if not measured or status:
        return status, verdict, page
    text = f"Nothing is worse, but the benchmark ended with status {measured}: its log says what could not be measured"
    job.annotate("error", text)
    return measured, verdict | {"passed": False}, f"{page.rstrip()}\n\n**{text}.**\n"


def _compared(job: Job, inputs: Inputs, base: Path, run: Path, out: Path) -> Outcome:
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
        job.annotate("error", str(verdict["refused"]))
    return status, verdict, read_text(files["md"])


# ----------------------------------------------------------------------------------------------
# Measuring, and the baseline


def _folder(job: Job, inputs: Inputs) -> Path:
    """An empty folder for the files of this gate.

    Raises UserError if another gate of the job has the same name, or if the folder would lie inside
    one that is compared.
    """
    out = Path(job.get("RUNNER_TEMP") or tempfile.mkdtemp()) / "diffae-gate" / inputs.name
    base = inputs.baseline if inputs.baseline != ARTIFACT else None
    refuse_outputs([Target("RUNNER_TEMP", out, Path.is_dir)], (inputs.run or None, base))
    try:
        out.mkdir(parents=True)
    except FileExistsError:
        raise UserError(
            f"two gates of this job are called {inputs.name!r}; give each its own name"
        ) from None
    return out


def _measure(job: Job, inputs: Inputs, out: Path) -> int:
    """Run the benchmark and return its exit status.

    Its output goes to the log, with GitHub's workflow commands disabled.
    """
    if inputs.run:
        return 0
    command = [sys.executable, "-P", "-m", "benchmarks.console", "run"]
    command += [*inputs.arguments, "--out", str(out / "run")]
    resume = secrets.token_hex(16)
    print(
        f"::group::{gate_page.of_command(shlex.join(['diffae-bench', 'run', *inputs.arguments]))}"
    )
    print(f"::stop-commands::{resume}", flush=True)
    environ = {name: value for name, value in job.environ.items() if name != "GITHUB_TOKEN"}
    status = subprocess.run(command, env=environ, stderr=subprocess.STDOUT, check=False).returncode
    print(f"::{resume}::\n::endgroup::", flush=True)
    return status if status >= 0 else 128 - status


def _baseline(job: Job, inputs: Inputs, out: Path) -> Path | None:
    """The folder to compare with; None if the branch has no artifact yet. Raises UserError."""
    if inputs.baseline != ARTIFACT:
        if not (Path(inputs.baseline) / BASELINE_FILES[0]).is_file():
            what = f"commit {', '.join(BASELINE_FILES)} of a run there"
            raise UserError(f"baseline {short(inputs.baseline)}: no such run folder; {what}")
        return Path(inputs.baseline)
    api = job.api()
    try:
        found = newest_artifact(api, job.repository, inputs.artifact, inputs.branch)
        if found is None:
            return None
        content = api.download(f"/repos/{job.repository}/actions/artifacts/{found}/zip")
    except RequestFailed as error:
        rights = "; give the job `permissions: actions: read`" if error.status in NO_RIGHTS else ""
        where = f"the baseline of {short(inputs.branch)}"
        raise UserError(f"{where} cannot be read: {error}{rights}") from None
    return unpack(content, out / "baseline")


def _becomes_the_baseline(job: Job, inputs: Inputs, outcome: Outcome) -> bool:
    """Whether the run becomes the baseline: on its branch, if nothing is worse or GATE_ACCEPT is set."""
    status, verdict, _ = outcome
    return job.is_on(inputs.branch) and not verdict["refused"] and (not status or inputs.accept)


# ----------------------------------------------------------------------------------------------
# Reporting


def _first(job: Job, inputs: Inputs) -> Outcome:
    branch, artifact = short(inputs.branch), short(inputs.artifact)
    text = (
        f"There is no baseline to compare with, because {branch} has no artifact {artifact} yet: "
        f"the first successful run on {branch} stores one"
    )
    job.annotate("warning", text)
    page = f"# Regression gate: no baseline yet\n\n{escape(text)}.\n"
    job.summarise(page)
    return 0, {"passed": True, "regressed": 0, "refused": ""}, page


def _refused(job: Job, reason: str, status: int = REFUSED) -> Outcome:
    """Report a comparison that could not be made: an annotation, the summary, and the verdict."""
    line = " ".join(reason.split())
    job.annotate("error", line)
    page = gate_page.refusal(line)
    job.summarise(page)
    return status, {"passed": False, "regressed": 0, "refused": line}, page


def _report(job: Job, inputs: Inputs, out: Path, outcome: Outcome) -> None:
    """Write the outputs of the step, and the comment."""
    status, verdict, page = outcome
    kept = ""
    if _becomes_the_baseline(job, inputs, outcome):
        kept = str(copy_baseline(Path(inputs.run or out / "run"), out / "baseline-of-this"))
    passed, regressed = json.dumps(bool(verdict["passed"])), str(verdict["regressed"])
    job.set({"passed": passed, "regressed": regressed, "report": str(out), "baseline": kept})
    number = job.pull_request
    if number is not None and inputs.comment != "never":
        _comment(job, inputs, number, page, failed=status != 0)


def _comment(job: Job, inputs: Inputs, number: int, page: str, *, failed: bool) -> None:
    """Update the pull request's single comment; an error becomes a line in the log."""
    api, marker = job.api(), f"<!-- diffae-bench: {inputs.name} -->"
    try:
        if inputs.comment == "on-failure" and not failed:
            if find_comment(api, job.repository, number, marker) is None:
                return
        done = keep_comment(api, job.repository, number, marker, _body(job, inputs, marker, page))
        print(f"The comment on pull request {number} was {done}.", flush=True)
    except (RequestFailed, UserError) as error:
        why = str(error)
        if isinstance(error, RequestFailed) and error.status in NO_RIGHTS:
            why = f"the token may not write ({why}): a fork, or no `permissions: pull-requests: write`"
        job.annotate("notice", f"No comment: {why}. The job's summary has the verdict.")


def _body(job: Job, inputs: Inputs, marker: str, page: str) -> str:
    """The text of the comment: the page, cut before a table if it is too long, without mentions
    that notify users.
    """
    page = page.replace("@", "@\N{ZERO WIDTH SPACE}").replace("# Regression", "### Regression", 1)
    while len(page) > LONGEST_COMMENT and "<details>" in page:
        page = page[: page.rindex("<details>")].rstrip()
    if len(page) > LONGEST_COMMENT:
        page = page[: page.rindex("\n", 0, LONGEST_COMMENT)] + "\n\n..."
    which = f"Gate `{inputs.name}`" + (f" at {job.commit[:12]}" if job.commit else "")
    where = f"; [report, tables and pictures]({job.link}#artifacts)" if job.link else ""
    return f"{marker}\n{page.rstrip()}\n\n{which}{where}.\n"


if __name__ == "__main__":
    run_command(main)

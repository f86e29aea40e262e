"""The job that the gate runs in: its environment, the workflow's inputs, and the job's outputs."""

import re
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffae.system.errors import UserError
from diffae.system.whole import append
from reports.gate.github import Api
from reports.gate.page import of_command
from reports.records.reading import part_of, read_json, short

ARTIFACT = "artifact"
COMMENTS = ("always", "on-failure", "never")


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

    @property
    def artifact(self) -> str:
        return f"diffae-bench-baseline-{self.name}"


@dataclass(frozen=True)
class Job:
    """The job that the gate runs in. `event` is the payload of the event that started the workflow."""

    environ: Mapping[str, str]
    event: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str, instead: str = "") -> str:
        return self.environ.get(name) or instead

    @property
    def repository(self) -> str:
        """OWNER/NAME, checked so that it can be used in an address. Raises UserError."""
        found = self.get("GITHUB_REPOSITORY")
        if not re.fullmatch(r"[\w.-]{1,100}/[\w.-]{1,100}", found, re.ASCII):
            raise UserError(f"GITHUB_REPOSITORY is {short(repr(found), 60)}, not OWNER/NAME")
        return found

    @property
    def default_branch(self) -> str:
        found = part_of(self.event, "repository").get("default_branch")
        return found if isinstance(found, str) and found else "main"

    @property
    def pull_request(self) -> int | None:
        """The number of the pull request; None if a push or a schedule started the workflow."""
        number = part_of(self.event, "pull_request").get("number")
        return number if type(number) is int and number > 0 else None

    @property
    def commit(self) -> str:
        """The commit that was measured.

        Of a pull request its last commit, not GitHub's merge of it. Empty if unknown.
        """
        head = part_of(part_of(self.event, "pull_request"), "head").get("sha")
        found = str(head or self.get("GITHUB_SHA"))
        return found if re.fullmatch(r"[0-9a-f]{7,64}", found) else ""

    @property
    def link(self) -> str:
        """The address of the job and its artifacts; empty if unknown."""
        server, run = self.get("GITHUB_SERVER_URL", "https://github.com"), self.get("GITHUB_RUN_ID")
        return f"{server}/{self.repository}/actions/runs/{run}" if run.isdigit() else ""

    def is_on(self, branch: str) -> bool:
        return self.pull_request is None and self.get("GITHUB_REF") == f"refs/heads/{branch}"

    def api(self) -> Api:
        url = self.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
        return Api(url, self.get("GITHUB_TOKEN"))

    # ------------------------------------------------------------------------------------------
    # Output

    def annotate(self, level: str, text: str) -> None:
        """Print an annotation: `level` is error, warning or notice."""
        print(f"::{level} title=Regression gate::{of_command(text)}", flush=True)

    def summarise(self, page: str) -> None:
        self._append("GITHUB_STEP_SUMMARY", page)

    def set(self, outputs: Mapping[str, str]) -> None:
        """Set the outputs of the step; random delimiters keep a value from being read as another output."""
        for name, value in outputs.items():
            end = f"end-{secrets.token_hex(8)}"
            self._append("GITHUB_OUTPUT", f"{name}<<{end}\n{value}\n{end}\n")

    def _append(self, name: str, text: str) -> None:
        if path := self.get(name):
            append(Path(path), text.encode(errors="backslashreplace"))


def read_job(environ: Mapping[str, str]) -> Job:
    """Read the job from the environment. Raises UserError if the event's payload is invalid."""
    path = environ.get("GITHUB_EVENT_PATH")
    return Job(environ, read_json(Path(path)) if path else {})


def read_inputs(job: Job) -> Inputs:
    """Read the inputs from the environment. Raises UserError naming the input that is wrong."""
    comment, name = job.get("GATE_COMMENT", COMMENTS[0]), job.get("GATE_NAME", "gate")
    if comment not in COMMENTS:
        raise UserError(f"comment is {short(repr(comment), 40)}; give {', '.join(COMMENTS)}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", name):
        allowed = "up to 60 letters, digits, '.', '_' and '-'"
        raise UserError(f"name is {short(repr(name), 80)}; give {allowed}")
    accept = job.get("GATE_ACCEPT", "false")
    if accept not in ("true", "false"):
        raise UserError(f"accept is {short(repr(accept), 40)}; give true or false")
    return Inputs(
        arguments=_words(job, "GATE_ARGUMENTS", "all"),
        compare=_words(job, "GATE_COMPARE", ""),
        run=job.get("GATE_RUN"),
        baseline=job.get("GATE_BASELINE", ARTIFACT),
        branch=job.get("GATE_BRANCH", job.default_branch),
        name=name,
        comment=comment,
        accept=accept == "true",
    )


def _words(job: Job, name: str, instead: str) -> tuple[str, ...]:
    """Split an input into the words of a command line, quoted as in a shell; no shell is run."""
    text = job.get(name, instead)
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UserError(f"{name} is not a command line ({error}): {short(text)}") from None

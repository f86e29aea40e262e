"""The steps of action.yml that are scripts, run by bash as GitHub runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from runs import KEY, SSIM, gate_run

ROOT = Path(__file__).resolve().parents[2]
STEPS = {step.get("name"): step for step in yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]}  # fmt: skip


@pytest.fixture
def step(tmp_path):
    """Run a step's script with variables of its environment: the finished process, its outputs, the job's summary."""

    def run(name, **variables):
        for file in ("output", "summary"):
            (tmp_path / file).write_text("")
        programs = tmp_path / "bin"
        programs.mkdir(exist_ok=True)
        python = programs / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        own = {"GITHUB_OUTPUT": tmp_path / "output", "GITHUB_STEP_SUMMARY": tmp_path / "summary",
               "RUNNER_TEMP": tmp_path, "PYTHONPATH": ROOT, "PATH": f"{programs}:{os.environ['PATH']}"}  # fmt: skip
        environment = os.environ | {k: str(v) for k, v in (own | variables).items()}
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]]
        done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True)
        lines = (tmp_path / "output").read_text().splitlines()
        return done, dict(line.split("=", 1) for line in lines), (tmp_path / "summary").read_text()

    return run


def gate(folder, base, new, **more):
    """The variables of the step `Gate` for finished runs."""
    return {
        "ARGUMENTS": "all", "RUN": new, "MEASURE": "false", "BASELINE": base, "IS_FIRST": "false", "COMPARE": "",
        "OUT": folder / "out", "DIFFAE_CACHE": folder / "cache",
    } | more  # fmt: skip


def test_a_run_that_is_worse_fails_and_leaves_its_files(tmp_path, step):
    base = gate_run(tmp_path / "base", {KEY: SSIM})
    worse = gate_run(tmp_path / "worse", {KEY: SSIM - 0.1})
    done, outputs, summary = step("Gate", **gate(tmp_path, base, worse))
    assert done.returncode == 1, done.stderr
    assert summary.startswith("# Regression gate: 1 worse")
    assert outputs == {"run": str(worse), "out": str(tmp_path / "out"), "finished": "true"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"gate.xml", "gate.md"}
    done, *_ = step("Gate", **gate(tmp_path, base, base))
    assert done.returncode == 0, done.stderr


def test_further_flags_are_words_as_in_a_shell(tmp_path, step):
    base = gate_run(tmp_path / "base", {KEY: SSIM, ("B", "", "ssim"): SSIM})
    fewer = gate_run(tmp_path / "new", {KEY: SSIM})
    assert step("Gate", **gate(tmp_path, base, fewer))[0].returncode == 1
    flags = "--allow-missing --margins 'a b' --alpha \"$(touch injected)\""
    done, *_ = step("Gate", **gate(tmp_path, base, fewer, COMPARE=flags))
    assert done.returncode == 2 and "$(touch injected)" in done.stderr
    assert not (ROOT / "injected").exists()
    flags = "--allow-missing --alpha '0.01'"
    assert step("Gate", **gate(tmp_path, base, fewer, COMPARE=flags))[0].returncode == 0


def test_without_a_baseline_the_run_passes_and_says_so(tmp_path, step):
    run = gate_run(tmp_path / "run", {KEY: SSIM})
    done, outputs, summary = step("Gate", **gate(tmp_path, "", run, IS_FIRST="true"))
    assert done.returncode == 0 and outputs["finished"] == "true"
    assert summary.startswith("There is no baseline yet")


def test_an_unfinished_run_is_no_baseline(tmp_path, step):
    run = gate_run(tmp_path / "run", {KEY: SSIM})
    notes = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(notes | {"complete": False}))
    done, outputs, _ = step("Gate", **gate(tmp_path, run, run, IS_FIRST="true"))
    assert done.returncode == 2 and "finished" not in outputs


def test_a_benchmark_that_cannot_run_ends_the_gate(tmp_path, step):
    words = "reconstruction --systems 'no such system'"
    more = {"MEASURE": "true", "ARGUMENTS": words}
    done, outputs, _ = step("Gate", **gate(tmp_path, "", tmp_path / "run", **more))
    assert done.returncode == 2 and "no such system" in done.stderr
    assert "finished" not in outputs


def artifact(number, branch="main", repository=11, **more):
    run = {"id": number, "head_branch": branch, "repository_id": 11, "head_repository_id": repository}  # fmt: skip
    return {"expired": False, "created_at": f"2026-01-{number:02}", "workflow_run": run} | more


@pytest.mark.parametrize(
    ("artifacts", "newest"),
    [
        ([artifact(3), artifact(7), artifact(5)], "7"),
        ([artifact(3), artifact(8, branch="other"), artifact(9, repository=12)], "3"),
        ([artifact(4, expired=True)], ""),
        ([], ""),
    ],
)
def test_the_baseline_is_the_newest_artifact_of_the_branch_itself(tmp_path, step, artifacts, newest):  # fmt: skip
    pages = [{"artifacts": artifacts[:1]}, {"artifacts": artifacts[1:]}]
    (tmp_path / "bin").mkdir()
    gh = tmp_path / "bin" / "gh"
    gh.write_text(f"#!/bin/sh\ncat <<'END'\n{''.join(map(json.dumps, pages))}\nEND\n")
    gh.chmod(0o755)
    variables = {"ARTIFACT": "a", "BRANCH": "main", "GH_TOKEN": "x", "GITHUB_REPOSITORY": "me/mine"}
    done, outputs, _ = step("Newest baseline", **variables)
    assert done.returncode == 0, done.stderr
    assert outputs == {"run": newest}

"""The action without GitHub: its YAML step by step in bash, with an imitated `gh`."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from gate_runs import KEY, RNG, SSIM, write_run
from github_stand_in import TOKEN, GitHub, serve

from diffae.system.errors import UserError
from reports import action

ROOT = Path(__file__).resolve().parents[2]
YAML = yaml.safe_load((ROOT / "action.yml").read_text())
MARKER = "<!-- diffae-bench: gate -->"
ARTIFACT = "diffae-bench-baseline-gate"
LOST = SSIM - 0.015 + RNG.normal(0, 0.001, 200)


@pytest.fixture
def github():
    held = GitHub()
    server = serve(held)
    yield held
    server.shutdown()
    server.server_close()


@pytest.fixture
def runs(tmp_path):
    write_run(tmp_path / "base", {KEY: SSIM})
    write_run(tmp_path / "good", {KEY: SSIM})
    write_run(tmp_path / "bad", {KEY: LOST})
    (tmp_path / "bin").mkdir()
    gh = tmp_path / "bin" / "gh"
    imitation = ROOT / "tests" / "helpers" / "gh_stand_in.py"
    gh.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {imitation} "$@"\n')
    gh.chmod(0o755)
    return tmp_path


@pytest.fixture
def act(github, runs, monkeypatch, capsys):
    """Run the steps of a gate, `reports.action` in this process; returns the exit status, the log,
    outputs and summary.
    """

    def run(event: dict | None = None, **given):
        for name in [n for n in os.environ if n.startswith(("GITHUB_", "GATE_", "RUNNER_"))]:
            monkeypatch.delenv(name)
        event = pull_request() if event is None else event
        environ = environment(github, runs)
        environ |= {name: given.pop(name) for name in list(given) if name.isupper()}
        inputs = {"baseline": str(runs / "base"), "run": str(runs / "good")} | given
        contexts = contexts_of(event, inputs, environ)
        log, found = "", {"outcome": "skipped", "outputs": {"run": ""}}
        if contexts["inputs"]["baseline"] == "artifact":
            step = shell("Newest baseline", contexts, environ, runs)
            log += step.stdout + step.stderr
            found["outcome"] = "failure" if step.returncode else "success"
            found["outputs"] |= plain_outputs(environ)
        contexts["steps"] = {"newest": found, "download": {"outcome": "skipped"}}
        if number := found["outputs"]["run"]:
            github.unpack(
                int(number), Path(evaluated(named("Download it")["with"]["path"], contexts))
            )
            contexts["steps"]["download"]["outcome"] = "success"
        gate = {
            k: evaluated(v, contexts) for k, v in named("Gate")["env"].items() if "DIFFAE" not in k
        }
        for name, value in (environ | gate).items():
            monkeypatch.setenv(name, value)
        status = action.main()
        log += capsys.readouterr().out
        contexts["steps"]["gate"] = {"outputs": read_outputs(Path(environ["GITHUB_OUTPUT"]))}
        if contexts["steps"]["gate"]["outputs"]["comment"]:
            step = shell("Comment", contexts, environ, runs)
            assert not step.returncode
            log += step.stdout + step.stderr
        return Done(status, log, environ)

    return run


class Done:
    def __init__(self, status, log, environ):
        self.status, self.log = status, log
        self.outputs = read_outputs(Path(environ["GITHUB_OUTPUT"]))
        self.summary = Path(environ["GITHUB_STEP_SUMMARY"]).read_text()


def named(name: str) -> dict:
    (step,) = [step for step in YAML["runs"]["steps"] if step.get("name") == name]
    return step


def contexts_of(event: dict, inputs: dict, environ: dict) -> dict:
    """What the expressions of action.yml read."""
    contexts = {
        "github": {"token": TOKEN, "action_path": str(ROOT), "event": event, "sha": "b" * 40,
                   "server_url": "https://github.com", "repository": "me/mine", "run_id": "99"},
        "runner": {"temp": environ["RUNNER_TEMP"], "os": "Linux"},
        "steps": {},
    }  # fmt: skip
    defaults = {name: evaluated(i["default"], contexts) for name, i in YAML["inputs"].items()}
    return contexts | {"inputs": defaults | inputs}


def plain_outputs(environ: dict) -> dict[str, str]:
    """The outputs that a step wrote as NAME=VALUE; they are taken from the file."""
    path = Path(environ["GITHUB_OUTPUT"])
    lines = path.read_text().splitlines()
    path.write_text("")
    return dict(line.split("=", 1) for line in lines)


def pull_request(**more) -> dict:
    return {"pull_request": {"number": 7, "head": {"sha": "a" * 40}}} | repository() | more


def repository() -> dict:
    return {"repository": {"default_branch": "main"}}


def environment(github, folder) -> dict[str, str]:
    """What GitHub sets in a job, with new files for what is written."""
    place = folder / f"job{len(list(folder.glob('job*')))}"
    (place / "temp").mkdir(parents=True)
    for name in ("output", "summary"):
        (place / name).touch()
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": "me/mine",
        "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_OUTPUT": str(place / "output"),
        "GITHUB_STEP_SUMMARY": str(place / "summary"),
        "RUNNER_TEMP": str(place / "temp"),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
    }
    return environ


def read_outputs(path: Path) -> dict[str, str]:
    """Read outputs as the runner does: name<<END, lines, END."""
    found, lines = {}, iter(path.read_text().splitlines())
    for line in lines:
        name, end = line.split("<<")
        found[name] = "\n".join(iter(lambda: next(lines), end))
    return found


# ----------------------------------------------------------------------------------------------
# The verdict in all outputs


def test_a_metric_that_fell_is_named_in_the_comment_and_fails_the_job(act, runs, github):
    done = act(run=str(runs / "bad"))
    assert done.status == 1
    assert (done.outputs["passed"], done.outputs["regressed"]) == ("false", "1")
    said = "1. DiffAE: SSIM of reconstruction fell from 0.95"
    (comment,) = github.comments
    assert comment["body"].startswith(f"{MARKER}\n### Regression gate: 1 worse\n")
    assert said in comment["body"] and said in done.summary
    assert "https://github.com/me/mine/actions/runs/99#artifacts" in comment["body"]
    assert "at aaaaaaaaaaaa;" in comment["body"]
    assert len([line for line in done.log.splitlines() if line.startswith("::error")]) == 1
    report = Path(done.outputs["report"])
    assert {path.name for path in report.iterdir()} == {
        "gate.xml",
        "gate.md",
        "gate.json",
        "comment.md",
    }
    assert json.loads((report / "gate.json").read_text())["failed"][0].startswith("DiffAE: SSIM")


def test_the_comment_is_updated_in_place_whatever_page_it_is_on(act, runs, github):
    for _ in range(130):
        github.add_comment("hello")
    assert act(run=str(runs / "bad")).status == 1
    assert act().status == 0
    ours = [c for c in github.comments if c["body"].startswith(MARKER)]
    assert len(ours) == 1 and "Regression gate: passed" in ours[0]["body"]
    assert [c["body"] for c in github.comments].count("hello") == 130


def test_two_gates_keep_two_comments(act, github):
    act(), act(name="other"), act()
    assert [c["body"].splitlines()[0] for c in github.comments] == [
        MARKER,
        "<!-- diffae-bench: other -->",
    ]


def test_a_comment_of_somebody_else_is_left_alone(act, github):
    github.add_comment(f"{MARKER} mine!")
    github.add_comment(f"{MARKER} a colleague's token", association="MEMBER")
    act()
    assert github.comments[0]["body"] == f"{MARKER} mine!" and len(github.comments) == 2
    assert "passed" in github.comments[1]["body"]


@pytest.mark.parametrize(
    ("comment", "run", "made"),
    [("never", "bad", 0), ("on-failure", "good", 0), ("on-failure", "bad", 1), ("always", "good", 1)],
)  # fmt: skip
def test_who_wants_no_comment_gets_none(act, runs, github, comment, run, made):
    act(comment=comment, run=str(runs / run))
    assert len(github.comments) == made


def test_a_failure_that_is_mended_is_said_in_its_comment(act, runs, github):
    act(comment="on-failure", run=str(runs / "bad"))
    act(comment="on-failure")
    (comment,) = github.comments
    assert "passed" in comment["body"]


@pytest.mark.parametrize(("status", "run"), [(403, "good"), (404, "bad")])
def test_a_token_that_may_not_write_changes_no_status(act, runs, github, status, run):
    github.answers["POST"] = [status]
    done = act(run=str(runs / run))
    assert done.status == (0 if run == "good" else 1) and not github.comments
    assert f"HTTP {status}" in done.log and "permissions: pull-requests: write" in done.log
    assert "# Regression gate" in done.summary and TOKEN not in done.log


def test_no_pull_request_no_comment(act, github):
    assert act(repository()).status == 0
    assert not github.seen


# ----------------------------------------------------------------------------------------------
# The baseline as an artifact


def test_the_baseline_is_the_last_artifact_of_the_branch(act, runs, github):
    github.add_artifact(runs / "bad", ARTIFACT)
    github.add_artifact(runs / "base", ARTIFACT)
    github.add_artifact(runs / "bad", ARTIFACT, expired=True)
    github.add_artifact(runs / "bad", ARTIFACT, branch="topic")
    github.add_artifact(runs / "bad", ARTIFACT, fork=True)  # its branch is called main too
    github.add_artifact(runs / "bad", ARTIFACT + "-other")
    done = act(baseline="artifact", run=str(runs / "bad"))
    assert done.status == 1, done.log
    assert "\nthis run against the last run of main: 1 number, 1 worse." in done.summary
    assert act(baseline="artifact").status == 0


def test_without_an_artifact_the_run_of_the_branch_becomes_the_first(act, github):
    done = act(baseline="artifact")
    assert done.status == 0 and done.outputs["passed"] == "true" and not done.outputs["baseline"]
    assert "no baseline to compare with" in done.summary and "::warning" in done.log
    done = act(repository(), baseline="artifact", GITHUB_REF="refs/heads/main")
    github.add_artifact(Path(done.outputs["baseline"]), ARTIFACT)
    assert act(baseline="artifact").status == 0


@pytest.mark.parametrize(
    ("run", "accept", "ref", "kept"),
    [
        ("good", "false", "refs/heads/main", True),
        ("bad", "false", "refs/heads/main", False),
        ("bad", "true", "refs/heads/main", True),
        ("good", "true", "refs/heads/topic", False),
    ],
)
def test_what_becomes_the_next_baseline(act, runs, run, accept, ref, kept):
    done = act(repository(), run=str(runs / run), accept=accept, GITHUB_REF=ref)
    assert bool(done.outputs["baseline"]) == kept
    assert done.status == (run == "bad")


def test_a_run_of_other_settings_is_a_baseline_if_it_is_accepted(act, runs):
    """And none that was not finished."""
    write_run(runs / "other", {KEY: SSIM}, protocol={"n": 16})
    given = {"run": str(runs / "other"), "GITHUB_REF": "refs/heads/main"}
    assert not act(repository(), **given).outputs["baseline"]
    done = act(repository(), **given, accept="true")
    assert done.status == 2 and done.outputs["baseline"] == given["run"]
    notes = runs / "other" / "run.json"
    notes.write_text(json.dumps(json.loads(notes.read_text()) | {"complete": False}))
    assert not act(repository(), **given, accept="true").outputs["baseline"]


def test_a_pull_request_is_never_the_next_baseline(act):
    assert not act(GITHUB_REF="refs/heads/main", accept="true").outputs["baseline"]


@pytest.mark.parametrize("event", ["workflow_run", "issue_comment", "pull_request_target"])
def test_nor_is_what_another_event_measured(event, act):
    """GitHub gives these the ref of the default branch, whatever they check out."""
    done = act(repository(), GITHUB_REF="refs/heads/main", GITHUB_EVENT_NAME=event, accept="true")
    assert done.status == 0 and not done.outputs["baseline"]


def test_an_api_that_does_not_answer_is_no_missing_baseline(act, github):
    github.answers["GET"] = [403]
    done = act(baseline="artifact")
    assert done.status == 2 and done.outputs["passed"] == "false"
    assert "cannot be read" in done.summary and "permissions: actions: read" in done.summary
    assert "HTTP 403" in done.log


# ----------------------------------------------------------------------------------------------
# Wrong inputs of a workflow


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"baseline": "nowhere"}, "no such run folder; commit records.csv, run.json"),
        ({"comment": "yes"}, "comment is 'yes'; give always, on-failure, never"),
        ({"name": "a/b"}, "name is 'a/b'; give up to 60 letters"),
        ({"arguments": "all 'x"}, "GATE_ARGUMENTS is not a command line"),
        ({"run": "nowhere"}, "the benchmark did not finish"),
        ({"compare": "--bogus"}, "unknown argument --bogus"),
    ],
)
def test_a_wrong_input_is_status_2_and_one_line(act, given, said):
    done = act(**given)
    assert done.status == 2 and said in done.log and done.outputs["passed"] == "false"
    assert "Traceback" not in done.log


def test_a_comparison_that_is_refused_is_told_on_the_pull_request(act, runs, github):
    write_run(runs / "other", {KEY: SSIM}, protocol={"n": 16})
    done = act(run=str(runs / "other"))
    assert done.status == 2 and "the protocols differ in n" in github.comments[0]["body"]


def test_one_job_has_room_for_two_gates_but_not_of_one_name(act, tmp_path):
    shared = str(tmp_path / "shared")
    assert act(RUNNER_TEMP=shared).status == 0
    assert act(RUNNER_TEMP=shared, name="b").status == 0
    done = act(RUNNER_TEMP=shared)
    assert done.status == 2 and "two gates of this job are called" in done.log


HOSTILE = ["$(touch owned)", "`touch owned`", "a]]b", "::set-output name=passed::true", "a\npassed=true\n::error::x", "@everyone", "${{ secrets.X }}"]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_names_from_outside_stay_names(act, runs, github, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    key = (text, text, "ssim")
    write_run(runs / "b", {key: SSIM})
    write_run(runs / "n", {key: LOST})
    event = pull_request()
    event["pull_request"]["head"] |= {"ref": text, "sha": text}
    done = act(event, baseline=str(runs / "b"), run=str(runs / "n"), branch=text)
    assert done.status == 1 and not Path("owned").exists()
    assert done.outputs == {"passed": "false", "regressed": "1"} | {k: done.outputs[k] for k in ("report", "baseline", "comment")}  # fmt: skip
    commands = [line for line in done.log.splitlines() if line.lstrip().startswith("::")]
    assert len(commands) == 1 and commands[0].startswith("::error title=Regression gate::")
    assert "@everyone" not in github.comments[0]["body"]


def test_a_long_page_becomes_a_comment_that_github_takes():
    link = "https://github.com/me/mine/actions/runs/1"
    inputs = {"NAME": "gate", "COMMIT": "", "LINK": link}
    table = "<details>\n\n" + "| x |\n" * 30_000 + "\n</details>\n"
    body = action._comment(inputs, f"# Regression gate: 1 worse\n\n1. x\n\n{table}")
    assert len(body) < 1000 and "1. x" in body and "<details>" not in body
    body = action._comment(inputs, "# Regression gate\n" + "1. long\n" * 30_000)
    assert len(body) < 65_536 and body.startswith(MARKER) and "actions/runs/1" in body


# ----------------------------------------------------------------------------------------------
# action.yml


def steps() -> list[dict]:
    return [step for step in YAML["runs"]["steps"] if "run" in step]


def evaluated(text: object, contexts: dict) -> str:
    """A string of the YAML with its expressions: names, ||, &&, == and quoted text."""
    return re.sub(r"\$\{\{ (.+?) \}\}", lambda m: str(value_of(m[1], contexts) or ""), str(text))


def value_of(expression: str, contexts: dict) -> object:
    value: object = None
    for part in expression.split(" || "):
        for term in part.split(" && "):
            left, _, right = term.partition(" == ")
            value = plain_value(left, contexts)
            value = value == plain_value(right, contexts) if right else value
            if not value:
                break
        if value:
            break
    return value


def plain_value(name: str, contexts: dict) -> object:
    if name.startswith("'"):
        return name.strip("'")
    value: object = contexts
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def shell(name: str, contexts: dict, environ: dict, folder: Path) -> subprocess.CompletedProcess:
    """A `run:` step as GitHub runs it."""
    step = named(name)
    set_here = {name: evaluated(text, contexts) for name, text in step["env"].items()}
    script = folder / "step.sh"
    script.write_text(step["run"])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        env=os.environ | environ | set_here,
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def shells(github, runs):
    """Run a step of action.yml by its name, in a folder of its own, with a `python` that records
    calls of pip.
    """
    checkout = runs / "checkout"
    checkout.mkdir()
    python = runs / "bin" / "python"
    python.write_text(
        f'#!/bin/bash\ncase " $* " in *" pip "*) printf "%s\\n" "$@" > "{runs}/pip";; *) exec {sys.executable} "$@";; esac\n'
    )
    python.chmod(0o755)

    def run(name: str, event: dict | None = None, **given):
        environ = environment(github, runs) | {"PYTHONPATH": str(ROOT), "HOME": str(runs)}
        contexts = contexts_of(event or pull_request(), given, environ)
        contexts["steps"]["download"] = {"outcome": "skipped"}
        result = shell(name, contexts, environ, checkout)
        outputs = Path(environ["GITHUB_OUTPUT"]).read_text()
        result.outputs = (
            read_outputs(Path(environ["GITHUB_OUTPUT"])) if "<<" in outputs else outputs
        )
        return result

    return run


def test_no_expression_is_text_of_a_script():
    assert all("${{" not in step["run"] for step in steps())
    assert [step["shell"] for step in steps()] == ["bash"] * len(steps())
    uses = [step["uses"] for step in YAML["runs"]["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", use) for use in uses)


def test_every_input_is_used_and_every_variable_of_the_script_is_set():
    text = (ROOT / "action.yml").read_text()
    for name in YAML["inputs"]:
        assert re.search(rf"inputs\.{name}\b", text), name
    read = {f"GATE_{name}" for name in action.DEFAULTS}
    assert read == {name for name in named("Gate")["env"] if name.startswith("GATE_")}


def test_the_benchmark_has_no_token():
    assert not any("TOKEN" in name for name in named("Gate")["env"])


def test_the_gate_step_fails_a_regression(shells, runs):
    result = shells("Gate", run=str(runs / "bad"), baseline=str(runs / "base"))
    assert result.returncode == 1, result.stderr
    assert result.outputs["passed"] == "false"
    assert "DiffAE: SSIM" in Path(result.outputs["comment"]).read_text()


def test_the_install_step_gives_pip_words_and_no_file_names(shells, runs):
    (runs / "checkout" / "diffae-benchl").touch()  # what a pattern would match
    result = shells("Install", install="-e . diffae-bench[lmdb] $(touch owned) `touch owned`")
    assert result.returncode == 0, result.stderr
    told = (runs / "pip").read_text().splitlines()
    assert told[:4] == ["-P", "-m", "pip", "install"] and told[5] == str(ROOT)
    assert told[6:] == "-e . diffae-bench[lmdb] $(touch owned) `touch owned`".split()
    assert not list(runs.rglob("owned"))
    shells("Install", harness="diffae-bench==0.6 x[y]")
    assert (runs / "pip").read_text().splitlines()[5:] == ["diffae-bench==0.6", "x[y]"]


def test_the_cache_is_named_by_version_and_arguments(shells):
    names = [
        shells("Name of the cache", arguments=a).outputs for a in ("all", "all", "$(touch owned)")
    ]
    assert names[0] == names[1] != names[2]
    assert re.fullmatch(r"version=\d+\.\d+\S*\nasked=\d+\n", names[0])


@pytest.mark.slow
def test_the_gate_step_measures(shells, runs):
    """A real benchmark, itself as the baseline of a second one, and one that cannot run."""
    asked = "reconstruction --systems {} --profile smoke"
    first = shells("Gate", repository(), arguments=asked.format("dummy-map"))
    assert first.returncode == 0, first.stdout + first.stderr
    assert "::stop-commands::" in first.stdout
    run = str(Path(first.outputs["report"]) / "run")
    again = shells("Gate", arguments=asked.format("dummy-map"), baseline=run)
    assert again.returncode == 0, again.stdout
    assert "Regression gate: passed" in Path(again.outputs["comment"]).read_text()
    failed = shells("Gate", arguments=asked.format("no-such-system"))
    assert failed.returncode == 2
    assert "did not finish (status 2)" in Path(failed.outputs["comment"]).read_text()


def test_help_measures_nothing(monkeypatch, capsys):
    """It ran the gate."""
    monkeypatch.setattr(sys, "argv", ["reports/action.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        action.command()
    assert not ended.value.code and capsys.readouterr().out.startswith(
        "usage: python -m reports.act"
    )
    monkeypatch.setattr(sys, "argv", ["reports/action.py", "all"])
    with pytest.raises(UserError, match="unknown argument all"):
        action.command()

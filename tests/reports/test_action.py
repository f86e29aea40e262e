"""The action without GitHub: its script with an imitated API, its YAML step by step in bash."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from file_server import Served, serving
from gate_runs import KEY, RNG, SSIM, write_run
from github_stand_in import TOKEN, GitHub, serve

from diffae.system.errors import UserError
from reports import action
from reports.gate import github as client
from reports.gate.artifact import unpack
from reports.gate.github import Api, RequestFailed, keep_comment, newest_artifact
from reports.gate.job import Job, read_inputs

ROOT = Path(__file__).resolve().parents[2]
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
def api(github, monkeypatch):
    monkeypatch.setattr(client, "PAUSE", 0.0)
    return Api(github.url, TOKEN)


@pytest.fixture
def runs(tmp_path):
    write_run(tmp_path / "base", {KEY: SSIM})
    write_run(tmp_path / "good", {KEY: SSIM})
    write_run(tmp_path / "bad", {KEY: LOST})
    return tmp_path


@pytest.fixture
def act(github, runs, monkeypatch, capsys):
    """Run the script in this process with a job's environment; returns the exit status, the log,
    outputs and summary.
    """

    def run(event: dict | None = None, **given):
        for name in [n for n in os.environ if n.startswith(("GITHUB_", "GATE_", "RUNNER_"))]:
            monkeypatch.delenv(name)
        environ = environment(github, runs, event or pull_request(), **given)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        status = action.main(os.environ)
        return Done(status, capsys.readouterr().out, environ)

    return run


class Done:
    def __init__(self, status, log, environ):
        self.status, self.log = status, log
        self.outputs = read_outputs(Path(environ["GITHUB_OUTPUT"]))
        self.summary = Path(environ["GITHUB_STEP_SUMMARY"]).read_text()


def pull_request(**more) -> dict:
    return {"pull_request": {"number": 7, "head": {"sha": "a" * 40}}} | repository() | more


def repository() -> dict:
    return {"repository": {"default_branch": "main"}}


def environment(github, folder, event, **given) -> dict[str, str]:
    """What GitHub sets in a job, with new files for what is written."""
    place = folder / f"job{len(list(folder.glob('job*')))}"
    place.mkdir()
    for name in ("output", "summary"):
        (place / name).touch()
    (place / "event.json").write_text(json.dumps(event))
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": github.url,
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_REPOSITORY": "me/mine",
        "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_SHA": "b" * 40,
        "GITHUB_RUN_ID": "99",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_EVENT_PATH": str(place / "event.json"),
        "GITHUB_OUTPUT": str(place / "output"),
        "GITHUB_STEP_SUMMARY": str(place / "summary"),
        "RUNNER_TEMP": str(place / "temp"),
        "GATE_BASELINE": str(folder / "base"),
        "GATE_RUN": str(folder / "good"),
    }
    return environ | given


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
    done = act(GATE_RUN=str(runs / "bad"))
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
    assert {path.name for path in report.iterdir()} == {"gate.xml", "gate.md", "gate.json"}
    assert json.loads((report / "gate.json").read_text())["failed"][0].startswith("DiffAE: SSIM")


def test_the_comment_is_updated_in_place_whatever_page_it_is_on(act, runs, github):
    for _ in range(130):
        github.add_comment("hello")
    assert act(GATE_RUN=str(runs / "bad")).status == 1
    assert act().status == 0
    ours = [c for c in github.comments if c["body"].startswith(MARKER)]
    assert len(ours) == 1 and "Regression gate: passed" in ours[0]["body"]
    assert [c["body"] for c in github.comments].count("hello") == 130


def test_two_gates_keep_two_comments(act, github):
    act(), act(GATE_NAME="other"), act()
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
    act(GATE_COMMENT=comment, GATE_RUN=str(runs / run))
    assert len(github.comments) == made


def test_a_failure_that_is_mended_is_said_in_its_comment(act, runs, github):
    act(GATE_COMMENT="on-failure", GATE_RUN=str(runs / "bad"))
    act(GATE_COMMENT="on-failure")
    (comment,) = github.comments
    assert "passed" in comment["body"]


@pytest.mark.parametrize(("status", "run"), [(403, "good"), (404, "bad")])
def test_a_token_that_may_not_write_changes_no_status(act, runs, github, status, run):
    github.answers["POST"] = [status]
    done = act(GATE_RUN=str(runs / run))
    assert done.status == (0 if run == "good" else 1) and not github.comments
    assert f"HTTP {status}" in done.log and "a fork, or no `permissions: pull" in done.log
    assert "# Regression gate" in done.summary and TOKEN not in done.log


def test_no_pull_request_no_comment(act, github):
    assert act(repository()).status == 0
    assert not github.seen


# ----------------------------------------------------------------------------------------------
# An unreliable server


@pytest.mark.parametrize("failing", [[502], [503, 429], ["drop"]])
def test_what_may_be_answered_in_a_moment_is_asked_again(api, github, failing):
    github.answers["GET"] = list(failing)
    assert keep_comment(api, "me/mine", 7, MARKER, MARKER) == "created"
    assert len(github.comments) == 1


def test_a_comment_that_was_made_though_the_answer_was_lost_is_not_made_twice(api, github):
    github.answers["POST"] = ["done"]
    assert keep_comment(api, "me/mine", 7, MARKER, f"{MARKER} b") == "updated"
    assert [c["body"] for c in github.comments] == [f"{MARKER} b"]


def test_a_server_that_only_fails_is_given_up(api, github):
    github.answers["GET"] = [500] * 9
    with pytest.raises(RequestFailed, match="HTTP 500"):
        keep_comment(api, "me/mine", 7, MARKER, MARKER)
    assert len(github.seen) == 3


def test_a_slow_server_is_not_waited_for(api, github, monkeypatch):
    github.answers["GET"], github.delay = ["late"] * 2, 0.6
    monkeypatch.setattr(client, "TIMEOUT", 0.1)
    with pytest.raises(RequestFailed, match="timed out") as raised:
        api.ask("GET", "/repos/me/mine/issues/7/comments", attempts=2)
    assert raised.value.is_temporary and len(github.seen) == 2


@pytest.mark.parametrize("what", ["drip", "drip_of_headers", "drip_of_chunks"])
def test_an_answer_that_trickles_in_ends_too(what, monkeypatch):
    monkeypatch.setattr(client, "LONGEST", 0.2)
    with serving(Served(b"x" * 5000, nap=0.01)) as served:
        with pytest.raises(RequestFailed, match=r"not all of it in 0\.2 s"):
            Api(served.url).ask("GET", f"/{what}", attempts=1)


def test_nothing_larger_than_its_bound_is_read(github, api, monkeypatch):
    monkeypatch.setattr(client, "LARGEST_FILE", 1000)
    number = github.add_artifact(b"x" * 5000, ARTIFACT)
    with pytest.raises(RequestFailed, match="bytes"):
        api.download(f"/repos/me/mine/actions/artifacts/{number}/zip")


# ----------------------------------------------------------------------------------------------
# The baseline as an artifact


def test_the_baseline_is_the_last_artifact_of_the_branch(act, runs, github):
    github.add_artifact(runs / "bad", ARTIFACT)
    github.add_artifact(runs / "base", ARTIFACT)
    github.add_artifact(runs / "bad", ARTIFACT, expired=True)
    github.add_artifact(runs / "bad", ARTIFACT, branch="topic")
    github.add_artifact(runs / "bad", ARTIFACT, fork=True)  # its branch is called main too
    github.add_artifact(runs / "bad", ARTIFACT + "-other")
    done = act(GATE_BASELINE="artifact", GATE_RUN=str(runs / "bad"))
    assert done.status == 1, done.log
    assert "\nthis run against the last run of main: 1 number, 1 worse." in done.summary
    assert act(GATE_BASELINE="artifact").status == 0


def test_the_artifact_is_found_among_many(api, github, runs):
    wanted = github.add_artifact(runs / "base", ARTIFACT)
    for _ in range(120):
        github.add_artifact(b"", ARTIFACT, branch="topic")
    assert newest_artifact(api, "me/mine", ARTIFACT, "main") == wanted


def test_the_token_does_not_follow_the_redirect(api, github, runs):
    number = github.add_artifact(runs / "base", ARTIFACT)
    assert api.download(f"/repos/me/mine/actions/artifacts/{number}/zip") == github.files[number]
    assert github.tokens[f"/repos/me/mine/actions/artifacts/{number}/zip"] == [f"Bearer {TOKEN}"]
    assert github.tokens[f"/blob/{number}"] == [None]


def test_without_an_artifact_the_run_of_the_branch_becomes_the_first(act, github):
    done = act(GATE_BASELINE="artifact")
    assert done.status == 0 and done.outputs["passed"] == "true" and not done.outputs["baseline"]
    assert "no baseline to compare with" in done.summary and "::warning" in done.log
    done = act(repository(), GATE_BASELINE="artifact", GITHUB_REF="refs/heads/main")
    kept = Path(done.outputs["baseline"])
    assert {p.name for p in kept.iterdir()} == {"records.csv", "run.json", "influences.npz"}
    github.add_artifact(kept, ARTIFACT)
    assert act(GATE_BASELINE="artifact").status == 0


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
    done = act(repository(), GATE_RUN=str(runs / run), GATE_ACCEPT=accept, GITHUB_REF=ref)
    assert bool(done.outputs["baseline"]) == kept
    assert done.status == (run == "bad")


def test_a_pull_request_is_never_the_next_baseline(act):
    assert not act(GITHUB_REF="refs/heads/main", GATE_ACCEPT="true").outputs["baseline"]


def test_an_api_that_does_not_answer_is_no_missing_baseline(act, github):
    github.answers["GET"] = [403]
    done = act(GATE_BASELINE="artifact")
    assert done.status == 2 and done.outputs["passed"] == "false"
    assert "cannot be read" in done.summary and "permissions: actions: read" in done.summary


def zip_of(**files) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/"), data)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a zip"),
        (b"PK\x03\x04" + b"x" * 99, "is not a zip"),
        (zip_of(readme="x"), "has no records.csv and no run.json"),
        (zip_of(**{"..__records.csv": "x", "run.json": "x"}), "has no records.csv"),
        (zip_of(**{"records.csv": bytes(2000), "run.json": "{}"}), "records.csv has more than"),
    ],
)
def test_an_artifact_that_is_none_is_refused(tmp_path, monkeypatch, content, reason):
    monkeypatch.setattr("reports.gate.artifact.LARGEST", 1000)
    with pytest.raises(UserError, match=re.escape(reason)):
        unpack(content, tmp_path / "base")
    assert not list(tmp_path.iterdir())


def test_only_what_a_baseline_is_leaves_the_zip(tmp_path):
    evil = {"..__..__evil": "x", "records.csv": "a", "run.json": "b", "run.sh": "x"}
    folder = unpack(zip_of(**evil), tmp_path / "base")
    assert {p.name for p in tmp_path.rglob("*")} == {"base", "records.csv", "run.json"}
    assert (folder / "records.csv").read_text() == "a"


# ----------------------------------------------------------------------------------------------
# Wrong inputs of a workflow


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"GATE_BASELINE": "nowhere"}, "no such run folder; commit records.csv, run.json"),
        ({"GATE_COMMENT": "yes"}, "comment is 'yes'; give always, on-failure, never"),
        ({"GATE_NAME": "a/b"}, "name is 'a/b'; give up to 60 letters"),
        ({"GATE_ARGUMENTS": "all 'x"}, "GATE_ARGUMENTS is not a command line"),
        ({"GATE_RUN": "nowhere"}, "the benchmark did not finish"),
        ({"GATE_COMPARE": "--bogus"}, "unknown argument --bogus"),
        ({"GITHUB_EVENT_PATH": "nowhere.json"}, "nowhere.json: no such file"),
    ],
)
def test_a_wrong_input_is_status_2_and_one_line(act, given, said):
    done = act(**given)
    assert done.status == 2 and said in done.log and done.outputs["passed"] == "false"
    assert "Traceback" not in done.log


def test_a_comparison_that_is_refused_is_told_on_the_pull_request(act, runs, github):
    write_run(runs / "other", {KEY: SSIM}, protocol={"n": 16})
    done = act(GATE_RUN=str(runs / "other"))
    assert done.status == 2 and "the protocols differ in n" in github.comments[0]["body"]


def test_one_job_has_room_for_two_gates_but_not_of_one_name(act, tmp_path):
    shared = str(tmp_path / "shared")
    assert act(RUNNER_TEMP=shared).status == 0
    assert act(RUNNER_TEMP=shared, GATE_NAME="b").status == 0
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
    done = act(event, GATE_BASELINE=str(runs / "b"), GATE_RUN=str(runs / "n"), GATE_BRANCH=text)
    assert done.status == 1 and not Path("owned").exists()
    assert done.outputs == {"passed": "false", "regressed": "1"} | {k: done.outputs[k] for k in ("report", "baseline")}  # fmt: skip
    commands = [line for line in done.log.splitlines() if line.lstrip().startswith("::")]
    assert len(commands) == 1 and commands[0].startswith("::error title=Regression gate::")
    assert "@everyone" not in github.comments[0]["body"]


def test_a_long_page_becomes_a_comment_that_github_takes(runs):
    job = Job({"GITHUB_REPOSITORY": "me/mine", "GITHUB_RUN_ID": "1"})
    page = (
        "# Regression gate: 1 worse\n\n1. x\n\n"
        + "<details>\n\n"
        + "| x |\n" * 30_000
        + "\n</details>\n"
    )
    body = action._body(job, read_inputs(job), MARKER, page)
    assert len(body) < 1000 and "1. x" in body and "<details>" not in body
    body = action._body(job, read_inputs(job), MARKER, "# Regression gate\n" + "1. long\n" * 30_000)
    assert len(body) < 65_536 and body.startswith(MARKER) and "actions/runs/1" in body


# ----------------------------------------------------------------------------------------------
# action.yml

YAML = yaml.safe_load((ROOT / "action.yml").read_text())


def steps() -> list[dict]:
    return [step for step in YAML["runs"]["steps"] if "run" in step]


def evaluated(text: object, contexts: dict) -> str:
    """A string of the YAML with its expressions; those that are used are names alone."""
    pattern = r"\$\{\{ ([a-z]+)\.([a-z_.-]+) \}\}"
    found = re.sub(pattern, lambda m: str(contexts[m[1]][m[2]]), str(text))
    assert "${{" not in found
    return found


def shell(step: dict, given: dict, environ: dict, folder: Path) -> subprocess.CompletedProcess:
    """A `run:` step as GitHub runs it."""
    contexts = {
        "github": {"token": TOKEN, "action_path": str(ROOT)},
        "runner": {"temp": environ["RUNNER_TEMP"], "os": "Linux"},
    }
    defaults = {name: evaluated(i["default"], contexts) for name, i in YAML["inputs"].items()}
    contexts["inputs"] = defaults | given
    set_here = {name: evaluated(text, contexts) for name, text in step["env"].items()}
    script = folder / "step.sh"
    script.write_text(step["run"])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        env=environ | set_here,
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def shells(github, runs):
    """Run a step of action.yml by its name, in a folder of its own, with a `python` that records
    calls of pip.
    """
    programs, checkout = runs / "bin", runs / "checkout"
    programs.mkdir(), checkout.mkdir()
    python = programs / "python"
    python.write_text(
        f'#!/bin/bash\ncase " $* " in *" pip "*) printf "%s\\n" "$@" > "{runs}/pip";; *) exec {sys.executable} "$@";; esac\n'
    )
    python.chmod(0o755)

    def run(name: str, event: dict | None = None, **given):
        environ = environment(github, runs, event or pull_request())
        environ = {k: v for k, v in environ.items() if not k.startswith("GATE_")} | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(runs),
        }
        (step,) = [step for step in steps() if step["name"] == name]
        result = shell(step, given, environ, checkout)
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
    (gate,) = [step for step in steps() if step["name"] == "Gate"]
    read = set(re.findall(r"GATE_[A-Z]+", (ROOT / "reports" / "gate" / "job.py").read_text()))
    assert read == {name for name in gate["env"] if name.startswith("GATE_")}


def test_the_gate_step_fails_a_regression_and_comments(shells, runs, github):
    result = shells("Gate", run=str(runs / "bad"), baseline=str(runs / "base"))
    assert result.returncode == 1, result.stderr
    assert result.outputs["passed"] == "false" and "DiffAE: SSIM" in github.comments[0]["body"]


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
def test_the_gate_step_measures(shells, runs, github):
    """A real benchmark, its artifact as the baseline of a second one, and one that cannot run."""
    asked = "reconstruction --systems {} --profile smoke"
    first = shells("Gate", repository(), arguments=asked.format("dummy-map"))
    assert first.returncode == 0, first.stdout + first.stderr
    assert "::stop-commands::" in first.stdout
    run = Path(first.outputs["report"]) / "run"
    github.add_artifact(run, ARTIFACT)
    again = shells("Gate", arguments=asked.format("dummy-map"))
    assert again.returncode == 0 and "Regression gate: passed" in github.comments[0]["body"]
    failed = shells("Gate", arguments=asked.format("no-such-system"))
    assert failed.returncode == 2 and "did not finish (status 2)" in github.comments[0]["body"]

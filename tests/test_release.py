"""A release: one version everywhere, and the step of the workflow that reads the changelog."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from diffae import __version__

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEADING = re.compile(r"## (\d+\.\d+\.\d+) \((unreleased|\d{4}-\d\d-\d\d)\)")
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in GITHUB.glob("workflows/*.yml")}


# ----------------------------------------------------------------------------------------------
# The version


def test_changelog_and_citation_have_the_version():
    """`X.Y.Z.dev0` until the changelog has the date of X.Y.Z."""
    number, date = HEADING.fullmatch(re.search(r"^## .*$", CHANGELOG, re.M)[0]).groups()
    assert __version__ == (f"{number}.dev0" if date == "unreleased" else number)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert str(citation.get("date-released", "unreleased")) == date
    assert citation.keys() >= {"cff-version", "message", "title", "authors", "type"}
    assert citation["license"] == PROJECT["project"]["license"]


# ----------------------------------------------------------------------------------------------
# Workflows


def steps():
    for workflow in WORKFLOWS.values():
        for job in workflow["jobs"].values():
            yield from job.get("steps", [])


@pytest.fixture
def changes(tmp_path):
    """Run the step of release.yml that reads the changelog, on a tag: its process, and what it wrote."""
    (step,) = [s for s in WORKFLOWS["release"]["jobs"]["build"]["steps"] if s.get("name")]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "diffae").mkdir()
    environ = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    environ["PYTHONDONTWRITEBYTECODE"] = "1"  # bytecode of a version of the same second is taken

    def run(tag, version, changelog):
        (tmp_path / "diffae" / "__init__.py").write_text(f'__version__ = "{version}"\n')
        (tmp_path / "CHANGELOG.md").write_text(changelog)
        written = tmp_path / "changes.md"
        written.unlink(missing_ok=True)
        ended = subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            cwd=tmp_path,
            env=environ | {"GITHUB_REF_NAME": tag},
            capture_output=True,
            text=True,
        )
        return ended, written.read_text() if written.exists() else None

    return run


OLD = "## 1.2.0 (2026-01-02)\n\n- old\n\n## 0.6.0\n\n- older\n"


def test_a_release_tells_the_changes_of_its_section(changes):
    changelog = "# Changelog\n\n## 1.2.1 (2026-02-03)\n\n- new\n\n" + OLD
    for version, text in (("1.2.1", "- new"), ("1.2.0", "- old")):
        ended, told = changes(f"v{version}", version, changelog)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert told.strip() == text


def test_the_changelog_of_this_repository_can_be_released(changes):
    number = HEADING.search(CHANGELOG)[1]
    dated = HEADING.sub(rf"## {number} (2026-12-01)", CHANGELOG, 1)
    ended, told = changes(f"v{number}", number, dated)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert told.strip() == re.split(r"^## .*\n", CHANGELOG, flags=re.M)[1].strip()
    assert len(told) < 125_000  # characters of a release's text on GitHub


@pytest.mark.parametrize(
    ("tag", "version", "heading", "reason"),
    [
        ("v1.2.1", "1.2.1.dev0", "1.2.1 (2026-02-03)", "the tag is v1.2.1, and diffae"),
        ("v1.2.2", "1.2.1", "1.2.1 (2026-02-03)", "the tag is v1.2.2, and diffae"),
        ("v1.2.1", "1.2.1", "1.2.1 (unreleased)", "no section '## 1.2.1 (YYYY-MM-DD)'"),
        ("v1.2.1", "1.2.1", "1.2.10 (2026-02-03)", "no section '## 1.2.1 (YYYY-MM-DD)'"),
    ],
)
def test_a_tag_without_its_version_or_its_dated_section_is_refused(
    changes, tag, version, heading, reason
):
    ended, told = changes(tag, version, f"# Changelog\n\n## {heading}\n\n- new\n\n{OLD}")
    assert ended.returncode == 1 and told is None
    assert ended.stdout.startswith("::error::") and reason in ended.stdout


def test_actions_are_pinned_and_no_expression_is_text_of_a_script():
    jobs = [job for workflow in WORKFLOWS.values() for job in workflow["jobs"].values()]
    used = [step["uses"] for step in steps() if "uses" in step]
    for use in [*used, *(job["uses"] for job in jobs if "uses" in job)]:
        local = use.startswith("./") and (ROOT / use).is_file()
        assert local or re.fullmatch(r"actions/[\w-]+@v\d+|[\w-]+/[\w-]+@[0-9a-f]{40}", use), use
    assert all("${{" not in step["run"] for step in steps() if "run" in step)
    checkouts = [step for step in steps() if "checkout" in step.get("uses", "")]
    assert checkouts and all(not step["with"]["persist-credentials"] for step in checkouts)

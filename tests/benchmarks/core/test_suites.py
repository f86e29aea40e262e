"""Suites are frozen: what they resolve to, their hashes, and what they refuse."""

import hashlib
from copy import deepcopy

import pytest
from suite_files import ANOTHER_NAME, FROZEN, NAMES, as_settings, content_of, digest

from benchmarks import evaluate, weights
from benchmarks.commands.options import parse
from benchmarks.core import suites
from benchmarks.core.profiles import PROFILES
from benchmarks.core.registry import REGISTRY
from benchmarks.core.runner.request import OPTIONS
from benchmarks.metrics.networks.faces import PACKAGED
from benchmarks.metrics.protocols import schema
from diffae.system.errors import UserError
from reports.records.metrics import METRICS

# Settings that benchmarks have gained since a suite was frozen, whose default leaves all numbers as they are.
GAINED: dict[str, set[str]] = {"decodable-v1": {"latent.pixels"}}


# ----------------------------------------------------------------------------------------------
# The suites that ship


@pytest.mark.parametrize("name", NAMES)
def test_a_suite_is_as_it_was_frozen(name):
    assert suites.read(name).sha256 == FROZEN[name], ANOTHER_NAME


def test_every_suite_is_frozen():
    assert suites.names() == NAMES, f"{ANOTHER_NAME}, with its hash in this table"


@pytest.mark.parametrize("name", NAMES)
def test_a_run_has_exactly_the_settings_of_the_file(name):
    asked, content = parse([name], None), content_of(name)
    settings = asked.profile.settings()
    assert {n: settings[n] for n in settings.keys() - GAINED[name]} == as_settings(content)
    assert asked.benchmarks == tuple(content["benchmarks"])
    assert asked.protocols == tuple(content["protocol"]) and asked.edit_protocols == ()
    assert (asked.seed, asked.precision) == (content["seed"], content["precision"])
    assert asked.suite["name"] == asked.profile.name == asked.profile.title == name
    assert asked.suite["sha256"] == suites.read(name).sha256


@pytest.mark.parametrize("name", NAMES)
def test_a_suite_names_every_setting_of_its_benchmarks(name):
    content = content_of(name)
    used = [REGISTRY.get(benchmark) for benchmark in content["benchmarks"]]
    sections = {"data", *content["benchmarks"], *(s for one in used for s in one.shared)}
    there = {n for n in PROFILES["quick"].settings() if n.partition(".")[0] in sections}
    said = "in GAINED if its default leaves every number as it is; else it is of another suite"
    assert there - GAINED[name] == set(as_settings(content)), said


@pytest.mark.parametrize("name", NAMES)
def test_its_networks_are_those_that_runs_accept(name):
    """Runs refuse a file that is not in the table of weights, which has the same hashes."""
    for network, hashes in content_of(name)["networks"].items():
        if network == "portraits":
            known = {hashlib.sha256(PACKAGED.read_bytes()).hexdigest()}
        else:
            known = {file.sha256 for file in weights.KNOWN[network].files}
        assert set(hashes) == known, ANOTHER_NAME


@pytest.mark.parametrize("name", NAMES)
def test_its_table_is_of_tables_and_metrics_of_its_benchmarks(name):
    content = content_of(name)
    specs = {s.name: s for one in content["benchmarks"] for s in REGISTRY.get(one).tables}
    for one in content["table"]:
        assert set(one["metrics"]) <= set(specs[one["name"]].metrics) | {"auroc", "top1"}
        networks = {METRICS[metric].network for metric in one["metrics"]} - {""}
        assert networks <= set(content["networks"])


# ----------------------------------------------------------------------------------------------
# The hash


@pytest.mark.parametrize("name", NAMES)
def test_the_hash_is_of_the_content_and_of_the_protocols(name):
    assert suites.read(name).sha256 == digest(content_of(name))


def leaves(content, path=()):
    """The places of all values."""
    parts = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in parts:
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def test_any_change_of_the_file_is_another_hash_but_of_comments_and_the_description():
    content = content_of("decodable-v1")
    seen = {suites.Suite("a", content).sha256}
    places = [
        place for place in leaves(content) if place not in (("description",), ("protocol", 0))
    ]
    for place in places:
        other = deepcopy(content)
        inside = other
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = [inside[place[-1]], "changed"]
        seen.add(suites.Suite("a", other).sha256)
    assert len(seen) == len(places) + 1 > 100
    fewer = {name: value for name, value in content.items() if name != "networks"}
    assert suites.Suite("a", fewer).sha256 not in seen
    same = {**content, "description": "Other words."}
    assert suites.Suite("b", same).sha256 == suites.Suite("a", content).sha256


PLAIN = schema.named("plain")


@pytest.mark.parametrize("field", sorted({n for m in schema.METRICS for n in PLAIN.describe(m)}))
def test_any_change_of_a_protocol_is_another_hash(field, monkeypatch):
    suite = suites.read("decodable-v1")
    before, changed = suite.sha256, PLAIN.changed(field, "changed")
    monkeypatch.setattr(suites.schema, "named", lambda name: changed)
    assert suite.sha256 != before


# ----------------------------------------------------------------------------------------------
# What is refused


def test_every_flag_decides_numbers_or_is_free():
    assert set(suites.FREE) < OPTIONS.keys()
    refused = (
        "axes explain allow_unknown_weights attributes crop features keep limit precision profile"
    )
    refused += " native protocol seed settings size smallest solver stand_ins steps"
    assert OPTIONS.keys() - set(suites.FREE) == {*refused.split()}


@pytest.mark.parametrize(
    "words",
    [
        "--seed=0", "--seed 1", "--profile quick", "--set reconstruction.images=3", "--steps 10", "--solver fast",
        "--protocol plain", "--limit 4", "--features inception", "--keep 1", "--crop center --data x", "--stand-ins",
        "--precision float32", "--axes", "--explain", "--allow-unknown-weights", "--attributes Male",
    ],
)  # fmt: skip
def test_what_the_suite_decides_is_refused_in_one_line(words):
    flag = words.replace("=", " ").split()[0]
    with pytest.raises(UserError) as error:
        parse(["decodable-v1", *words.split()], None)
    said = f"{flag}: decodable-v1 is frozen; leave it out, or name benchmarks"
    assert str(error.value) == said


@pytest.mark.parametrize("given", [dict(seed=0), dict(profile="quick"), dict(limit=3)])
def test_from_python_too(given):
    with pytest.raises(UserError, match=f"^--{next(iter(given))}: decodable-v1 is frozen"):
        evaluate("dummy-perfect", "decodable-v1", "nowhere", **given)
    with pytest.raises(UserError, match="^--profile: decodable-v1 is frozen"):
        evaluate("dummy-perfect", ["decodable-v1"], "nowhere", PROFILES["smoke"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("decodable-v2", "unknown benchmark 'decodable-v2'; did you mean decodable-v1?"),
        ("decodable", "unknown benchmark 'decodable'; did you mean decodable-v1?"),
        (
            "probes decodable-v1 cost",
            "decodable-v1: a suite is measured alone; leave out probes, cost",
        ),
        ("decodable-v1 all", "decodable-v1: a suite is measured alone; leave out all"),
    ],
)
def test_an_unknown_suite_and_one_beside_benchmarks_are_one_line(words, said):
    with pytest.raises(UserError) as error:
        parse(words.split(), None)
    assert str(error.value) == said

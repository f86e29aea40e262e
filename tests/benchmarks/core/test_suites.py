"""Suites are frozen: what they resolve to, their hashes, what they refuse; and a run of a small one."""

import csv
import hashlib
import json
import re
import shutil
import tomllib
from copy import deepcopy
from pathlib import Path

import pytest
from colours import no_effnet
from runs import write_card
from small_systems import SMALL_SIZES, Everything, with_truth, write_people

from benchmarks import evaluate, weights
from benchmarks.commands import options
from benchmarks.commands.options import parse
from benchmarks.core import suites
from benchmarks.core.profiles import PROFILES
from benchmarks.core.registry import REGISTRY
from benchmarks.metrics.networks.faces import PACKAGED
from benchmarks.metrics.protocols import schema
from diffae.system.errors import UserError
from reports.page.head import facts
from reports.records import entries
from reports.records.metrics import METRICS, published_name
from reports.records.record import hash_of, protocol_id
from reports.tables.build import read
from reports.tables.make_files import heading

# The SHA-256 of each suite.
FROZEN = {
    "decodable-v1": "b0703ab6e1f2cd526b04ab48cfe67d3327fce958ca36cb3d8866cef04c819cea",
}
# Settings that benchmarks have gained since a suite was frozen, whose default leaves all numbers as they are.
GAINED: dict[str, set[str]] = {"decodable-v1": set()}
ANOTHER_NAME = "a suite is frozen: a second version is another name"
NAMES, SHIPPED = sorted(FROZEN), suites.FOLDER
OF_MACHINE = ("data_sha256", "device")


def content_of(name):
    return tomllib.loads((SHIPPED / f"{name}.toml").read_text())


def as_settings(content):
    """The settings of a file by "section.name"; lists are tuples."""
    found = {f"{s}.{k}": v for s, of in content["settings"].items() for k, v in of.items()}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}


# ----------------------------------------------------------------------------------------------
# The suites that ship


@pytest.mark.parametrize("name", NAMES)
def test_a_suite_is_as_it_was_frozen(name):
    assert suites.read(name).sha256 == FROZEN[name], ANOTHER_NAME


def test_every_suite_is_frozen():
    assert suites.names() == NAMES, f"{ANOTHER_NAME}, with its hash in this table"
    assert entries.SUITES == FROZEN, "the check of entries knows every suite"


@pytest.mark.parametrize("name", NAMES)
def test_a_run_has_exactly_the_settings_of_the_file(name):
    asked, content = parse([name], None), content_of(name)
    assert asked.profile.settings() == as_settings(content)
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


def digest(content):
    """The hash computed apart: of the file's content, with the values of the files of its protocols."""
    protocols = {}
    for name in content["protocol"]:
        read = tomllib.loads((schema.FOLDER / f"{name}.toml").read_text())
        parts = [{s: read[s] for s in ("pixels", metric)} for metric in schema.METRICS]
        protocols[name] = [
            {f"{s}.{key}": pair[0] for s, of in part.items() for key, pair in of.items()}
            for part in parts
        ]
    whole = {**content, "description": "", "protocol": protocols}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


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


FLAGS = {flag for a in options.parser(None)._actions for flag in a.option_strings if flag[1] == "-"}


def test_every_flag_decides_numbers_or_is_free():
    assert set(suites.FREE) < FLAGS
    refused = (
        "axes explain allow-unknown-weights attributes crop features keep limit precision profile"
    )
    refused += " protocol seed set size solver stand-ins steps"
    assert FLAGS - set(suites.FREE) - {"--help"} == {f"--{name}" for name in refused.split()}


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


# ----------------------------------------------------------------------------------------------
# A small suite, measured


def text_of(content):
    """A suite's file."""
    head = {name: value for name, value in content.items() if not isinstance(value, dict)}
    tables = head.pop("table")
    lines = [f"{name} = {json.dumps(value)}" for name, value in head.items()]
    lines += ["[networks]", *(f"{n} = {json.dumps(v)}" for n, v in content["networks"].items())]
    for one in tables:
        lines += ["[[table]]", *(f"{name} = {json.dumps(value)}" for name, value in one.items())]
    for section, values in content["settings"].items():
        lines += [f"[settings.{section}]", *(f"{n} = {json.dumps(v)}" for n, v in values.items())]
    return "\n".join(lines)


SIZES = {
    **SMALL_SIZES,
    "edits.directions": ["paper", "mean difference"],
    "edits.strengths": [0.2],
    "latent.space": 60,
    "fewshot.frechet_error": False,
    "unconditional.overlap": 3,
    "unconditional.frechet_error": False,
}


def small_suite():
    """decodable-v1 on few images, in two steps."""
    content = content_of("decodable-v1")
    for section, values in content["settings"].items():
        for key, value in values.items():
            few = [2] if isinstance(value, list) else 2
            values[key] = SIZES.get(f"{section}.{key}", few if key == "steps" else value)
    return content


def test_a_run_takes_seed_precision_and_protocol_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(suites, "FOLDER", tmp_path)
    given = {"seed": 5, "precision": "bfloat16", "protocol": ["maskbit", "vtp"]}
    (tmp_path / "other-v1.toml").write_text(text_of(small_suite() | given))
    asked = parse(["other-v1"], None)
    assert {**given, "protocol": list(asked.protocols)} == given
    assert (asked.seed, asked.precision) == (5, "bfloat16")
    assert asked.profile.settings() == as_settings(small_suite())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run of `small_suite` under the name small-v1: its folder, its results and the hash."""
    folder = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch, no_effnet():
        patch.setattr(suites, "FOLDER", folder)
        for name in ("DIFFAE_CACHE", "TORCH_HOME"):
            patch.setenv(name, str(folder / "cache"))
        with_truth(patch)
        (folder / "small-v1.toml").write_text(text_of(small_suite()))
        data, out = write_people(folder / "people"), folder / "run"
        results = evaluate(Everything(), "small-v1", data, out=out, progress=False, device="cpu")
        return out, results, suites.read("small-v1").sha256


def test_the_file_of_the_small_suite_is_read_as_it_is_meant(small):
    content = small_suite()
    assert small[-1] == suites.Suite("", content).sha256 == digest(content)


def test_a_run_says_its_suite_and_its_hash(small):
    out, _, sha256 = small
    settings = json.loads((out / "run.json").read_text())["settings"]
    assert settings["suite"] == {
        "name": "small-v1",
        "sha256": sha256,
        "content": suites.Suite("", small_suite()).meaning,
    }
    assert settings["profile"]["sections"] == small_suite()["settings"]
    assert (
        settings["protocols"] == ["plain", False]
        and settings["benchmarks"] == small_suite()["benchmarks"]
    )
    found = read([out])
    assert found.suite == f"small-v1 ({sha256[:12]})"
    assert heading(found)[0] == f"people, suite {found.suite}"
    told = facts(found)
    assert told["Suite"] == found.suite and "Profile" not in told


def test_its_table_has_a_column_for_each_metric_in_the_order_of_the_suite(small):
    """Stand-ins take the place of what they stand in for; what is measured nowhere has no column."""
    out, results, _ = small
    _, lines = (out / "tables" / "small-v1.md").read_text().split("| system", 1)
    heads, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines_of(lines)]
    assert heads[1:] == [
        "reconstruction, x_T inverted, PSNR (dB) ↑", "reconstruction, x_T inverted, SSIM ↑", "reconstruction, x_T inverted, pd_effnet ↓",
        "reconstruction, x_T inverted, rkd_effnet ↓", "reconstruction, x_T inverted, rfd_effnet ↓", "reconstruction, x_T inverted, latent size",
        "probes, mean, AUROC ↑", "edits, mean difference, off target ↓", "edits, kept ↑", "interpolation, median, ppl_effnet ↓",
        "latent, slerp, ikd_effnet ↓", "latent, noise 0.3, pd_effnet ↓", "latent, code FD", "fewshot, binary/Male, kd_effnet ↓",
        "unconditional, kd_effnet ↓",
    ]  # fmt: skip
    assert rows[0][0] == "Everything"
    ours = results.frame()
    psnr = ours[(ours.table == "table1_reconstruction") & (ours.metric == "psnr")]
    best = psnr.loc[psnr.value.idxmax()]
    assert float(rows[0][1].split(" ")[0].strip("*")) == pytest.approx(best.value, abs=0.006)
    size = ours[(ours.metric == "latent_dim") & (ours.setting == best.setting)].value.iloc[0]
    assert rows[0][6] == f"{size:,.0f}"  # of the same setting


def lines_of(text):
    return [line for line in f"| system{text}".splitlines() if line.startswith("|")]


def test_the_overview_has_the_metrics_of_the_suite_alone_in_its_order(small):
    records = read([small[0]]).tables[0].records
    shown = [(r.table, published_name(r.metric)) for r in records if r.value is not None]
    table = [one["name"] for one in small_suite()["table"]]
    assert list(dict.fromkeys(name for name, _ in shown)) == table
    wanted = {(one["name"], metric) for one in small_suite()["table"] for metric in one["metrics"]}
    assert set(shown) <= wanted


def test_what_the_machine_lacks_is_a_row_that_says_so(small):
    table = {metric: one["name"] for one in small_suite()["table"] for metric in one["metrics"]}
    lacking = [r for r in small[1].rows if r.note.startswith("the weights of ") and r.reference]
    found = {(r.table, r.metric): r for r in lacking}
    assert found.keys() == {
        (one["name"], m)
        for one in small_suite()["table"]
        for m in one["metrics"]
        if METRICS[m].network
    }
    assert "arcface" in table and len(found) == len(lacking) == 9
    for (_, metric), row in found.items():
        network = METRICS[metric].network
        assert row.system == "all systems" and row.value is None
        assert f"the weights of {network} are missing: run `python -m" in row.note
    plain = {r.metric: r for r in small[1].rows if r.setting == "plain"}
    assert plain["rfid"].note.startswith("the weights of inception are missing")
    assert plain["ssim"].value is not None and plain["lpips"].value is plain["rfid"].value is None


# ----------------------------------------------------------------------------------------------
# An entry that names a suite

ZEROS = "0" * 64  # the hash of the small run's networks


def forge(folder, settings=None, fields=None, cells=None, **notes):
    """Change an entry as a forger would: `settings`, `fields` of all protocols, whose ids follow, and
    the `cells` of the sizes of codes.
    """
    content, ids = json.loads((folder / "run.json").read_text()), {}
    content = (
        content | notes | {"protocols": {}, "settings": content["settings"] | (settings or {})}
    )
    for name, protocol in json.loads((folder / "run.json").read_text())["protocols"].items():
        changed = protocol | {key: x for key, x in (fields or {}).items() if key in protocol}
        if "perceptual_network" in protocol:
            changed.setdefault("perceptual_sha256", ZEROS)
        ids[name] = protocol_id(changed)
        content["protocols"][ids[name]] = changed
    rows = list(csv.DictReader((folder / "records.csv").read_text().splitlines()))
    for row in rows:
        row["protocol"] = ids.get(row["protocol"], "")
        row.update((cells or {}) if row["metric"] == "latent_dim" and row["value"] else {})
    with (folder / "records.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (folder / "run.json").write_text(json.dumps(content))


@pytest.fixture
def entry(small, tmp_path, monkeypatch):
    """The small run as an entry, of a suite that has the hashes of its networks."""
    folder = Path(shutil.copytree(small[0], tmp_path / "entry"))
    write_card(folder)
    content = suites.Suite("", small_suite()).meaning
    content["networks"]["efficientnet-lite0"] = [ZEROS]
    monkeypatch.setitem(entries.SUITES, "small-v1", hash_of(content))
    forge(folder, {"suite": {"name": "small-v1", "sha256": hash_of(content), "content": content}})
    return folder


def test_an_entry_of_a_suite_passes(entry):
    assert len(entries.read_entry(entry).measured) > 200


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        (dict(settings={"suite": {"name": "small-v1"}}), "settings: small-v1 with this hash and content is no suite"),
        (dict(settings={"suite": "small-v1", "profile": {"name": "x"}}), "settings: x with this hash"),
        (dict(settings={"suite": {"name": "decodable-v1", "sha256": FROZEN["decodable-v1"]}}), "settings: decodable-v1 with"),
        (dict(settings={"seed": 1}), "settings: seed: not as small-v1 says"),
        (dict(settings={"profile": {"name": "small-v1"}}), "settings: data.fit_images, data.portraits, edits.attributes"),
        (dict(settings={"size": 8, "keep": [1]}), "settings: keep, size: not as"),
        (dict(settings={"benchmarks": ["probes"]}), "settings: benchmarks: not as"),
        (dict(fields={"seed": 1}), "its protocol has another seed than the run"),
        (dict(fields={"feature_sha256": "1" * 64}), "efficientnet-lite0 has other weights"),
        (dict(fields={"n_test": 3, "pairs": 3}), "3 images, which is no count of the suite"),
        (dict(cells={"n": "11"}), "11 images, which is no count of the suite"),
        (dict(images={}, fields={"x": 1}, cells={"n": "44"}), "n is 44, and n of its protocol 12"),
        (dict(fields={"ssim.padding": "reflect"}), "its protocol is not that of the suite"),
    ],
)  # fmt: skip
def test_what_contradicts_its_suite_is_refused(entry, forged, said):
    forge(entry, **forged)
    with pytest.raises(UserError, match=re.escape(said)):
        entries.read_entry(entry)


# The SHA-256 of how each benchmark of the small run measures, by all fields of its protocols.
MEANT = {
    "reconstruction": "337ddc293e47",
    "probes": "362a1795c90f",
    "edits": "aa71eecf6619",
    "interpolation": "5e1b86a51285",
    "latent": "4bb44eac0d11",
    "fewshot": "5838ebddb343",
    "unconditional": "5daeae33485f",
}


@pytest.mark.parametrize("benchmark", content_of("decodable-v1")["benchmarks"])
def test_what_settings_mean_is_as_it_was_frozen(small, benchmark):
    """The fields of the protocols of all rows, but for those of the machine and the data."""
    whole = small[1].protocols.values()
    kept = [{k: v for k, v in one.items() if k not in OF_MACHINE} for one in whole]
    texts = {json.dumps(one, sort_keys=True) for one in kept if one["benchmark"] == benchmark}
    assert texts
    found = hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()[:12]
    assert found == MEANT[benchmark], (
        f"{ANOTHER_NAME}; only where no number changes, renew this hash"
    )

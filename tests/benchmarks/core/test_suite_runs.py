"""A run of a small suite: its settings, tables and protocols."""

import hashlib
import json

import pytest
from colours import no_effnet
from small_systems import SMALL_SIZES, Everything, with_truth, write_people
from suite_files import ANOTHER_NAME, OF_MACHINE, as_settings, content_of, digest

from benchmarks import evaluate
from benchmarks.commands.options import parse
from benchmarks.core import suites
from reports.page.head import facts
from reports.records.metrics import METRICS, published_name
from reports.tables.build import read
from reports.tables.make_files import heading

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
    settings = asked.profile.settings()
    assert settings == as_settings(small_suite()) | {"latent.pixels": 0}  # the default


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
    sections = settings["profile"]["sections"]
    assert sections["latent"].pop("pixels") == 0  # the default of a later setting
    assert sections == small_suite()["settings"]
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
    """Stand-ins take the place of what they stand in for; what is measured nowhere has no column. A system
    with numbers of both is taken without inverted noise, though its PSNR is lower.
    """
    out, results, _ = small
    _, lines = (out / "tables" / "small-v1.md").read_text().split("| system", 1)
    heads, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines_of(lines)]
    assert heads[1:] == [
        "reconstruction, x_T random, PSNR (dB) ↑", "reconstruction, x_T random, SSIM ↑", "reconstruction, x_T random, pd_effnet ↓",
        "reconstruction, x_T random, rkd_effnet ↓", "reconstruction, x_T random, rfd_effnet ↓", "reconstruction, x_T random, latent size",
        "probes, mean, AUROC ↑", "edits, mean difference, off target ↓", "edits, kept ↑", "interpolation, median, ppl_effnet ↓",
        "latent, slerp, ikd_effnet ↓", "latent, noise 0.3, pd_effnet ↓", "latent, code FD", "fewshot, binary/Male, kd_effnet ↓",
        "unconditional, kd_effnet ↓",
    ]  # fmt: skip
    assert rows[0][0] == "Everything"
    ours = results.frame()
    psnr = ours[(ours.table == "table1_reconstruction") & (ours.metric == "psnr")]
    assert psnr.loc[psnr.value.idxmax()].setting == "x_T inverted"
    psnr = psnr[psnr.setting == "x_T random"]
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


# The SHA-256 of how each benchmark of the small run measures, by all fields of its protocols.
MEANT = {
    "reconstruction": "337ddc293e47",
    "probes": "9a482056e97c",
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

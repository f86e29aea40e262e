"""`reconstruction --protocol` and `--explain`: the same numbers as `benchmarks.measure` of the images."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from small_systems import networks_of_files, write_weights
from torchvision.io import read_image

from benchmarks import evaluate, measure
from benchmarks.commands.planned import collect
from benchmarks.core import store
from benchmarks.core.job import Calls
from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics.protocols.pairs import estimate, scores_of
from benchmarks.metrics.protocols.schema import FOLDER, named
from benchmarks.metrics.units import Units
from benchmarks.run import main
from benchmarks.runtime.choices import NetworkChoice, TaskOptions
from benchmarks.systems import as_system
from benchmarks.systems.protocol.base import Code, System
from benchmarks.tasks.reconstruction import by_protocol as measured_by_protocol
from benchmarks.tasks.reconstruction.reconstruction import BENCHMARK
from diffae.eight_bit import to_uint8
from diffae.system.errors import UserError
from reports.records.record import Record

TABLE = "reconstruction_by_protocol"
pytestmark = pytest.mark.usefixtures("no_effnet")


class Coarse(System):
    """Keeps three bits of each pixel, and overshoots."""

    name, title, image_size, latent_dim = "coarse", "Coarse", 32, 3072
    capabilities = frozenset({"encode", "decode", "semantic"})
    fingerprint = "coarse"

    def encode_semantic(self, images):
        return ((images * 4).round() / 4).flatten(1)

    def decode(self, code, steps=100):
        return 1.1 * code.semantic.view(-1, 3, 32, 32)


def average(protocol, scores):
    """The SSIM that a protocol prints."""
    return estimate("ssim", protocol, scores, Units("pairs", np.arange(len(scores))))


def by_protocol(rows) -> dict[tuple[str, str], Record]:
    return {(r.metric, r.setting): r for r in rows if r.table == TABLE}


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """The results of a run that explains and keeps its images, and its folder."""
    out = tmp_path_factory.mktemp("runs") / "run"
    found = evaluate(
        Coarse(),
        "reconstruction",
        profile="smoke",
        out=out,
        settings={"reconstruction.images": 12, "data.portraits": 60},
        explain=True,
        stand_ins=True,
        save_images=True,
        progress=False,
    )
    return found, out


def test_a_run_has_the_numbers_of_each_protocol(explained, capsys):
    """The decoder's floats are not the 8 bits of the kept images: numbers agree roughly."""
    found, out = explained
    rows = by_protocol(found.rows)
    folders = [str(out / "images" / name) for name in ("inputs", "coarse")]
    for protocol in ("llamagen", "dc-ae", "torchmetrics-1.8", "maskbit"):
        measure.main(["psnr,ssim", *folders, "--protocol", protocol])
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        expected = {words[0]: float(words[1]) for words in lines if len(words) == 2}
        for metric, value in expected.items():
            assert rows[metric, protocol].value == pytest.approx(value, rel=5e-3)
            assert rows[metric, protocol].stderr > 0


@pytest.mark.parametrize("protocol", ["eq-vae", "vtp"])
def test_what_a_decoder_gives_beyond_the_range_counts_where_the_code_does_not_clamp(
    explained, protocol
):
    """EQ-VAE's SSIM is of it, and of its range."""
    found, out = explained
    row = by_protocol(found.rows)["ssim", protocol]
    files = sorted((out / "images" / "inputs").iterdir())
    images = torch.stack([read_image(str(file)) for file in files])
    originals = images.float() / 127.5 - 1
    decoded = 1.1 * (originals * 4).round() / 4
    assert decoded.max() > 1.05
    of = named(protocol)
    cut, expected = (
        average(of, scores_of("ssim", of, made, images)).value
        for made in (decoded.clamp(-1, 1), decoded)
    )
    assert (abs(cut - expected) > 1e-4) == (protocol == "eq-vae")
    assert row.value == pytest.approx(expected, rel=1e-6)
    assert ("and were not clamped" in row.note) == (protocol == "eq-vae")


def test_plain_is_the_number_of_table_1(explained):
    found, _ = explained
    rows = by_protocol(found.rows)
    for metric in ("psnr", "ssim"):
        (table1,) = (
            r for r in found.rows if r.table == "table1_reconstruction" and r.metric == metric
        )
        plain = rows[metric, "plain"]
        assert plain.value == pytest.approx(table1.value, rel=1e-6)
        assert plain.stderr == pytest.approx(table1.stderr, rel=1e-6)
        assert "from plain" not in plain.note and "crops" not in plain.note


@pytest.mark.parametrize("explain", [True, False])
def test_images_of_one_grey_level_have_no_ssim_by_their_own_range_and_the_row_says_why(
    tmp_path, explain
):
    for level in range(0, 240, 20):
        Image.new("RGB", (32, 32), (level, level, level)).save(tmp_path / f"{level:03}.png")
    found = evaluate(
        Coarse(),
        "reconstruction",
        data=tmp_path,
        profile="smoke",
        settings={"reconstruction.images": 3},
        protocol=["torchmetrics-1.8", "plain"],
        explain=explain,
        stand_ins=True,
        progress=False,
    )
    rows = by_protocol(found.rows)
    row = rows["ssim", "torchmetrics-1.8"]
    assert row.value is None and row.note.startswith("3 of 3 pairs are of a single grey level each")
    assert rows["ssim", "plain"].value > 0.9 and rows["psnr", "torchmetrics-1.8"].value > 20


@pytest.mark.parametrize("batch, together", [(8, 1), (8, 2), (5, 1), (32, 2)])
def test_batches_of_a_range_of_their_own_lie_in_a_chunk_or_are_refused(
    batch, together, context, tmp_path, monkeypatch
):
    """Other batches would depend on the chunks, and on how many of these are computed together."""
    for module in (store, measured_by_protocol):
        monkeypatch.setattr(module, "CHUNK", 16)
    before, section, rest = (FOLDER / "plain.toml").read_text(encoding="utf-8").partition("[ssim]")
    rest = rest.replace('range = ["1"', 'range = ["of the batch"')
    mine = tmp_path / "mine.toml"
    text = before + section + rest.replace("batch = [1", f"batch = [{batch}", 1)
    mine.write_text(text, encoding="utf-8")
    asked = replace(context, options=TaskOptions(protocols=(str(mine),)))
    asked.store.together = together
    asked.profile = asked.profile.changed_by({"reconstruction.images": 45})
    row = by_protocol(rows(BENCHMARK, asked, [as_system(Coarse())]))["ssim", "mine"]
    if batch != 8:
        assert row.value is None and "--save-images" in row.note
        assert f"its SSIM has the range of each {batch} images" in row.note
        return
    images = asked.select("test", 45).batch(np.arange(45))
    of, made = named(str(mine)), Coarse().decode(Code(Coarse().encode_semantic(images)))
    expected = average(of, scores_of("ssim", of, made.clamp(-1, 1), to_uint8(images)))
    assert row.value == pytest.approx(expected.value, rel=1e-6)


def test_the_protocols_fields_are_those_of_the_row(explained):
    found, out = explained
    row = by_protocol(found.rows)["ssim", "llamagen"]
    fields = found.protocols[row.protocol]
    assert fields["ssim.range"] == "2" and fields["by"] == "llamagen"
    assert json.loads((out / "run.json").read_text())["protocols"][row.protocol] == fields
    assert "plain" in found.markdown(TABLE)


def test_the_published_number_of_a_checkpoint_is_not_beside_ours_on_other_data(tmp_path):
    system = Coarse()
    system.source = tmp_path / "sd-vae-ft-mse"
    found = evaluate(
        system,
        "reconstruction",
        profile="smoke",
        settings={"reconstruction.images": 4, "data.portraits": 60},
        protocol="llamagen",
        stand_ins=True,
        progress=False,
    )
    row = by_protocol(found.rows)["psnr", "llamagen"]
    assert row.measured_by["checkpoint"] == ["sd-vae-ft-mse"]  # whose number on COCO is 24.5
    assert row.published is None


def test_one_protocol_alone_has_the_same_numbers(explained):
    found = evaluate(
        Coarse(),
        "reconstruction",
        profile="smoke",
        settings={"reconstruction.images": 12, "data.portraits": 60},
        protocol=["llamagen", "vtp"],
        stand_ins=True,
        progress=False,
    )
    rows, expected = by_protocol(found.rows), by_protocol(explained[0].rows)
    assert {setting for _, setting in rows} == {"llamagen", "vtp"}
    for key, row in rows.items():
        value = expected[key].value  # of some there is none, for lack of a network
        assert row.value == (value and pytest.approx(value, rel=1e-12)), key
        assert " from plain" not in row.note


def test_of_an_inverted_and_a_random_x_T_the_inverted_is_measured():
    found = evaluate(
        "diffae",
        "reconstruction",
        profile="smoke",
        settings={
            "reconstruction.images": 4,
            "reconstruction.beside": "ddim",
            "data.portraits": 60,
        },
        steps=2,
        protocol="plain",
        stand_ins=True,
        progress=False,
    )
    (table1,) = (
        r.value
        for r in found.rows
        if r.table == "table1_reconstruction" and r.metric == "psnr" and r.setting == "x_T inverted"
    )
    assert by_protocol(found.rows)["psnr", "plain"].value == pytest.approx(table1, rel=1e-6)


def test_a_run_cannot_have_protocols_without_reconstruction():
    with pytest.raises(UserError, match="--protocol, --explain: are of reconstruction"):
        main(["probes", "--protocol", "llamagen"])
    with pytest.raises(UserError, match="no protocol 'lamagen'; did you mean llamagen"):
        main(["reconstruction", "--protocol", "lamagen"])


def test_a_dry_run_counts_the_networks_of_protocols(context, tmp_path, monkeypatch):
    """LPIPS by two trunks; Inception sees both sides, by three ways to make its input."""
    networks_of_files(monkeypatch)
    folder = write_weights(tmp_path / "weights", b"a")
    context = replace(
        context,
        dataset=context.dataset.at(64),
        profile=context.profile.changed_by({"reconstruction.images": 7}),
        networks=None,
        choice=NetworkChoice(weights_dir=folder, allow_unknown_weights=True),
    )

    def calls(*protocols):
        """Those of an image that is decoded."""
        asked = replace(context, options=TaskOptions(protocols=protocols))
        planned, _ = collect(asked, ("reconstruction",), [as_system(Coarse())])
        (job,) = (part.job for part in planned if part.job.title == "decode")
        assert job.count == 7
        return job.calls

    more = Calls(features=6, perceptual=2)
    assert calls("plain", "clean-fid", "maskbit") == calls() + more

"""`--profile paper`: its exact work, counted by --dry-run on a CelebA-HQ with the right layout."""

import os
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.commands import dry_run
from benchmarks.commands.options import parse
from benchmarks.commands.planned import Planned
from benchmarks.core.profiles import PROFILES
from benchmarks.run import main
from benchmarks.tasks.fewshot.classes import RULES, Sizes
from diffae.data.portraits.attributes import ATTRIBUTES
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.config import ARCHITECTURES

COUNT = 30_000


@pytest.fixture(scope="module")
def celeba_hq(tmp_path_factory) -> Path:
    """30,000 names of one picture, with random attributes, as CelebAMask-HQ lays them out."""
    root = tmp_path_factory.mktemp("data") / "CelebAMask-HQ"
    (root / "CelebA-HQ-img").mkdir(parents=True)
    first = root / "CelebA-HQ-img" / "0.jpg"
    Image.new("RGB", (128, 128), "grey").save(first)
    for i in range(1, COUNT):
        os.link(first, root / "CelebA-HQ-img" / f"{i}.jpg")
    values = np.where(np.random.default_rng(0).random((COUNT, 40)) < 0.4, "1", "-1")
    rows = [f"{i}.jpg  {' '.join(row)}" for i, row in enumerate(values)]
    text = "\n".join([str(COUNT), " ".join(ATTRIBUTES), *rows]) + "\n"
    (root / "CelebAMask-HQ-attribute-anno.txt").write_text(text)
    return root


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Path:
    """The authors' 128 px architecture, narrow."""
    folder = tmp_path_factory.mktemp("checkpoints")
    config = replace(ARCHITECTURES["ffhq128_autoenc_latent"], model_channels=32, norm_groups=8)
    config = replace(config, latent=replace(config.latent, hidden_channels=64))
    baseline = replace(config, kind="ddim", encoder_channel_mult=(), latent=None)
    DiffusionAutoencoder(config).save_pretrained(folder / "diffae", torch.float16)
    DDIM(baseline).save_pretrained(folder / "ddim", torch.float16)
    return folder


@pytest.fixture(scope="module")
def planned(celeba_hq, checkpoints, tmp_path_factory) -> list[Planned]:
    """What a dry run lists; it writes nothing."""
    cache = tmp_path_factory.mktemp("cache")
    arguments = ["all", "--ckpt", str(checkpoints / "diffae"), "--data", str(celeba_hq)]
    arguments += ["--ckpt", str(checkpoints / "ddim"), "--profile", "paper", "--dry-run"]
    collected: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFAE_CACHE", str(cache))
        patch.chdir(cache)
        # What a call costs on this machine is measured; here, how many there are is asked.
        patch.setattr(dry_run, "_seconds", lambda context, call: 1.0)
        patch.setattr(dry_run, "_pair_cost", lambda context: 1e-6)
        collect = dry_run.collect
        patch.setattr(dry_run, "collect", lambda *a: collected.append(collect(*a)) or collected[0])
        main(arguments)
    assert not list(cache.iterdir()), "a dry run writes nothing"
    return collected[0][0]


def row(
    planned: list[Planned], benchmark: str, system: str, title: str, T: int | None = None
) -> list[int]:
    """Units and calls, by network, of the one job of this title and T."""
    title = title if T is None else f"{title}, T = {T}"
    asked = (benchmark, system, title)
    (work,) = (each for each in planned if (each.benchmark, each.system, each.title) == asked)
    units = max(stop for _, stop in work.chunks)  # fewer units may end within a chunk
    return [units, *(count for count in astuple(work.job.calls.times(units)) if count)]


@pytest.mark.parametrize("T", [10, 20, 50, 100])
def test_tables_1_and_2_invert_and_decode_every_image_with_the_same_T(planned, T):
    inverted = row(planned, "reconstruction", "DiffAE", "encode: z_sem and x_T", T=T)
    assert inverted == [COUNT, COUNT, COUNT * T]
    table1 = [COUNT] * (T == 100)  # features for the distance of reconstructions
    for setting in ("decode, x_T inverted", "decode, x_T random"):
        found = row(planned, "reconstruction", "DiffAE", setting, T=T)
        assert sorted(found) == sorted([COUNT, COUNT * T, COUNT, *table1])
    assert row(planned, "reconstruction", "DDIM", "encode: x_T", T=T) == [COUNT, COUNT * T]
    decoded = row(planned, "reconstruction", "DDIM", "decode, x_T inverted", T=T)
    assert sorted(decoded) == sorted([COUNT, COUNT * T, COUNT, *table1])


def test_probes_see_the_whole_split(planned):
    for split, share in (("train", 0.6), ("valid", 0.1), ("test", 0.3)):
        images = round(share * COUNT)
        assert row(planned, "probes", "DiffAE", f"z_sem of {split}") == [images, images]


def test_table_3_draws_its_pool_at_T_100_and_table_4_shares_it(planned):
    pool = PROFILES["paper"].sizes(Sizes).pool
    found = row(planned, "fewshot", "DiffAE", "samples", T=100)
    assert found == [pool, 100 * pool, 100 * pool, pool]  # the same T for latents and images
    titles = [(work.system, work.title) for work in planned]
    assert titles.count(("DiffAE", "samples, T = 100")) == 1
    # of all images, shared with the originals of Table 1
    assert row(planned, "reconstruction", "real images", "features of all") == [COUNT, COUNT]


@pytest.mark.parametrize("name", ["Male", "Female", "Blond", "Non-Blond"])
def test_table_3_has_three_classifiers_of_every_class(planned, name):
    """Twice: one of the rules averages the weights of its classifier."""
    for scenario in ("binary", "pu"):
        title = f"fit: {scenario}/{name}, by seed"
        units = [work.units for work in planned if work.title == title]
        assert units == [3, 3]


def test_section_5_3_has_both_probes(planned):
    for probe in ("L-BFGS, C of 4 values", "Adam, 9,375 steps of 32"):
        assert row(planned, "probes", "DiffAE", f"fit: {probe}") == [1]


@pytest.mark.parametrize("T", [10, 20, 50, 100])
def test_table_4_has_50_000_samples_at_every_T(planned, T):
    found = row(planned, "unconditional", "DDIM", "samples", T=T)
    assert found == [50_000, 50_000 * T, 50_000]
    if T < 100:
        found = row(planned, "unconditional", "DiffAE", "samples", T=T)
        assert found == [50_000, 50_000 * T, 50_000 * T, 50_000]


def test_appendix_f_takes_pairs_of_held_out_images(planned):
    pairs = round(0.3 * COUNT) // 2
    found = row(planned, "interpolation", "DiffAE", "path of pairs", T=100)
    assert found == [pairs, 2 * 100 * pairs, pairs]


# ----------------------------------------------------------------------------------------------
# Settings


def test_the_paper_profile_asks_for_every_acceptance_rule():
    assert PROFILES["paper"].sizes(Sizes).acceptance == tuple(RULES)
    assert parse(["all", "--profile", "paper"], "").profile.changed == ()


def test_acceptance_rules_are_the_reference_s():
    p = torch.tensor([0.2, 0.6, 0.6, 0.9])
    u = torch.tensor([0.1, 0.7, 0.5, 0.95])
    accepted = {name: rule.accept(p, u).tolist() for name, rule in RULES.items()}
    assert accepted == {
        "probability": [True, False, True, False],
        "threshold": [False, True, True, True],
        "reject": [False, False, True, False],
    }

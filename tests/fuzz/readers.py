"""The readers under test, by the name of the target: each raises UserError or returns what is valid."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from seeds import COUNT, SIDE

from benchmarks.measuring.codes import read
from benchmarks.metrics.codes.data import TEST, TRAIN
from benchmarks.metrics.sets.frechet import frechet_distance, read_statistics
from benchmarks.systems.diffusers import folder as diffusers_folder
from benchmarks.systems.shared import containers
from benchmarks.systems.stylegan2 import files as stylegan2_files
from benchmarks.systems.stylegan2.network import Generator
from benchmarks.systems.vqgan.system import read_config
from diffae.checkpoints.checkpoint import open_checkpoint
from diffae.data import pairs
from diffae.data.dataset import LABEL_FIELDS, Dataset
from diffae.data.readers import classes, label_table
from diffae.data.readers.celeba import read_celeba_labels
from diffae.data.readers.idx import read_both
from diffae.data.readers.parquet import open_parquet
from diffae.data.readers.webdataset import open_webdataset
from diffae.images.classifier import Classifier
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.config import AUTOENCODER
from reports.gate.page import Findings, summary, terminal
from reports.gate.verdicts import FAILING, compare
from reports.records.metrics import METRICS
from reports.records.run_folder import read_margins, read_run
from reports.tables.build import merge
from reports.tables.markdown import render

CPU = torch.device("cpu")
LARGEST_PAGE = 1 << 20  # bytes
IMAGES = ("a.png", "b/c.png", "b/d.png")  # that labels.csv and pairs.csv may name
pd.DataFrame({"texts": ["a"]})  # whose memory pyarrow maps now, not within a limit


def read_attributes(folder: Path) -> None:
    labels = read_celeba_labels(folder, seed=0)
    count, fields = len(set(labels.names)), labels.fields
    partition, _ = labels.split
    assert fields["attributes"].shape == (count, len(set(fields["attribute_names"]))) and count > 0
    assert partition.shape == (count,) and set(partition) <= {0, 1, 2}
    assert fields["identities"] is None or fields["identities"].shape == (count,)


def read_table(folder: Path) -> None:
    labels = label_table.read_labels(folder, IMAGES)
    columns = {name: labels.fields[name] for name in LABEL_FIELDS if name in labels.fields}
    for column in (*columns.values(), labels.splits or labels.images):
        assert len(column) == len(labels.images)
    if "attributes" in columns:
        assert columns["attributes"].shape[1] == len(set(labels.fields["attribute_names"]))


def read_pairs(folder: Path) -> None:
    read_ = pairs.read_pairs(folder / pairs.PAIRS, IMAGES)
    for (before, attribute, _), (after, _) in read_.items():
        assert before != after and {before, after} <= {0, 1, 2} and attribute.isprintable()
    people = pairs.people_of(read_, 3, None)
    assert people is None or len(people) == 3


def read_classes(folder: Path) -> None:
    listed = classes.read_solution(folder / classes.SOLUTION)
    images = [f"val/{name}.JPEG" for name in listed if "/" not in name and "\0" not in name]
    labels = classes.read_classes(folder, (*images, "val/a/b.JPEG", "val/b/b.JPEG"))
    assert len(labels.fields.get("classes", labels.images)) == len(labels.images)


def read_idx(folder: Path) -> None:
    pixels, labels, (train, test) = read_both(folder)
    assert pixels.dtype == labels.dtype == np.uint8 and pixels.ndim == 3 and pixels.size > 0
    assert len(pixels) == len(labels) == train + test and labels.max() < 10


def check(data: Dataset) -> None:
    assert data.images(range(len(data))).shape == (len(data), SIDE, SIDE, 3) and len(data)
    if data.attributes is not None:
        assert data.attributes.shape == (len(data), len(data.attribute_names))


def read_codes(folder: Path) -> None:
    """With labels from another file if there is one."""
    (labels_file,) = [*folder.glob("labels.*")] or [None]
    codes, notes = read(folder / "codes.npz", labels_file)
    count = len(codes.values)
    assert count >= COUNT - 1 and codes.values.ndim == 2 and all(notes)
    assert np.isfinite(codes.values).all()
    if codes.labels is not None:
        values, names, kinds = codes.labels.values, codes.labels.names, codes.labels.kinds
        assert values.shape == (count, len(names)) and len(kinds) == len(names) > 0
        assert np.isfinite(values).all()
        for column, kind in zip(values.T, kinds, strict=True):
            distinct = set(column.tolist())
            assert kind == "real" or distinct == set(range(len(distinct)))
            assert kind != "binary" or len(distinct) <= 2
    for rows in (codes.split, codes.persons):
        assert rows is None or (rows.shape == (count,) and rows.dtype == np.int64)
    assert codes.split is None or {TRAIN, TEST} <= set(codes.split.tolist()) <= {0, 1, 2}


def read_moments(folder: Path) -> None:
    moments = read_statistics(folder / "a.npz")
    size = len(moments.mean)
    assert moments.n >= 0 and size > 0 and moments.scatter.shape == (size, size)
    if moments.n != 1:
        assert np.isfinite(frechet_distance(moments, moments))
        assert np.isfinite(moments.covariance()).all()


def read_runs(folder: Path) -> None:
    """Compare two runs, and print what comes out, for any terminal."""
    runs = [read_run(folder / side) for side in ("base", "new")]
    for run in runs:
        pages = [render(table, "title", {}) for table in merge([run]).tables]
        assert all(len(page.encode()) < LARGEST_PAGE for page in pages)
    comparisons = compare(*runs, read_margins(brought=runs[1].metrics | runs[0].metrics))
    failing = [comparison for comparison in comparisons if comparison.verdict in FAILING]
    page = Findings(comparisons, failing, "base", "new", METRICS)
    assert len((terminal(page, everything=True) + summary(page)).encode()) < LARGEST_PAGE


def read_configuration(folder: Path) -> None:
    """A configuration that is accepted is one that a model can be built of."""
    config = open_checkpoint(folder).config
    model = DiffusionAutoencoder if config.kind == AUTOENCODER else DDIM
    with torch.device("meta"):
        model(config)


def read_weights(folder: Path) -> None:
    model = DDIM.from_pretrained(folder)
    out = model.predict_noise(torch.zeros(1, 3, 8, 8), 500)
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in model.parameters())
    assert out.shape == (1, 3, 8, 8)


def read_classifier(folder: Path) -> None:
    classifier = Classifier.load(folder / "c.safetensors")
    z = torch.zeros(1, len(classifier.probe.mean))
    assert classifier.probe.logits(z).shape == (1, len(classifier.names))
    assert classifier.move({classifier.names[0]: 0.5}).isfinite().all()


def read_stylegan2(folder: Path) -> None:
    model = stylegan2_files.read(folder / "file")
    generator = Generator(model.config)
    containers.give(generator, model.state, folder / "file")
    w = torch.zeros(1, generator.config.num_ws, generator.config.w_dim)
    image = generator.synthesis(w, generator.synthesis.noise_maps())
    assert image.shape == (1, 3, generator.config.image_size, generator.config.image_size)


def read_taming(folder: Path) -> None:
    config = read_config(folder / "last.ckpt")
    assert config.stride >= 1 and config.ch_mult
    assert config.resolution % config.stride == 0


def read_diffusers(folder: Path) -> None:
    model = diffusers_folder.find(folder)
    assert model.class_name in diffusers_folder.KINDS and model.title.isprintable()


READERS: dict[str, Callable[[Path], None]] = {
    "attributes": read_attributes,
    "table": read_table,
    "pairs": read_pairs,
    "classes": read_classes,
    "idx": read_idx,
    "webdataset": lambda folder: check(open_webdataset(folder / "a.tar", SIDE, None, 0)),
    "parquet": lambda folder: check(open_parquet(folder / "a.parquet", SIDE, None, 0)),
    "codes": read_codes,
    "statistics": read_moments,
    "runs": read_runs,
    "configuration": read_configuration,
    "weights": read_weights,
    "classifier": read_classifier,
    "stylegan2": read_stylegan2,
    "taming": read_taming,
    "diffusers": read_diffusers,
}

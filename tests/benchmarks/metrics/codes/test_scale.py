"""Every number of codes at other scales and offsets of the code, by every protocol: the same, or a reason."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from factor_codes import labelled, table

from benchmarks.metrics.codes import dci, schema
from benchmarks.metrics.codes.data import LabelColumns
from benchmarks.metrics.codes.invariant.curves import code_length, few_labels
from benchmarks.metrics.codes.table import measure
from diffae.system.errors import UserError
from probes import fit_lbfgs

PLAIN = schema.named("plain")
# Of a dimension: a scale, and an offset in deviations.
CHANGES = [(1e160, 0), (1e-310, 0), (1e-8, 0), (1e-4, 1e8)]
NEAR, ROUGH = (
    1e-4,
    0.02,
)  # the latter of trees on float32, and of votes, where an offset took digits
ONE_SCALE = ("rankme", "participation")


def codes_of_factors():
    random = np.random.default_rng(3)
    y = table((2, 3, 2), 10)
    z = np.hstack([y - 1, random.normal(size=(len(y), 1))]) @ random.normal(size=(4, 4))
    codes = labelled(z + 0.5 * random.normal(size=z.shape), y)
    age = z @ random.normal(size=(4, 1))
    names, kinds = (*codes.labels.names, "age"), (*codes.labels.kinds, "real")
    return replace(codes, labels=LabelColumns(np.hstack([y, age]), names, kinds))


def codes_of_maps():
    values = np.random.default_rng(0).normal(size=(520, 3, 4, 4))
    values += np.roll(values, 1, -1)
    y = np.random.default_rng(1).integers(2, size=(520, 1))
    return replace(labelled(values.reshape(520, -1), y), shape=(3, 4, 4))


VECTORS, MAPS = codes_of_factors(), codes_of_maps()


def changed(codes, scale, offset, channels=slice(None)):
    """The codes with some dimensions, or channels of maps, scaled and then moved."""
    count = codes.shape[0] if codes.shape else codes.values.shape[1]
    x = codes.values.reshape(len(codes.values), count, -1).copy()
    moved = x * scale + offset * scale * x.std(axis=(0, 2))[:, None]
    x[:, channels] = moved[:, channels]
    return replace(codes, values=x.reshape(codes.values.shape))


def with_few_votes(name, protocol):
    """A protocol whose numbers of votes take less time."""
    section = protocol.section(name)
    if not hasattr(section, "tables"):
        return protocol
    few = replace(section, train=300, test=100, tables=1)
    return replace(protocol, sections={**protocol.sections, schema.section_of(name): few})


def codes_for(name):
    number = schema.NUMBERS[name]
    factors = VECTORS.labels.of(VECTORS.labels.of_kind("binary", "classes"))
    return (
        MAPS
        if name in schema.SPACE
        else replace(VECTORS, labels=factors)
        if number.combinations
        else VECTORS
    )


@pytest.mark.parametrize("name", schema.NUMBERS)
def test_by_plain_no_number_depends_on_scale_and_offset_of_dimensions(name, monkeypatch):
    monkeypatch.setattr(dci, "WORTH_REFITTING", 0)  # its error takes seconds
    slow = "vae" in name or "dci" in name
    expected = pytest.approx(
        measure(name, codes_for(name), PLAIN, 0).value, abs=ROUGH if slow else NEAR
    )
    cases = [(1.0 if name in ONE_SCALE else 1e-150, 1e8, slice(1))]
    cases += [(*change, slice(None)) for change in CHANGES if not slow]
    for case in cases:
        value = measure(name, changed(codes_for(name), *case), PLAIN, 0).value
        assert value == expected, case


OF_OTHERS = [
    (protocol, name)
    for protocol in map(schema.named, schema.names())
    for name in schema.NUMBERS
    if protocol.defines(name) and protocol.section(name) != schema.NUMBERS[name].section()
]


@pytest.mark.parametrize(("protocol", "name"), OF_OTHERS, ids=lambda x: getattr(x, "name", x))
def test_by_other_protocols_a_code_that_float32_does_not_hold_has_a_reason(protocol, name):
    for channels in (slice(None), slice(1)):
        for scale, offset in CHANGES:
            codes = changed(codes_for(name), scale, offset, channels)
            if (scale, channels) == (1e-8, slice(1)):  # as collapsed dimensions of a VAE are
                continue
            with pytest.raises(
                UserError, match="standardise the codes, or take the protocol plain"
            ):
                measure(name, codes, with_few_votes(name, protocol), 0)


def test_small_dimensions_and_a_score_of_none_are_said():
    dlib = schema.named("disentanglement-lib")
    codes = changed(codes_for("mig"), 1e-8, 0, slice(1))
    notes = measure("mig", codes, dlib, 0).notes
    assert "1 of 4 dimensions have deviations under 0.001, which may count as none" in notes
    votes = with_few_votes("factor_vae", dlib)
    found = measure("factor_vae", changed(codes_for("factor_vae"), 0.01, 0), votes, 0)
    assert found.value == 0
    assert "0 as in the protocol's code: no dimension has a deviation of 0.05" in found.notes


def test_few_labels_and_the_code_length_do_not_depend_on_scale_and_offset():
    def both(codes):
        curve = few_labels(codes, 0, (16, 64), 2)
        each = curve | code_length(codes, 0, 1)
        return [estimate.value for estimate in each.values()]

    expected = both(VECTORS)
    for scale, offset in CHANGES:
        assert both(changed(VECTORS, scale, offset)) == pytest.approx(expected, abs=NEAR)


def test_a_probe_refuses_features_that_float32_loses():
    features, labels = torch.from_numpy(VECTORS.values), torch.from_numpy(VECTORS.y[:, :1])
    fit_lbfgs(features, labels)
    with pytest.raises(ValueError, match="float32 loses some of these features: standardise them"):
        fit_lbfgs(features + 1e8, labels)


def test_too_few_rows_persons_or_images_of_a_class_are_a_reason():
    y = table((2, 3), 20)
    codes = labelled(np.random.default_rng(0).normal(size=(120, 4)), y)
    one_person = replace(codes, persons=np.zeros(120, int))
    with pytest.raises(UserError, match="no rows for training, or none for the test"):
        measure("factor_vae", one_person, PLAIN, 0)
    several = replace(one_person, persons=np.r_[np.zeros(119, int), 1])
    assert measure("infom", several, schema.named("infomec"), 0).stderr is None
    three = labelled(codes.values, np.random.default_rng(1).normal(size=(120, 3)) > 0)
    three = replace(three, split=np.repeat([0, 1, 2], [2, 48, 70]))
    with pytest.raises(UserError, match="cca: needs 3 training rows for as many labels"):
        measure("cca", three, PLAIN, 0)
    classes = np.r_[np.zeros(60), np.ones(58), 2, 3][:, None]
    notes = measure("viv_by_class", labelled(codes.values, classes), PLAIN, 0).notes
    assert "left out: 2 of 4 classes of f0, of fewer than 4 images" in notes
    with pytest.raises(UserError, match="no class of f1 has 4 images; leave this label out"):
        measure(
            "viv_by_class",
            labelled(codes.values, np.hstack([y, np.arange(120)[:, None]])[:, [0, 2]]),
            PLAIN,
            0,
        )

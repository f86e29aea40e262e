"""Protocols of edits: their files, what is refused, and F1 as a mean of batches."""

import re

import numpy as np
import pytest
from sklearn.metrics import f1_score

from benchmarks.commands import options
from benchmarks.metrics.codes import schema as codes
from benchmarks.metrics.edits import f1_of_batches
from benchmarks.metrics.protocols import edits, schema
from diffae.system.errors import UserError
from reports.records.estimate import influences_on_mean

EXPECTED = {
    "diffae-edits": {"fid": (0.5,)},
    "e4e-lec": {"lec": (3.0, 8, 1.0)},
    "counterfactual-benchmark": {
        "composition": ((1, 10), "truncated", "vgg16", 64),
        "effectiveness": (64,),
    },
}


def test_the_protocols_that_ship_and_their_fields():
    assert {*edits.names()} == {*EXPECTED}
    for name, sections in EXPECTED.items():
        found = edits.named(name).sections
        assert {key: tuple(vars(one).values()) for key, one in found.items()} == sections
        assert all(one == type(one)() for one in found.values())  # the defaults are theirs


@pytest.mark.parametrize(
    "library, name, words",
    [
        (edits, "llamagen", "^llamagen is a protocol of images; edits have: counterfactual-"),
        (edits, "plain", "^plain is a protocol of images; edits have: "),
        (edits, "nashae", "^nashae is a protocol of codes; edits have: "),
        (edits, "e4e-lce", r"^no protocol 'e4e-lce'; did you mean e4e-lec\?$"),
        (schema, "e4e-lec", "^e4e-lec is a protocol of edits; images have: plain, adm"),
        (codes, "diffae-edits", "^diffae-edits is a protocol of edits; codes have: plain"),
    ],
)
def test_a_protocol_of_another_kind_is_refused_by_name(library, name, words):
    with pytest.raises(UserError, match=words):
        library.named(name)


@pytest.mark.parametrize(
    "benchmarks, given, of_images, of_edits",
    [
        ("reconstruction", "titok,plain", ("titok", "plain"), ()),
        ("edits", "e4e-lec", (), ("e4e-lec",)),
        ("reconstruction edits", "e4e-lec,titok", ("titok",), ("e4e-lec",)),
        ("reconstruction", "e4e-lec", "e4e-lec is a protocol of edits; images have", ""),
        ("edits", "titok", "titok is a protocol of images; edits have", ""),
        ("probes", "e4e-lec", "--protocol: e4e-lec is of edits, which is not asked for", ""),
        ("probes", "titok", "are of reconstruction, which is not asked for", ""),
        ("edits", "titko", "no protocol 'titko'", ""),
        ("probes", "nashae", "nashae is a protocol of codes; images have", ""),
    ],
)
def test_an_option_takes_protocols_of_what_is_measured(benchmarks, given, of_images, of_edits):
    arguments = [*benchmarks.split(), "--protocol", given, "--profile", "smoke"]
    if isinstance(of_images, str):
        with pytest.raises(UserError, match=re.escape(of_images)):
            options.parse(arguments, "")
        return
    found = options.parse(arguments, "")
    assert (found.protocols, found.edit_protocols) == (of_images, of_edits)
    assert (found.cropped is None) == (len(of_images) != 1)


def test_a_file_of_ones_own_is_read_as_what_is_measured_first(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('title = "mine"\ncode = "a/b@1 c.py"\n[fid]\nquantile = [2.0, "l.1"]\n')
    with pytest.raises(UserError, match="fid.quantile must be at most 1, not 2"):
        options.parse(["edits", "--protocol", str(path)], "")
    path.write_text(path.read_text().replace("2.0", "0.8"))
    found = options.parse(["edits", "--protocol", str(path)], "")
    assert edits.named(found.edit_protocols[0]).sections["fid"].quantile == 0.8
    with pytest.raises(UserError, match="no section 'fid'"):
        options.parse(["reconstruction", "--protocol", str(path)], "")


def test_f1_is_the_mean_of_batches():
    """By scikit-learn, also of a batch where nothing is seen nor should be; without each image again."""
    rng = np.random.default_rng(0)
    target, seen = rng.random(45) < 0.4, rng.random(45) < 0.5
    target[16:24] = seen[16:24] = False
    target[24:32] = False

    def by_scikit_learn(keep):
        batches = [np.arange(i, min(i + 8, 45)) for i in range(0, 45, 8)]
        batches = [batch[keep[batch]] for batch in batches]
        return [f1_score(target[b], seen[b], zero_division=0) for b in batches if len(b)]

    found, each = f1_of_batches(target, seen, 8)
    every = np.ones(45, bool)
    np.testing.assert_allclose(each, by_scikit_learn(every))
    assert found.value == pytest.approx(np.mean(each)) and each[2] == each[3] == 0
    without = np.array([np.mean(by_scikit_learn(np.arange(45) != i)) for i in range(45)])
    expected = np.sqrt(44 / 45) * (found.value - without)
    np.testing.assert_allclose(found.influence, expected, atol=1e-12)


def test_the_error_of_f1_is_its_spread():
    rng, found = np.random.default_rng(0), []
    for _ in range(300):
        target = rng.random(256) < 0.5
        found.append(f1_of_batches(target, target ^ (rng.random(256) < 0.2), 64)[0])
    spread = np.std([one.value for one in found])
    stated = np.mean([np.sqrt(np.square(one.influence).sum()) for one in found])
    assert stated == pytest.approx(spread, rel=0.1)


def test_one_batch_of_all_is_the_f1_and_an_accuracy_has_the_error_of_a_mean():
    target, seen = np.ones(30, bool), np.arange(30) < 24
    found, _ = f1_of_batches(target, seen, 30)
    assert found.value == pytest.approx(2 * 24 / (2 * 24 + 6))
    error = np.sqrt(np.square(found.influence).sum())
    slope = 2 / (1 + 0.8) ** 2  # of 2 p / (1 + p) by p
    assert error == pytest.approx(
        slope * np.linalg.norm(influences_on_mean(seen, "")[0].values), rel=0.02
    )

"""Numbers of the space of codes against closed forms, constants, and the codes that they are of."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks.metrics.codes import schema
from benchmarks.metrics.codes.data import Codes, LabelColumns
from benchmarks.metrics.codes.space import gaussian, places, scaled
from benchmarks.metrics.codes.table import measure
from diffae.system.errors import UserError

PLAIN = schema.named("plain")
OF_VECTORS = ("viv", "code_fd", "epps_pulley", "twonn", "density_cv")
OF_MAPS = ("sec_25", "sec_50", "lds", "cds", "rmsc")
LEJEPA = 15.043158086
IREPA = [
    ("lds", 4, 0.046394879), ("cds", 4, 0.0094511908), ("rmsc", 4, 0.48331107),
    ("lds", 8, 0.091870337), ("cds", 8, 0.008504669), ("rmsc", 8, 0.54057398),
    ("lds", 16, 0.090843338), ("cds", 16, 0.0086998328), ("rmsc", 16, 0.54396194),
]  # fmt: skip
LAM = np.array([4, 2, 1, 0.5, 0.25, 0.1])


def white(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def codes_of(values, **more):
    shape = values.shape[1:] if values.ndim == 4 else None
    return Codes(values.reshape(len(values), -1), shape=shape, **more)


def number(name, values, protocol=PLAIN, **fields):
    for field, value in fields.items():
        protocol = protocol.changed(f"{schema.section_of(name)}.{field}", value)
    codes = values if isinstance(values, Codes) else codes_of(values)
    return measure(name, codes, protocol, 0)


def is_near(found, expected, sigmas=4.0):
    return abs(found.value - expected) < sigmas * found.stderr


def labelled(values, *columns, kind="classes", **more):
    names = tuple(map(str, range(len(columns))))
    return codes_of(
        values, labels=LabelColumns(np.stack(columns, 1), names, (kind,) * len(names)), **more
    )


# ----------------------------------------------------------------------------------------------
# Distances from normal noise


def test_gaussian_vectors_have_the_closed_forms():
    x = white(20_000, 6) * np.sqrt(LAM)
    assert is_near(number("viv", x, scaling="none"), np.pi / 2 * np.sqrt(LAM).mean())
    assert is_near(number("code_fd", x, scaling="none"), np.square(np.sqrt(LAM) - 1).mean())
    shifted = number("code_fd", x + 3, scaling="none").value
    assert shifted == pytest.approx(number("code_fd", x, scaling="none").value + 9, rel=0.02)


def test_a_map_of_one_channel_has_the_closed_forms():
    """Its deviation is 3 and its mean 2, but lds, cds and rmsc see signs alone, where the cosine of two is 0 on average."""
    z = 3 * white(2_000, 1, 6, 6) + 2
    assert number("code_fd", z, scaling="none").value == pytest.approx(2**2 + 2**2, rel=0.01)
    assert number("viv", z, scaling="none").value == pytest.approx(np.pi / 2 * 3, rel=0.01)
    share = (np.add.outer(np.arange(6), np.arange(6)) > 5).mean()
    assert is_near(number("sec_50", z), share)
    for name, expected in {"lds": 0, "cds": 0, "rmsc": (1 - 1 / 36) ** 0.5}.items():
        assert number(name, z).value == pytest.approx(expected, abs=0.03), name
    with pytest.raises(UserError, match="at least two channels, not 2000 of 1"):
        number("density_cv", z)


def test_viv_of_maps_is_that_of_channels_times_places():
    random = np.random.default_rng(1)
    of_channels, of_places = random.exponential(size=8), random.exponential(size=36)
    truth = np.pi / 2 * np.sqrt(np.outer(of_channels, of_places)).mean()
    scale = np.sqrt(of_channels[:, None] * of_places).reshape(8, 6, 6)
    turned = np.einsum("cd,ndhw->nchw", np.linalg.qr(white(8, 8))[0], white(2_000, 8, 6, 6) * scale)
    assert number("viv", turned, scaling="none").value == pytest.approx(truth, rel=0.003)


@pytest.mark.parametrize("kind", ["smooth", "rank deficient", "persons, a constant channel"])
@pytest.mark.parametrize("scaling", ["per channel", "none"])
def test_many_places_have_the_numbers_and_errors_of_few(monkeypatch, kind, scaling):
    """The moments of images and the Cholesky factors agree with normalising anew and with eigenvectors."""
    z = 3 * np.einsum("cd,ndhw->nchw", white(6, 6), white(330, 6, 5, 6, seed=1)) + 20
    z += np.roll(z, 1, axis=3) / 2
    codes, exact = codes_of(z), 1e-9
    if kind == "rank deficient":  # the square roots of eigenvalues near 0 are rounding
        z[:, 1] = z[:, 0] / 3 + 0.7 * z[:, 2]
        codes, exact = codes_of(1e3 * z.repeat(2, axis=3)), 1e-5
    elif kind != "smooth":
        z[:, 2] = 1
        codes = codes_of(z, persons=np.arange(330) // 3)
        exact = 1e-9 if scaling == "per channel" else 1e-5
    for name, choices in {"viv": {}, "code_fd": {}, "epps_pulley": {"slices": 16}}.items():
        of_few = number(name, codes, scaling=scaling, **choices)
        monkeypatch.setattr(scaled, "MANY", 30)
        of_many = number(name, codes, scaling=scaling, **choices)
        monkeypatch.undo()
        assert of_many.value == pytest.approx(of_few.value, rel=exact), name
        assert of_many.stderr == pytest.approx(of_few.stderr, rel=exact), name
        assert (of_many.notes, of_many.n) == (of_few.notes, of_few.n)


def test_viv_by_class_takes_what_classes_explain():
    """Classes of equal shape, far apart: their own VIV, whatever the marginal is."""
    y = np.repeat(np.arange(4.0), 1_000)
    x = white(4_000, 6) * np.sqrt(LAM) + 20 * y[:, None]
    found = number("viv_by_class", labelled(x, y), scaling="none")
    assert is_near(found, np.pi / 2 * np.sqrt(LAM).mean())
    assert number("viv", x, scaling="none").value > 5 * found.value


@pytest.mark.parametrize(("scale", "shift", "excess"), [(0.5, 0, 0.1512), (2, 0, 0.2361), (1, 0.5, 0.1181), (1, 1, 0.4443)])  # fmt: skip
def test_epps_pulley_of_other_normals_grows_with_n(scale, shift, excess):
    x = norm.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None] * scale + shift
    codes = labelled(x, np.zeros(len(x)))
    found = gaussian.epps_pulley(codes, gaussian.EppsPulley("none", 2, False), 0)
    assert found.value / len(x) == pytest.approx(excess, abs=0.0002)


def test_epps_pulley_of_normal_codes_is_1_on_average_at_every_n():
    how = gaussian.EppsPulley("none", 6)
    for n in (50, 200):
        each = [
            gaussian.epps_pulley(codes_of(white(n, 3, seed=k)), how, 0).value for k in range(100)
        ]
        assert np.mean(each) == pytest.approx(1, abs=4 * np.std(each) / 80**0.5)


def test_epps_pulley_is_that_of_lejepa():
    """Golden value of rbalestr-lab/lejepa@eddffdd, run on these codes with 1,024 slices of step 3."""
    z = white(300, 7) * 1.3 + 0.2
    found = measure("epps_pulley", codes_of(z), schema.named("lejepa"), 3)
    assert found.value == pytest.approx(LEJEPA, rel=1e-6)


# ----------------------------------------------------------------------------------------------
# Places of a map


@pytest.mark.parametrize(
    ("side", "quarter", "half"),
    [(2, 0.75, 0.25), (4, 0.812, 0.375), (8, 0.844, 0.438), (16, 0.859, 0.469), (32, 0.867, 0.484)],
)
def test_white_maps_have_the_share_of_the_frequencies(side, quarter, half):
    for share, expected in ((0.25, quarter), (0.5, half)):
        assert places.high(side, side, share).mean() == pytest.approx(expected, abs=0.0006)
    x = white(100, 4, side, side)
    assert side > 16 or is_near(number("sec_25", x), places.high(side, side, 0.25).mean())
    if 2 < side < 32:
        assert is_near(number("lds", x), 0) and is_near(number("cds", x), 0)


def test_a_correlation_that_decays_with_the_distance_has_its_slope():
    """Separable fields whose correlation is rho^d at Manhattan distance d, of many channels."""
    rho, side, distance = 0.7, 8, np.arange(15)
    root = np.linalg.cholesky(rho ** np.abs(np.subtract.outer(np.arange(side), np.arange(side))))
    x = np.einsum("ij,ncjk,lk->ncil", root, white(60, 500, side, side), root)
    assert np.mean(places.cosines(x), axis=0) == pytest.approx(rho**distance, abs=0.02)
    assert number("cds", x).value == pytest.approx(
        -np.polyfit(distance[1:9], rho ** distance[1:9], 1)[0], abs=0.002
    )
    far = rho**distance @ places.pairs(side, side, 6)
    assert number("lds", x).value == pytest.approx(rho - far, abs=0.005)


def test_one_vector_at_all_places_has_no_structure_and_a_checkerboard_the_opposite():
    same = np.broadcast_to(white(60, 5, 1, 1), (60, 5, 8, 8))
    for name in OF_MAPS:
        assert number(name, same).value == pytest.approx(0, abs=1e-12)
    sign = (-1.0) ** np.indices((8, 8)).sum(0)
    assert places.cosines(same * sign)[:, 1] == pytest.approx(-1)


def test_far_places_are_those_of_the_protocol():
    z = white(64, 5, 4, 4) + np.roll(white(64, 5, 4, 4), 1, 2)
    found, theirs = number("lds", z), number("lds", z, far="6 places")
    assert "far: 3 places or more" in found.notes and "far: 6 places or more" in theirs.notes
    corners = np.einsum("nc,nc->n", *(of(z) for of in (_first, _last))).mean()
    others = np.einsum("nc,nc->n", *(of(z[..., ::-1]) for of in (_first, _last))).mean()
    local = theirs.value + (corners + others) / 2
    assert local == pytest.approx(places.cosines(_scaled(z))[:, 1].mean(), abs=1e-9)


def _scaled(z):
    return (z - z.mean((0, 2, 3), keepdims=True)) / z.std((0, 2, 3), keepdims=True, ddof=1)


def _first(z):
    one = _scaled(z)[:, :, 0, 0]
    return one / np.linalg.norm(one, axis=1, keepdims=True)


def _last(z):
    one = _scaled(z)[:, :, -1, -1]
    return one / np.linalg.norm(one, axis=1, keepdims=True)


@pytest.mark.parametrize(("name", "side", "expected"), IREPA)
def test_spatial_numbers_are_those_of_irepa(name, side, expected):
    """Golden values of End2End-Diffusion/iREPA@99ad4ac, run on these maps."""
    z = white(64, 5, side, side, seed=side) + white(1, 5, 1, 1, seed=1)
    z = z + np.roll(z, 1, 2) + np.roll(z, 1, 3)
    found = measure(name, codes_of(z), schema.named("irepa"), 0)
    assert found.value == pytest.approx(expected, rel=2e-6)


# ----------------------------------------------------------------------------------------------
# Codes among each other


@pytest.mark.parametrize("d", [1, 2, 5])
def test_two_neighbours_tell_the_dimension(d):
    x = white(4_000, d) @ white(d, 20, seed=2)
    assert number("twonn", x, scaling="none").value == pytest.approx(d, rel=0.06)


def test_equal_codes_are_no_neighbours():
    x = white(1_000, 2)
    found = number("twonn", np.concatenate([x, x[:300]]), scaling="none")
    assert found.value == pytest.approx(number("twonn", x, scaling="none").value)
    assert found.n == 1_000 and "equal codes left out: 300" in found.notes


def test_a_pair_that_is_nearly_equal_is_two_codes_of_many():
    """Its distance is lost in |x|^2 + |y|^2 - 2 xy, and was 0 or that to itself: so was the dimension."""
    x = white(1_000, 2)
    x[1] = x[0] + 1e-9
    found = number("twonn", x, scaling="none")
    ratios = [np.diff(np.log(np.sort(np.linalg.norm(x - one, axis=1))[1:3])) for one in x]
    assert found.value == pytest.approx(1 / np.mean(ratios), rel=1e-9)
    assert 1.8 < found.value < 2.2 and found.stderr < 0.2


@pytest.mark.parametrize("plane, expected", [("normal", 0.543), ("square", 0.202)])
def test_the_density_of_plane_codes(plane, expected):
    """Constants of 2,000 codes; a square is uneven by its border alone."""
    random = np.random.default_rng(0)
    x = random.standard_normal((2_000, 2)) if plane == "normal" else random.random((2_000, 2))
    assert number("density_cv", x).value == pytest.approx(expected, abs=0.02)


def test_the_density_of_maps_and_its_error_are_those_of_the_places_that_are_drawn_first():
    """Places have unlike distributions: drawn anew for what is left they made the error larger."""
    x = white(600, 2, 4, 4) * np.linspace(0.1, 3, 16).reshape(4, 4)
    drawn = np.random.default_rng(0).integers(16, size=600)
    vectors = x.reshape(600, 2, 16)[np.arange(600), :, drawn]
    of_maps, of_vectors = (number("density_cv", z, scaling="none") for z in (x, vectors))
    assert of_maps.value == pytest.approx(of_vectors.value, rel=1e-9)
    assert of_maps.stderr == pytest.approx(of_vectors.stderr, rel=1e-6)


@pytest.mark.parametrize("shape", [pytest.param((4,), marks=pytest.mark.slow), (4, 4, 4)])
def test_the_error_of_the_density_is_twice_its_spread_of_maps_as_of_vectors(shape):
    """1.9 and 2.1 over these draws, as docs/codes.md says (1.5 to 2.4); of places drawn anew it was 6."""
    found = [number("density_cv", white(500, *shape, seed=seed)) for seed in range(20)]
    spread = np.std([one.value for one in found], ddof=1)
    assert 1.5 < np.sqrt(np.mean([one.stderr**2 for one in found])) / spread < 2.8


def test_neighbours_have_the_label_of_a_cluster_and_by_chance_its_share():
    y = np.repeat([0.0, 1, 1, 1], 250)
    x = white(1_000, 3)
    far = x + 50 * y[:, None] * [1, -1, 0]
    assert number("lnc", labelled(far, y)).value > 0.99
    found = number("lnc", labelled(x, y))
    assert is_near(found, 0.625) and found.notes[-1] == "by chance 0.6250"


def test_errors_of_white_codes_have_closed_forms():
    """A share r of N squares of normal numbers has the variance 2 r (1 - r) / N, and the logarithm of the
    ratio of the distances of two neighbours is exponential.
    """
    r, squares = places.high(8, 8, 0.5).mean(), 400 * 4 * 8 * 8
    found = number("sec_50", white(400, 4, 8, 8)).stderr
    assert found == pytest.approx((2 * r * (1 - r) / squares) ** 0.5, rel=0.15)
    found = number("twonn", white(2_000, 3), scaling="none").stderr
    assert found == pytest.approx(3 / 2_000**0.5, rel=0.15)


def test_a_person_is_no_neighbour_of_themself():
    """Pictures of one person are equal and share a label that nothing else tells."""
    persons = np.repeat(np.arange(300), 3)
    y = np.repeat(np.random.default_rng(1).integers(2, size=300).astype(float), 3)
    x = np.repeat(white(300, 3), 3, axis=0) + 1e-6 * white(900, 3, seed=4)
    assert is_near(number("lnc", labelled(x, y, persons=persons), neighbours=2), 0.5)
    assert number("lnc", labelled(x, y), neighbours=2).value > 0.99


# ----------------------------------------------------------------------------------------------
# What they do not change with, and what they refuse


@pytest.mark.parametrize("name", [*OF_VECTORS, "lnc"])
def test_scale_and_offset_of_a_number_of_a_vector_change_nothing(name):
    x, y = white(600, 5) @ white(5, 5, seed=3), np.arange(600.0) % 3
    moved = x * [1, 2, 5, 0.1, 3] + [1, 0, -7, 0, 2]
    found = [number(name, labelled(of, y)).value for of in (x, moved)]
    assert found[0] == pytest.approx(found[1], rel=1e-9)


@pytest.mark.parametrize("name", [*OF_MAPS, *OF_VECTORS])
def test_scale_and_offset_of_a_channel_change_nothing(name):
    z = white(600, 3, 4, 4) + np.roll(white(600, 3, 4, 4), 1, 3)
    moved = z * np.array([1, 7, 0.1])[:, None, None] + np.array([4, 0, -2])[:, None, None]
    assert number(name, z).value == pytest.approx(number(name, moved).value, rel=1e-7)


@pytest.mark.parametrize("name", ["viv", "sec_25", "lds", "cds", "rmsc", "twonn", "code_fd"])
def test_a_rotation_of_channels_changes_nothing_but_by_the_scaling(name):
    z = (white(600, 4, 4, 4) + 2 * np.roll(white(600, 4, 4, 4), 1, 3)) * np.array([3, 1, 1, 0.2])[:, None, None]  # fmt: skip
    z[:, 0] += np.linspace(0, 9, 4)  # a channel whose places differ otherwise
    turned = np.einsum("cd,ndhw->nchw", np.linalg.qr(white(4, 4, seed=5))[0], z)
    alone = [number(name, of, scaling="none").value for of in (z, turned)]
    scaled = [number(name, of).value for of in (z, turned)]
    assert alone[0] == pytest.approx(alone[1], rel=1e-6)
    assert scaled[0] != pytest.approx(scaled[1], rel=1e-3)


def test_a_copy_of_all_channels_halves_the_directions():
    z = white(600, 4, 4, 4) + np.roll(white(600, 4, 4, 4), 1, 3)
    twice = np.concatenate([z, z], axis=1)
    for name in ("sec_25", "lds", "cds", "rmsc"):
        assert number(name, z).value == pytest.approx(number(name, twice).value, rel=1e-9)
    assert number("viv", twice).value == pytest.approx(number("viv", z).value / 2**0.5, rel=1e-3)


def test_a_constant_channel_is_left_out_and_counted():
    z = white(600, 3, 4, 4)
    with_one = np.concatenate([z, np.ones((600, 1, 4, 4))], axis=1)
    for name in (*OF_MAPS, "viv", "code_fd"):
        found = number(name, with_one)
        assert found.value == pytest.approx(number(name, z).value, rel=1e-12)
        assert "constant channels left out: 1 of 4" in found.notes


@pytest.mark.parametrize("name", [*OF_VECTORS, *OF_MAPS])
def test_a_constant_encoder_is_undefined(name):
    with pytest.raises(UserError, match="every channel of the codes is constant"):
        number(name, np.ones((600, 3, 4, 4)))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("viv", white(79, 8), "viv: not defined for 79 codes of 8 x 1 numbers; give at least 80"),
        ("viv", white(50, 2, 16, 16), "not defined for 50 codes of 2 x 256 numbers; give at least 1,280"),
        ("code_fd", white(50, 40), "not defined for 50 codes of 40 numbers; give at least 80"),
        ("lds", white(60, 2, 3, 8), "needs maps of at least 4 x 4 places; these codes are maps of 3 x 8"),
        ("sec_25", white(60, 20), "needs maps of at least 2 x 2 places; these codes are vectors"),
        ("twonn", np.repeat(white(60, 3), 10, axis=0), "needs at least 500 distinct codes, not 60"),
        ("density_cv", white(600, 1), "needs 500 codes of at least two channels, not 600 of 1"),
        ("viv_by_class", labelled(white(60, 2), np.arange(60.0)), "no class of 0 has 4 images"),
        ("lnc", labelled(white(60, 2), np.arange(60.0) % 2, persons=np.arange(60) // 55), "needs more than"),
    ],
)  # fmt: skip
def test_what_is_not_defined_is_refused(name, values, message):
    with pytest.raises(UserError, match=message.removeprefix("viv: ")):
        number(name, values)


def test_maps_of_a_file_keep_their_shape(tmp_path):
    from benchmarks.measuring.codes import read

    z = white(60, 3, 4, 5)
    np.savez(tmp_path / "codes.npz", codes=z)
    found, _ = read(tmp_path / "codes.npz")
    assert found.shape == (3, 4, 5)
    assert np.array_equal(found.values.reshape(z.shape), z)
    assert found.of(np.arange(7)).shape == (3, 4, 5)
    assert replace(found, shape=None).values.shape == (60, 60)


def test_maps_and_vectors_of_the_same_numbers_have_keys_of_their_own():
    codes = codes_of(white(60, 3, 4, 4))
    others = (replace(codes, shape=shape) for shape in (None, (4, 3, 4), (3, 4, 4)))
    assert [one.digests == codes.digests for one in others] == [False, False, True]

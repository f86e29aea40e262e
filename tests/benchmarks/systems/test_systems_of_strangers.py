"""Systems that violate the protocol: one line that names system and method, and a row."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from dummies import Perfect
from lone_context import NoDistance
from torch import nn

from benchmarks import systems
from benchmarks.commands import dry_run
from benchmarks.core.runner.evaluation import rows
from benchmarks.runtime.calling import notes_on_clamped
from benchmarks.systems import Code, System, SystemFailed
from benchmarks.systems.protocol import checked, trial
from benchmarks.systems.protocol.base import (
    DECODE,
    ENCODE,
    PREDICT_X0,
    SAMPLE,
    SAMPLE_LATENTS,
    SEMANTIC,
    STOCHASTIC,
)
from benchmarks.tasks.reconstruction import reconstruction
from diffae.system.errors import UserError

CPU = torch.device("cpu")
SIZE, DIM = 32, 8


class Good(System):
    """Does everything, and keeps the contract."""

    title = "My model"
    capabilities = frozenset(
        {ENCODE, DECODE, SEMANTIC, STOCHASTIC, SAMPLE, SAMPLE_LATENTS, PREDICT_X0}
    )
    image_size, semantic_dim, latent_dim = SIZE, DIM, DIM + 3 * SIZE**2
    fingerprint = "1"

    def __init__(self, path, device):
        pass

    def encode_semantic(self, images):
        return images.flatten(1)[:, :DIM]

    def encode_stochastic(self, images, semantic, steps):
        return images

    def decode(self, code, steps=100):
        return code.x_T

    def sample_latents(self, indices, seed, steps):
        return torch.zeros(len(indices), DIM)

    def sample(self, indices, seed, steps):
        return torch.zeros(len(indices), 3, SIZE, SIZE)

    def predict_x0(self, images_noised, t, semantic):
        return images_noised.clamp(-1, 1)

    def read(self, semantic):
        return 2 * semantic

    def move(self, semantic, delta):
        return semantic + delta / 2

    def edit(self, code, attribute, target, strength):
        return code


def build(factory) -> checked.Checked:
    return checked.build("mine", factory, None, CPU)


def returning(method: str, change: Callable) -> type[System]:
    """Good, but `change` is done to what `method` returns."""

    def wrong(self, *arguments):
        return change(getattr(Good, method)(self, *arguments))

    return type("Wrong", (Good,), {method: wrong})


def images(count=4):
    return torch.rand(count, 3, SIZE, SIZE) * 2 - 1


ARGUMENTS = {
    "encode": lambda x, z: (x, 2),
    "encode_semantic": lambda x, z: (x,),
    "encode_stochastic": lambda x, z: (x, z, 2),
    "decode": lambda x, z: (Code(z, x), 2),
    "sample_latents": lambda x, z: (range(4), 0, 2),
    "sample": lambda x, z: (range(4), 0, 2),
    "predict_x0": lambda x, z: (x, 10, z),
    "add_noise": lambda x, z: (x, 10, x),
    "random_x_T": lambda x, z: (range(4), 0),
    "read": lambda x, z: (z,),
    "move": lambda x, z: (z, z),
    "edit": lambda x, z: (Code(z, x), "Smiling", True, 1.0),
    "tokens": lambda x, z: (Code(z, x),),
    "solving": lambda x, z: ("fast",),
    "unclamped": lambda x, z: (),
    "networks": lambda x, z: (),
    "fit": lambda x, z: ([x],),
}


def call(system: System, method: str) -> object:
    return getattr(system, method)(*ARGUMENTS[method](images(), torch.zeros(4, DIM)))


def test_a_good_system_gets_through():
    system = build(Good)
    for method in ARGUMENTS:
        call(system, method)
    code = system.encode(images())
    assert code.semantic.shape == (4, DIM) and code.x_T.shape == (4, 3, SIZE, SIZE)


# ----------------------------------------------------------------------------------------------
# What methods return


def raising(error: BaseException):
    def change(_):
        raise error

    return change


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("not even that")


def with_one(value: float):
    def change(tensor):
        tensor = tensor.clone()
        tensor[1, 0] = value
        return tensor

    return change


RETURNED = [
    ("decode", lambda x: x.permute(0, 2, 3, 1), "returned 4 x 32 x 32 x 3, not 4 x 3 x 32 x 32"),
    ("decode", lambda x: None, "returned None, not a Tensor"),
    ("decode", lambda x: x.long(), "returned int64, not floating point"),
    ("decode", lambda x: x.to_sparse(), "raised NotImplementedError"),
    ("decode", lambda x: x.to("meta"), "raised NotImplementedError"),
    ("decode", lambda x: x[:3], "returned 3 x 3 x 32 x 32, not 4 x 3 x 32 x 32"),
    ("decode", lambda x: x.mean(), "returned a single number, not 4 x 3 x 32 x 32"),
    ("decode", with_one(torch.nan), "returned 1,024 of 12,288 values not finite"),
    ("decode", lambda x: 1e300 * x.double(), "values not finite"),
    ("decode", lambda x: (x + 1) * 127.5, "images are in [-1, 1]"),
    ("decode", with_one(3e38), "to 3e+38; images are in [-1, 1]"),
    ("decode", raising(RuntimeError("two\nlines")), "raised RuntimeError: two lines (test_"),
    ("decode", raising(SystemExit(0)), "raised SystemExit: 0"),
    ("decode", raising(Unspeakable()), "raised Unspeakable"),
    ("decode", raising(UserError("no such layer")), "no such layer"),
    ("sample", lambda x: 200 * (x + 1), "returned values from 200 to 200"),
    ("predict_x0", with_one(torch.nan), "values not finite"),
    ("encode", lambda code: (code.semantic, code.x_T), "returned tuple, not a Code"),
    ("encode", lambda code: replace(code, semantic=None), "returned None, not a Tensor"),
    ("encode", lambda code: replace(code, x_T=code.x_T[..., :16]), "returned 4 x 3 x 32 x 16, not"),
    ("encode_semantic", lambda z: z[:, :5], "returned 4 x 5, not 4 x 8"),
    ("encode_semantic", with_one(torch.nan), "returned 1 of 32 values not finite"),
    ("encode_semantic", with_one(-2e18), "returned numbers beyond 1e+18"),
    ("encode_stochastic", lambda x: x[:, :, :16], "returned 4 x 3 x 16 x 32, not 4 x 3 x 32 x 32"),
    ("sample_latents", lambda z: z.T, "returned 8 x 4, not 4 x 8"),
    ("add_noise", lambda x: x.sum(1), "returned 4 x 32 x 32, not 4 x 3 x 32 x 32"),
    ("random_x_T", lambda x: x[:, :, 0], "returned 4 x 3 x 32, not 4 x 3 x 32 x 32"),
    ("networks", lambda networks: {"decoder": torch.tanh}, "not a Module"),
    ("networks", lambda networks: None, "returned None, not a dict"),
    ("solving", lambda system: None, "returned None, not a Wrong"),
    ("unclamped", lambda system: None, "returned None, not a Wrong"),
    ("tokens", lambda tokens: (7,), "raised ValueError"),
    ("tokens", lambda tokens: None, "raised TypeError"),
    ("edit", lambda code: None, "returned None, not a Code"),
    ("edit", lambda code: replace(code, x_T=code.x_T[:, :1]), "returned 4 x 1 x 32 x 32, not"),
    ("move", lambda z: z[:, :5], "returned 4 x 5, not 4 x 8"),
    ("read", lambda z: z.sum(), "returned a single number, not 4 x any"),
    ("fit", raising(ValueError("too few")), "raised ValueError: too few"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "change", "words"), RETURNED)
def test_what_a_method_returns_is_refused_by_system_and_method(method, change, words):
    system = build(returning(method, change))
    with pytest.raises(SystemFailed) as failure:
        call(system, method)
    line = str(failure.value)
    assert line.startswith(f"system 'mine', {method}: ") and words in line and "\n" not in line


def test_attributes_are_guarded_as_methods_are():
    """A property may return anything too, and raise."""
    for said, words in ((None, "None, not a dict"), ({"book": "8"}, "str, not a int")):
        with pytest.raises(SystemFailed, match=f"'mine', codebooks: returned {words}"):
            build(saying(codebooks=said)).codebooks  # noqa: B018
    with pytest.raises(SystemFailed, match="'mine', codebooks: raised RuntimeError: not yet"):
        build(saying(codebooks=property(complaining))).codebooks  # noqa: B018
    with pytest.raises(SystemFailed, match="'mine', decode: raised TypeError: 'int' object is not"):
        call(build(saying(decode=3)), "decode")
    with pytest.raises(SystemFailed, match="'says', name: raised RuntimeError: not yet"):
        systems.as_system(saying(name=property(complaining))(None, CPU))
    live = nn.Linear(2, 2)
    live.state_dict = lambda **options: complaining(live)
    with pytest.raises(SystemFailed, match="'mine', fields: raised RuntimeError: not yet"):
        build(saying(live=live))


def test_methods_beyond_the_protocol_are_guarded():
    more = build(saying(grad=lambda self: torch.is_grad_enabled(), more=complaining, size=3))
    assert more.grad() is False and more.size == 3 and not hasattr(more, "less")
    with pytest.raises(SystemFailed, match="'mine', more: raised RuntimeError: not yet"):
        more.more()


def test_another_solver_is_a_field_of_its_variant():
    def solving(self, solver):
        variant = type(self)(None, CPU)
        variant.solver = solver
        return variant

    with pytest.raises(SystemFailed, match="solving: solver must be a Scheme, not 'fast'"):
        build(saying(solving=solving)).solving("fast")


def test_ctrl_c_is_nobodys_failure():
    with pytest.raises(KeyboardInterrupt):
        call(build(returning("decode", raising(KeyboardInterrupt()))), "decode")


def test_numbers_in_a_code_are_counted():
    system = build(type("Short", (Good,), {"latent_dim": 99}))
    with pytest.raises(
        SystemFailed, match="encode: returned 3080 numbers per image, not 99: set lat"
    ):
        call(system, "encode")


def test_images_of_another_size_are_not_taken():
    for wrong in (torch.zeros(4, 3, 16, 16), torch.zeros(4, 1, 32, 32), torch.zeros(4, 3, 32)):
        with pytest.raises(UserError, match=r"encode_semantic: takes float images N x 3 x 32 x 32"):
            build(Good).encode_semantic(wrong)
    with pytest.raises(UserError, match="was given 4 x 3 x 32 x 32 of uint8"):
        build(Good).encode_semantic(torch.zeros(4, 3, 32, 32, dtype=torch.uint8))
    wide = build(saying(stride=8))
    assert wide.encode_semantic(torch.zeros(4, 3, 8, 16)).shape == (4, DIM)
    with pytest.raises(
        UserError, match=r"N x 3 x S x S \(S a multiple of 8\), was given 4 x 3 x 8 x 12"
    ):
        wide.encode_semantic(torch.zeros(4, 3, 8, 12))


# ----------------------------------------------------------------------------------------------
# What is put right without a word


def inference(x):
    with torch.inference_mode():
        return x.clone()


def with_gradient(x):
    with torch.enable_grad():
        return x.clone().requires_grad_(True) * 1


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.half(),
        lambda x: x.bfloat16(),
        lambda x: x.double(),
        with_gradient,
        inference,
        lambda x: x.to(memory_format=torch.channels_last),
        lambda x: nn.Parameter(x),
    ],
)
def test_dtype_gradient_and_layout_are_put_right(change):
    x = torch.linspace(-1, 1, 3 * SIZE**2).reshape(1, 3, SIZE, SIZE)
    for method in ("decode", "encode_stochastic"):
        system = build(returning(method, change))
        arguments = (Code(torch.zeros(1, DIM), x), 2) if method == "decode" else (x, None, 2)
        output = getattr(system, method)(*arguments)
        assert output.dtype == torch.float32 and not output.requires_grad
        assert type(output) is torch.Tensor and not output.is_inference()
        torch.testing.assert_close(output, x, rtol=0, atol=0.005)


def test_a_system_that_writes_into_its_input_changes_nothing_of_ours():
    class Writer(Good):
        def encode_semantic(self, images):
            return images.mul_(0).flatten(1)[:, :DIM]

        def decode(self, code, steps=100):
            return code.x_T.zero_()

    system, x = build(Writer), images()
    before = x.clone()
    system.encode_semantic(x)
    system.decode(Code(torch.zeros(4, DIM), x))
    assert torch.equal(x, before)


def test_methods_run_without_gradients():
    class Asks(Good):
        def decode(self, code, steps=100):
            assert not torch.is_grad_enabled()
            return code.x_T

    call(build(Asks), "decode")
    assert torch.is_grad_enabled()


# ----------------------------------------------------------------------------------------------
# Overshoot


def overshooting(x):
    """Of every 100 values, 2 lie outside [-1, 1]."""
    flat = torch.zeros(x.numel())
    flat[::100], flat[1::100] = 1.5, -1.2
    return flat.reshape(x.shape)


@pytest.mark.parametrize("method", ["decode", "sample", "predict_x0"])
def test_a_little_outside_is_clamped_and_counted(method):
    system = build(returning(method, overshooting))
    output = call(system, method)
    assert (output.min(), output.max()) == (-1, 1)
    counts = system.outside.take()
    ((outside, total),) = counts.values()
    assert total == 4 * 3 * SIZE**2 and outside == 246
    [(_, note)] = notes_on_clamped([counts], (0, 1))
    assert note == f"2 % of the values of {method} lay outside [0, 1] and were clamped"
    assert not list(notes_on_clamped([{name: np.array([1, 100]) for name in counts}], (0, 1)))
    assert not system.outside.take()


def test_what_lies_outside_is_kept_where_it_is_asked_for_and_another_range_is_still_refused():
    system = build(returning("decode", lambda x: overshooting(x) * 4))
    output = call(system.unclamped(), "decode")
    assert output.max() == 6 and output.min() == pytest.approx(-4.8)
    counts = [system.outside.take()]
    for unclamped, ending in ((True, "not clamped"), (False, "clamped")):
        [(_, note)] = notes_on_clamped(counts, (-1, 1), unclamped)
        assert note.endswith(f"2 % of the values of decode lay outside [-1, 1] and were {ending}")
    with pytest.raises(SystemFailed, match="returned values from -4.8 to 6"):
        call(system, "decode")
    bytes_ = build(returning("decode", lambda x: 127.5 * (x.clamp(-1, 1) + 1)))
    with pytest.raises(SystemFailed, match="mean a different range"):
        call(bytes_.unclamped(), "decode")


def test_rounding_is_no_overshoot():
    system = build(returning("sample", lambda x: x + 1 + 1e-6))
    assert call(system, "sample").max() == 1 and not [
        *notes_on_clamped([system.outside.take()], (-1, 1), True)
    ]


class Overshoots(Perfect):
    """Four times the contrast: what lay beyond one quarter is outside."""

    name = title = "overshoots"

    def decode(self, code, steps=100):
        return 4 * super().decode(code)


def test_rows_say_what_was_clamped_whoever_computed_it(context):
    context.networks.perceptual = NoDistance()
    context.profile = context.profile.changed_by({"reconstruction.images": 40})
    x = context.select("test", 40).batch(np.arange(40))
    share = float((x.abs() > 0.25).double().mean())
    percent = f"{100 * share:.2g}" if share < 0.1 else f"{100 * share:.0f}"
    expected = f"{percent} % of the values of decode lay outside [-1, 1] and were clamped"
    assert 0.001 < share < 0.9
    for _ in range(2):  # the second time from the store
        system = checked.build("overshoots", Overshoots, None, CPU)
        found = list(rows(reconstruction.BENCHMARK, context, [system, Perfect(None, CPU)]))
        ours = [record for record in found if record.system == "overshoots"]
        assert len(ours) == 13
        assert [r.metric for r in ours if "clamped" in r.note] == ["rkd_effnet"]
        assert ours[[r.metric for r in ours].index("rkd_effnet")].note.endswith(expected)
        assert not any("clamped" in record.note for record in found if record not in ours)
        (mse,) = [record.value for record in ours if record.metric == "mse"]
        clamped = ((4 * x).clamp(-1, 1) - x) / 2
        assert mse == pytest.approx(float(clamped.square().mean()), rel=1e-5)


# ----------------------------------------------------------------------------------------------
# What systems say of themselves


def saying(**fields) -> type[System]:
    return type("Says", (Good,), fields)


def without(field: str) -> type[System]:
    fields = {name: value for name, value in vars(Good).items() if name != field}
    return type("Lacks", (System,), fields)


def complaining(self):
    raise RuntimeError("not yet")


FIELDS = [
    (without("title"), "fields: raised AttributeError: 'Lacks' object has no attribute 'title'"),
    (saying(title="two\nlines"), "fields: title must be one printable line of 1 to 200 characters, not"),
    (saying(title=" "), "fields: title must be one printable line"),
    (saying(title="x" * 10**6), "fields: title must be one printable line"),
    (saying(fingerprint=None), "fields: fingerprint must be one printable line"),
    (saying(capabilities={"decod"}), "fields: capabilities must be some of encode, decode, semantic, "),
    (saying(capabilities=set()), "fields: capabilities must be some of encode, "),
    (saying(latent_dim=8.0), "fields: latent_dim must be a whole number from 0 to 2147483648, not 8.0"),
    (saying(latent_dim=True), "fields: latent_dim must be a whole number from 0"),
    (saying(image_size="32"), "fields: image_size must be a whole number from 1"),
    (saying(semantic_dim=10**4), "fields: semantic_dim must be from 1 to latent_dim 3080, not 10000"),
    (saying(random=1), "fields: random must be a bool, not 1"),
    (saying(live="model"), "fields: live must be a Module, not 'model'"),
    (saying(trained_on="faces"), "fields: trained_on must be a TrainedOn, not 'faces'"),
    (saying(solver="fast"), "fields: solver must be a Scheme, not 'fast'"),
    (saying(describe=lambda self: {"of": ["epsilon"]}), "fields: describe must be texts and numbers"),
    (saying(latent_dim=property(complaining)), "fields: raised RuntimeError: not yet"),
    (saying(__init__=lambda self, path, device: complaining(self)), "__init__: raised RuntimeErr"),
    (saying(__init__=lambda self, path, device: exit()), "__init__: raised SystemExit"),
    (lambda path, device: nn.Linear(2, 2), "__init__: returned Linear, not a System"),
]  # fmt: skip


@pytest.mark.parametrize(("factory", "words"), FIELDS)
def test_what_a_system_says_of_itself_is_refused_by_field(factory, words):
    with pytest.raises(SystemFailed) as failure:
        build(factory)
    line = str(failure.value)
    assert line.startswith(f"system 'mine', {words}") and line.isprintable() and len(line) < 500


def test_fields_that_mean_the_same_are_taken():
    capabilities = [DECODE, ENCODE, SEMANTIC]
    system = build(saying(capabilities=capabilities, latent_dim=np.int64(DIM), semantic_dim=0))
    assert system.capabilities == frozenset(capabilities)
    assert (system.latent_dim, system.semantic_dim) == (DIM, DIM)
    assert system.name == "mine" and system.title == "My model"


def test_its_own_words_to_the_user_go_through():
    def no_file(self, path, device):
        raise UserError("weights.pt: no such file")

    with pytest.raises(UserError, match=r"^weights\.pt: no such file$") as error:
        build(saying(__init__=no_file))
    assert not isinstance(error.value, SystemFailed)


def test_whether_it_learns_survives():
    assert not build(Good).learns_from_data
    system = build(saying(fit=lambda self, batches: setattr(self, "fingerprint", "2")))
    assert system.learns_from_data
    before = system.fingerprint
    system.fit([images()])
    assert system.fingerprint != before


def test_a_fit_names_the_image_that_cannot_be_read():
    def batches():
        yield images()
        raise UserError("000002.png: damaged")

    system = build(saying(fit=lambda self, batches: list(batches)))
    with pytest.raises(SystemFailed, match=r"^system 'mine', fit: 000002\.png: damaged$"):
        system.fit(batches())


# ----------------------------------------------------------------------------------------------
# The rows


def test_our_own_benchmarks_faults_go_through(context):
    def broken(context, system):
        raise RuntimeError("ours")
        yield

    benchmark = replace(reconstruction.BENCHMARK, run=broken)
    with pytest.raises(RuntimeError, match="ours"):
        list(rows(benchmark, context, [build(Good)]))


def test_a_dry_run_says_what_fails(context, monkeypatch):
    monkeypatch.setattr(dry_run, "_metric_costs", lambda context: {})
    wrong = build(returning("decode", raising(RuntimeError("no kernel"))))
    report, _ = dry_run.report(context, ("reconstruction",), [wrong])
    words = "failed: My model: system 'mine', decode: raised RuntimeError"
    assert words in " ".join(report.split())


class Random(Good):
    title = "random"

    def encode_semantic(self, images):
        return super().encode_semantic(images) + torch.randn(len(images), DIM)


def test_rows_say_that_a_system_is_random_unless_it_says_so_itself(context):
    context.networks.perceptual = NoDistance()
    declared = type("Declared", (Random,), {"title": "declared", "random": True})
    given, before = images(), torch.get_rng_state()
    assert build(Random).try_on(lambda count: given[:count]) == trial.RANDOM
    assert torch.equal(torch.get_rng_state(), before)  # the numbers that it draws are not taken
    tried = [build(kind) for kind in (Good, Random, declared)]
    found = [row for row in rows(reconstruction.BENCHMARK, context, tried) if row.value is not None]
    noted = {row.system for row in found if trial.RANDOM in row.note}
    assert noted == {"random"} and {row.system for row in found} == {
        "My model",
        "random",
        "declared",
    }

"""One training step: Adam against numpy, overflow, loss scaling, accumulation and clipping."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from src.contracts.objective import Objective, UpdateGroup
from src.models.parameters import state_arrays
from src.systems.pix2pixhd.system import Pix2PixHD
from src.systems.programs import load_config
from src.training.optimizers import Adam
from src.training.state import apply_state, collect_state, kept_parameters
from src.training.steps import StepOptions, TrainStep


def parameter(name, values):
    return Parameter(Tensor(np.array(values, np.float32)), name=name)


class Given(nn.Cell):
    """Gradients and losses as they are given; ``(a, b)`` belong to the first group, ``c`` to the second."""

    def construct(self, scale, losses, a, b, c):
        return losses, ((a * scale, b * scale), (c * scale,)), (a,)


def groups_of(**options):
    options = {"lr": 0.1, "eps": 1e-3} | options
    first = {"G.a": parameter("a", [1, 2]), "G.b": parameter("b", [[3]])}
    second = {"D.c": parameter("c", [4, 5, 6])}
    return UpdateGroup("G", first, **options), UpdateGroup("D", second, **options)


def weights(groups):
    return [p.asnumpy().copy() for group in groups for p in group.parameters.values()]


def everything(step):
    """Weights, moments, powers and sums: what a skipped step must not touch."""
    arrays = weights(step.groups)
    for optimizer in step.optimizers:
        arrays += [p.asnumpy().copy() for p in optimizer.state().values()]
    return arrays


def given(a=(0.3, -0.4), b=((1.2,),), c=(0.0, 3.0, 4.0), losses=(1.0, 2.0)):
    return [Tensor(np.array(value, np.float32)) for value in (losses, a, b, c)]


def same(before, after):
    return all((x == y).all() for x, y in zip(before, after, strict=True))


class AdamModel:
    """Kingma and Ba's algorithm as PyTorch writes it, in float64."""

    def __init__(self, values, lr, beta1, beta2, eps, weight_decay=0.0):
        self.values = [np.array(v, np.float64) for v in values]
        self.options = lr, beta1, beta2, eps, weight_decay
        self.m = [np.zeros_like(v) for v in self.values]
        self.v = [np.zeros_like(v) for v in self.values]
        self.t = 0

    def step(self, gradients, lr=None):
        rate, beta1, beta2, eps, decay = self.options
        rate, self.t = lr or rate, self.t + 1
        for i, g in enumerate(gradients):
            g = np.asarray(g, np.float64) + decay * self.values[i]
            self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
            self.v[i] = beta2 * self.v[i] + (1 - beta2) * g * g
            denominator = np.sqrt(self.v[i]) / np.sqrt(1 - beta2**self.t) + eps
            self.values[i] -= rate / (1 - beta1**self.t) * self.m[i] / denominator


# -- Adam --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("beta1", [0.5, 0.9])
def test_adam_has_the_epsilon_of_pytorch(mode, beta1, decay):
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(3), rng.standard_normal((2, 2))]
    parameters = {f"x{i}": parameter(f"x{i}", value) for i, value in enumerate(start)}
    # an epsilon as large as the gradients: where it enters is then visible
    optimizer = Adam(UpdateGroup("x", parameters, 0.1, beta1, 0.999, 1e-2, decay))
    model = AdamModel(start, 0.1, beta1, 0.999, 1e-2, decay)
    for t in range(5):
        gradients = [rng.standard_normal(value.shape) * 0.02 for value in start]
        rate = 0.1 if t < 3 else 0.05
        ops.assign(optimizer.learning_rate, Tensor(rate, ms.float32))
        optimizer(tuple(Tensor(g.astype(np.float32)) for g in gradients), Tensor(True))
        model.step(gradients, rate)
        for got, want in zip(parameters.values(), model.values, strict=True):
            np.testing.assert_allclose(got.asnumpy(), want, rtol=1e-5, atol=1e-6)
    state = {name: p.asnumpy() for name, p in optimizer.state().items()}
    assert list(state) == ["beta1_power", "beta2_power", "moment1.x0", "moment2.x0", "moment1.x1", "moment2.x1"]
    np.testing.assert_allclose(state["beta1_power"], beta1**5, rtol=1e-5)
    np.testing.assert_allclose(state["moment1.x1"], model.m[1], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(state["moment2.x0"], model.v[0], rtol=1e-4, atol=1e-9)


# -- the step ----------------------------------------------------------------------------------------------------


def test_a_step_moves_every_group_and_tells_losses_and_norms(mode):
    groups = groups_of()
    models = [AdamModel(weights([group]), 0.1, 0.9, 0.999, 1e-3) for group in groups]
    step = TrainStep(Given(), groups)
    losses, norms, outputs = step(*given())
    np.testing.assert_array_equal(losses.asnumpy(), [1, 2])
    np.testing.assert_allclose(norms.asnumpy(), [1.3, 5], rtol=1e-6)
    np.testing.assert_array_equal(outputs[0].asnumpy(), np.float32([0.3, -0.4]))
    models[0].step([[0.3, -0.4], [[1.2]]])
    models[1].step([[0, 3, 4]])
    for got, want in zip(weights(groups), models[0].values + models[1].values, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


INF, NAN = float("inf"), float("nan")


def test_an_overflow_changes_nothing_and_is_counted(mode):
    step = TrainStep(Given(), groups_of(), StepOptions(loss_scale=8.0))
    step(*given())
    before = everything(step)
    bad = [
        given(a=(INF, 0)),
        given(b=((NAN,),)),
        given(c=(1, 1, -INF)),
        given(losses=(NAN, 1)),
        given(losses=(1, INF)),
        # finite, but its square is not, so the norm is not known either
        given(c=(3e38, 0, 0)),
    ]
    for count, inputs in enumerate(bad, 1):
        _, norms, _ = step(*inputs)
        assert same(before, everything(step)), count
        assert step.bad_steps.asnumpy() == count and step.good_steps.asnumpy() == 0
    assert not np.isfinite(norms.asnumpy()).all()
    assert step.scale.asnumpy() == 8
    step(*given())
    assert step.bad_steps.asnumpy() == 0 and step.good_steps.asnumpy() == 1
    assert not any((x == y).all() for x, y in zip(before[:2], weights(step.groups)[:2], strict=True))


def test_the_loss_scale_is_taken_out_again(mode):
    plain, scaled = (TrainStep(Given(), groups_of(), StepOptions(loss_scale=s)) for s in (1.0, 1024.0))
    for step in (plain, scaled):
        _, norms, _ = step(*given())
        np.testing.assert_allclose(norms.asnumpy(), [1.3, 5], rtol=1e-6)
    assert same(everything(plain), everything(scaled))


def test_the_dynamic_loss_scale_halves_and_doubles(mode):
    options = StepOptions(loss_scale=4.0, dynamic_loss_scale=True, scale_window=3)
    step = TrainStep(Given(), groups_of(), options)
    seen = []
    for good in (0, 1, 1, 1, 1, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1):
        step(*given(a=(0.1, 0.1) if good else (NAN, 0)))
        seen.append((float(step.scale.asnumpy()), int(step.good_steps.asnumpy()), int(step.bad_steps.asnumpy())))
    assert seen == [
        (2, 0, 1), (2, 1, 0), (2, 2, 0), (4, 0, 0), (4, 1, 0), (2, 0, 1), (2, 1, 0), (2, 2, 0),
        # never below one
        (1, 0, 1), (1, 0, 2), (1, 0, 3), (1, 0, 4), (1, 1, 0), (1, 2, 0), (2, 0, 0),
    ]  # fmt: skip


def test_gradients_that_overflow_with_their_scale_only(mode):
    options = StepOptions(loss_scale=2.0**127, dynamic_loss_scale=True)
    step = TrainStep(Given(), groups_of(), options)
    before = everything(step)
    step(*given(c=(0, 0, 4)))
    assert same(before, everything(step)) and step.scale.asnumpy() == 2.0**126
    step(*given(a=(0, 0), b=((0,),), c=(0, 0, 1)))
    assert step.bad_steps.asnumpy() == 0
    assert weights(step.groups)[2][2] < 6


# -- accumulation and clipping -----------------------------------------------------------------------------------


def accumulating(count, **options):
    options = StepOptions(accumulation=count, **options)
    groups = groups_of()
    step = TrainStep(Given(), groups, options)
    partial = TrainStep(Given(), groups, options, applies=False, sums=step.sums)
    partial.scale = step.scale
    return step, partial


def sums(step):
    return [p.asnumpy().copy() for total in step.sums for p in total.totals]


def test_accumulated_gradients_are_their_mean(mode):
    step, partial = accumulating(3, loss_scale=16.0)
    direct = TrainStep(Given(), groups_of())
    parts = [{"a": (0.3, 0.1), "b": ((0.9,),), "c": (k, 2 * k, -k)} for k in (1, 2, 6)]
    before = everything(step)
    for _ in range(2):
        for part in parts[:2]:
            partial(*given(**part))
        assert same(before, everything(step)) and any(total.any() for total in sums(step))
        _, norms, _ = step(*given(**parts[2]))
        _, wanted, _ = direct(*given(a=(0.3, 0.1), b=((0.9,),), c=(3, 6, -3)))
        np.testing.assert_allclose(norms.asnumpy(), wanted.asnumpy(), rtol=1e-6)
        for got, want in zip(everything(step), everything(direct), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6)
        assert not any(total.any() for total in sums(step))
        before = everything(step)


def test_an_overflow_in_a_part_skips_the_whole_and_is_forgotten(mode):
    step, partial = accumulating(2)
    before = everything(step)
    partial(*given(a=(NAN, 0)))
    step(*given())
    assert same(before, everything(step)) and step.bad_steps.asnumpy() == 1
    assert not any(total.any() for total in sums(step))
    partial(*given())
    step(*given())
    assert step.bad_steps.asnumpy() == 0 and not same(before, everything(step))


@pytest.mark.parametrize("jointly", [False, True])
def test_clipping(mode, jointly):
    step = TrainStep(Given(), groups_of(), StepOptions(clip_norm=2.0, clip_jointly=jointly))
    _, norms, _ = step(*given())
    np.testing.assert_allclose(norms.asnumpy(), [1.3, 5], rtol=1e-6)
    # (0.3, -0.4, 1.2) has norm 1.3 and (0, 3, 4) has 5; together sqrt(26.69)
    first, second = (2 / np.sqrt(26.69),) * 2 if jointly else (1, 0.4)
    got = [optimizer.state() for optimizer in step.optimizers]
    np.testing.assert_allclose(got[0]["moment1.G.a"].asnumpy(), 0.1 * first * np.array([0.3, -0.4]), rtol=1e-5)
    np.testing.assert_allclose(got[0]["moment1.G.b"].asnumpy(), 0.1 * first * np.array([[1.2]]), rtol=1e-5)
    np.testing.assert_allclose(
        got[1]["moment1.D.c"].asnumpy(), 0.1 * second * np.array([0, 3, 4]), rtol=1e-5, atol=1e-9
    )


# -- with a system -----------------------------------------------------------------------------------------------

TINY = [
    "--label_nc", "4", "--ngf", "4", "--ndf", "4", "--nef", "2", "--n_blocks_global", "1", "--n_downsample_global", "2",
    "--n_downsample_E", "2", "--num_D", "1", "--no_vgg_loss", "--max_instances", "4", "--instance_feat",
]  # fmt: skip


def batch_of(n):
    rng = np.random.default_rng(0)
    batch = {
        "label": rng.integers(0, 4, (n, 1, 16, 16)).astype(np.int32),
        "inst": rng.integers(0, 4, (n, 1, 4, 4)).repeat(4, 2).repeat(4, 3).astype(np.int32),
        "image": rng.uniform(-1, 1, (n, 3, 16, 16)).astype(np.float32),
    }
    return batch, [{name: array[i : i + 1] for name, array in batch.items()} for i in range(n)]


def test_sums_of_files_with_cancelled_biases_find_their_parameters():
    """Files of earlier versions have moments and sums of biases that are not trained any more."""
    named = {"G.0.weight": parameter("w0", [1, 2]), "G.1.weight": parameter("w1", [3, 4])}
    groups = (UpdateGroup("G", named | {"G.1.bias": parameter("b1", [5, 6])}, lr=0.1),)
    step = TrainStep(Given(), groups, StepOptions(accumulation=2))
    sums_of_file = ([1, 2], [30, 40], [5, 6], [7, 8])
    state = {f"sum.G.{i}": np.array(values, np.float32) for i, values in enumerate(sums_of_file)}
    apply_state(Objective(), step, state | {"optimizer.G.moment1.G.0.bias": np.zeros(2, np.float32)})
    np.testing.assert_array_equal(sums(step), [[1, 2], [5, 6], [7, 8]])
    apply_state(Objective(), step, state)
    np.testing.assert_array_equal(sums(step), [[1, 2], [30, 40], [5, 6]])


def test_two_accumulated_steps_equal_one_batch_of_two():
    """Instance norm keeps samples apart, so this holds up to rounding, for gradients and moments."""
    both, parts = batch_of(2)
    moments, norms = [], []
    for accumulation in (1, 2):
        objective = Pix2PixHD(load_config(TINY)).objective((16, 16))
        groups = objective.groups(1)
        gradients, options = objective.gradients(groups), StepOptions(accumulation=accumulation)
        step = TrainStep(gradients, groups, options)
        if accumulation == 1:
            norms.append(step(*map(Tensor, objective.inputs(both)))[1].asnumpy())
        else:
            partial = TrainStep(gradients, groups, options, applies=False, sums=step.sums)
            partial.scale = step.scale
            partial(*map(Tensor, objective.inputs(parts[0])))
            norms.append(step(*map(Tensor, objective.inputs(parts[1])))[1].asnumpy())
        moments.append({k: p.asnumpy() for o in step.optimizers for k, p in o.state().items() if "moment1" in k})
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-5)
    assert moments[0].keys() == moments[1].keys()
    for name, moment in moments[0].items():
        scale = np.abs(moments[0][name.rpartition(".")[0] + ".weight"]).max()
        np.testing.assert_allclose(moment, moments[1][name], atol=1e-5 * max(scale, 1e-3), err_msg=name)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_step_with_an_overflow_leaves_a_whole_system_unchanged(mode, norm):
    """Weights, moments, running statistics of batch norm, and the image pool."""
    batch, _ = batch_of(1)
    system = Pix2PixHD(load_config([*TINY, "--pool_size", "2", "--norm", norm]))
    objective = system.objective((16, 16))
    groups = objective.groups(1)
    kept = kept_parameters(system), tuple(objective.buffers.values())
    step = TrainStep(objective.gradients(groups), groups, kept=kept)
    system.set_train(True)

    def everything_of():
        arrays = {name: state_arrays(cell) for name, cell in system.networks.items()}
        return arrays | {"state": {k: v for k, v in collect_state(objective, step).items() if "step." not in k}}

    # a good step first, so that the pool is not empty
    step(*map(Tensor, objective.inputs(batch, 0)))
    before, inputs = everything_of(), objective.inputs(batch, 1)
    broken = [array if i != 3 else np.full_like(array, NAN) for i, array in enumerate(inputs)]
    # the ReLU of some devices makes zero of NaN, so the losses may look fine
    _, norms, _ = step(*map(Tensor, broken))
    assert not np.isfinite(norms.asnumpy()).all() and step.bad_steps.asnumpy() == 1 and step.finite.asnumpy() == 0
    after = everything_of()
    for name in before:
        for key, value in before[name].items():
            assert (value == after[name][key]).all(), (name, key)
    step(*map(Tensor, inputs))
    assert step.bad_steps.asnumpy() == 0 and step.finite.asnumpy() == 1
    for name in system.networks:
        assert not same(before[name].values(), state_arrays(system.networks[name]).values())
    assert any((before["state"][k] != v).any() for k, v in everything_of()["state"].items() if k.startswith("buffer."))

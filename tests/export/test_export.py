"""Exported files of every system give the pictures that the system gives, and nothing is written that does not."""

import sys

import mindspore as ms
import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore import Tensor, nn, ops

from eval import main as evaluate
from export import main as export
from src.contracts.passes import Pass, Port
from src.contracts.system import System
from src.dataset.conditional import CONDITIONAL
from src.dataset.imagefolder import IMAGES
from src.dataset.unpaired import UNPAIRED
from src.export.write import export_system
from src.imaging.images import read_image
from src.inference.opening import open_model
from src.systems.programs import EVAL, EXPORT, load_config, read_command
from src.utils.errors import UserError
from tests.saved_runs import save_run
from tests.tiny_runs import make_streets

_SMALLER = {
    "hflow": {"num_layers": "[1,1,1]", "endblock_layers": "[1,1]", "flow_split_types": "[channels,channels,channels]"}
}
_RNG = np.random.default_rng(2)


def opened(run, *words):
    """The system of a run, for evaluation on made-up data."""
    words = [f"--load_ckpt={run}", "--device_target=CPU", *(["--use_encoded_image=True"] * takes_styles(run)), *words]
    description, config = read_command(EVAL, words)
    return open_model(config, description.load()).system


def takes_styles(run):
    """Whether styles of the run's images come from outside."""
    return run.name == "feat"


def exported(run, *words, sample=None):
    """Export a run without asking for its data; returns the lines that were said."""
    description, config = read_command(EXPORT, [f"--load_ckpt={run}", "--device_target=CPU", *words])
    model, lines = open_model(config, description.load()), []
    prefix = run / run.name
    export_system(model.system, model.config.replace(name=run.name), prefix, model.tag, sample or {}, lines.append)
    return lines


def picture(channels, height, width, count=1):
    return _RNG.uniform(-1, 1, (count, channels, height, width)).astype(np.float32)


def batch_of(system, height, width, count=1):
    """A batch that the system could have read."""
    config, ids = system.config, {"id": np.arange(count, dtype=np.int32)}
    if system.data is UNPAIRED:
        return {"A": picture(3, height, width, count), "B": picture(3, height, width, count)}
    if system.data is IMAGES:
        return ids | {"image": picture(3, *[system.request(config, False).resolution] * 2, count)}
    if system.data is CONDITIONAL:
        pictures = {name: picture(3, *config.img_size, count) for name in ("condition", "image")}
        return ids | pictures | {"boundary": np.round(np.abs(picture(3, *config.img_size, count)))}
    if config.label_nc:
        label = _RNG.integers(0, config.label_nc, (count, 1, height, width)).astype(np.int32)
    else:
        label = picture(config.input_nc, height, width, count)
    inst = _RNG.integers(0, config.max_instances, (count, 1, height, width)).astype(np.int32)
    return ids | {"label": label, "inst": inst, "image": picture(3, height, width, count)}


def results(system, batch):
    """Everything that the system's passes are for."""
    made = dict(system.translate(batch, seed=3))
    if system.data is CONDITIONAL:
        latents = system.encode(batch)
        made |= {f"latent {i}": z for i, z in enumerate(latents)}
        made |= {"bits": system.bits_per_dimension(batch), "again": system.decode(batch, latents)}
    return made


CASES = {
    "cglow": [],
    "cut": ["--flexible_size=True"],
    "cyclegan": ["--flexible_size=True"],
    "dualglow": [],
    "feat": ["--flexible_size=True"],
    "fullglow_bmaps": [],
    "hflow": [],
    "hierarchyflow": ["--flexible_size=True"],
    "pictures": ["--height=32", "--width=48"],
    "pix2pixHD": ["--height=32", "--width=48", "--batch_size=2"],
}


@pytest.mark.parametrize("name", CASES)
def test_onnx_files_give_the_same_pictures(name, tmp_path):
    run = save_run(tmp_path, name, **_SMALLER.get(name, {}))
    lines = exported(run, *CASES[name])
    sizes = [(32, 48), (40, 24)] if "--flexible_size=True" in CASES[name] else [(32, 48)]
    system, through_onnx = opened(run), opened(run, "--runtime=onnx")
    assert len(lines) == len(system.passes()) == len(list(run.glob("*.onnx")))
    # three samples through files that were made for one, or two
    for height, width in sizes:
        batch = batch_of(system, height, width, count=3)
        want, got = results(system, batch), results(through_onnx, batch)
        assert want.keys() == got.keys()
        for key, value in want.items():
            np.testing.assert_allclose(got[key], value, rtol=1e-3, atol=1e-4, err_msg=key)
            assert not np.array_equal(got[key], np.zeros_like(value))


def test_layers_of_the_predecessor(tmp_path):
    run = save_run(tmp_path, "pix2pixHD", layers="predecessor", netG="local")
    exported(run, "--flexible_size=True")
    system, through_onnx = opened(run), opened(run, "--runtime=onnx")
    for size in ((32, 48), (40, 24)):
        batch = batch_of(system, *size)
        want, got = results(system, batch), results(through_onnx, batch)
        np.testing.assert_allclose(got["synthesized_image"], want["synthesized_image"], rtol=1e-3, atol=1e-4)


def test_a_file_says_what_it_is(tmp_path):
    run = save_run(tmp_path, "cyclegan")
    exported(run, "--flexible_size=True")
    model = onnx.load(run / "cyclegan_G_AB.onnx")
    about = {p.key: p.value for p in model.metadata_props}
    assert (about["model"], about["pass"], about["checkpoint"], about["name"]) == ("cyclegan", "G_AB", "1", "cyclegan")
    assert '"n_residual_blocks": 1' in about["config"]
    assert model.opset_import[0].version == 17
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in
              (*model.graph.input, *model.graph.output)}  # fmt: skip
    assert shapes == {"image": [1, 3, "height", "width"], "fake_B": [1, 3, "height", "width"]}
    onnx.checker.check_model(model, full_check=True)


@pytest.fixture
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


def leaves(results):
    if isinstance(results, (tuple, list)):
        return [leaf for item in results for leaf in leaves(item)]
    return [results.asnumpy()]


@pytest.mark.parametrize("name", ["cglow", "hierarchyflow"])
def test_mindir_files_are_the_network(name, tmp_path, graph_mode):
    run = save_run(tmp_path, name)
    lines = exported(run, "--file_format=mindir", *CASES[name])
    assert all("equal to the bit" in line for line in lines)
    # as somebody else would use it
    first = opened(run).passes()[0]
    loaded = nn.GraphCell(ms.load(str(run / f"{name}_{first.name}.mindir")))
    tensors = [
        Tensor(picture(p.shape[1], *(s if isinstance(s, int) else 24 for s in p.shape[2:]))) for p in first.inputs
    ]
    for got, want in zip(leaves(loaded(*tensors)), leaves(first.cell(*tensors)), strict=True):
        assert np.array_equal(got, want)


# -- what must not happen --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["onnx", "mindir"])
def test_nothing_of_others_is_overwritten(ending, tmp_path, graph_mode):
    run = save_run(tmp_path, "pix2pixHD")
    words = [f"--file_format={ending}", "--height=16", "--width=16"]
    theirs = run / f"pix2pixHD_G.{ending}"
    theirs.write_bytes(b"a thesis")
    with pytest.raises(UserError, match="was not written by export.py: move it away"):
        exported(run, *words)
    assert theirs.read_bytes() == b"a thesis"
    theirs.unlink()
    before = {path.name for path in run.iterdir()}
    for _ in range(2):
        exported(run, *words)
    assert {path.name for path in run.iterdir()} == before | {theirs.name}


class _Made(System):
    """A system of one pass."""

    name = "made"

    def __init__(self, cell):
        super().__init__(load_config([]))
        self.cell = cell

    def passes(self):
        return (Pass("P", self.cell, (Port("x", ("batch", 2)),), ("y",), None),)


class _Unknown(nn.Cell):
    def construct(self, x):
        return ops.erfinv(x * 0.1)


class _Infinite(nn.Cell):
    def construct(self, x):
        return x / (x - x)


@pytest.mark.parametrize(("cell", "reason"), [(_Unknown, "no ONNX form of Erfinv"), (_Infinite, "nothing was written")])
def test_what_cannot_be_checked_leaves_no_file(cell, reason, tmp_path):
    with pytest.raises(UserError, match=reason):
        export_system(_Made(cell()), load_config([]), tmp_path / "made", "1", {}, print)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "pass --height and --width, or --flexible_size True"),
        (["--height=30", "--width=32"], "--height 30 is not a multiple of 4"),
        (["--file_format=air", "--height=32", "--width=32"], "AIR files only on Ascend"),
    ],
)
def test_options_that_do_not_fit(words, reason, tmp_path):
    run = save_run(tmp_path, "cyclegan")
    with pytest.raises(UserError, match=reason):
        exported(run, *words)


def test_a_flow_has_one_size(tmp_path):
    run = save_run(tmp_path, "cglow")
    with pytest.raises(UserError, match="encode is made for one size .*condition 3x32x32"):
        exported(run, "--flexible_size=True")


def test_files_that_do_not_fit_a_run(tmp_path):
    first, second = save_run(tmp_path / "a", "cyclegan"), save_run(tmp_path / "b", "cyclegan", seed=5)
    exported(first, "--height=32", "--width=48")
    with pytest.raises(UserError, match="no exported network of cyclegan"):
        opened(second, "--runtime=onnx")
    with pytest.raises(UserError, match="other weights than this checkpoint"):
        opened(second, "--runtime=onnx", f"--onnx_file={first}")
    with pytest.raises(UserError, match="nothing.onnx does not exist"):
        opened(second, "--runtime=onnx", "--onnx_file=nothing.onnx")
    (second / "damaged.onnx").write_bytes((first / "cyclegan_G_AB.onnx").read_bytes()[:500])
    with pytest.raises(UserError, match="ONNX Runtime cannot open"):
        opened(second, "--runtime=onnx")
    with pytest.raises(UserError, match="takes image of 1x3x32x48, and was given 1x3x32x32: export it again with"):
        opened(first, "--runtime=onnx").translate({"A": picture(3, 32, 32)})


def test_without_onnx_runtime(tmp_path, monkeypatch):
    run = save_run(tmp_path, "cyclegan")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="pip install -r requirements-export.txt"):
        opened(run, "--runtime=onnx")
    with pytest.raises(UserError, match="pip install -r requirements-export.txt"):
        exported(run, "--flexible_size=True")


def test_gpu_is_asked_for_in_vain():
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        from src.inference.onnx_runtime import choose_providers

        with pytest.raises(UserError, match="pip install onnxruntime-gpu"):
            choose_providers("GPU")
        assert choose_providers("auto") == choose_providers("CPU") == ["CPUExecutionProvider"]


def test_the_commands(tmp_path):
    """export.py takes the size from the data; eval.py makes the same results of the file."""
    run = save_run(tmp_path, "pix2pixHD", data_root=make_streets(tmp_path / "streets", train=1, test=1))
    words = [f"--load_ckpt={run}", "--name=city", "--device_target=CPU"]
    prefix = tmp_path / "exported" / "city"
    try:
        assert export([*words, f"--file_name={prefix}"]) == 0
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    session = onnxruntime.InferenceSession(f"{prefix}_G.onnx")
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("label", [1, 1, 32, 64]), ("inst", [1, 1, 32, 64])]
    pictures = []
    for runtime in ("mindspore", "onnx"):
        more = ["--mode=pynative", f"--runtime={runtime}", f"--onnx_file={prefix.parent}", f"--predict_dir={runtime}"]
        assert evaluate([*words, *more]) == 0
        pictures.append(read_image(f"{runtime}/city/test_1/images/scene_00000_synthesized_image.png", 3).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1

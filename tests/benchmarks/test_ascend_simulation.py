"""Every mode of pix2pixHD compiles for Ascend in MindSpore's simulation, and what Ascend lacks is noticed."""

import json
import shutil

import pytest

from benchmarks import simulate_ascend
from benchmarks.ascend.compiler import compile_graph, read_kernels
from benchmarks.ascend.jobs import Job, one_pass
from benchmarks.ascend.roofline import roof_words
from benchmarks.ascend.standins import build_standins, prepare_cann
from src.systems.programs import load_config
from src.training.buckets import COLLECTIVES
from src.utils.errors import UserError
from tests.conftest import ROOT

TINY = (
    "--ngf", "4", "--ndf", "4", "--nef", "2", "--n_blocks_global", "1", "--n_blocks_local", "1", "--max_instances", "8",
    "--n_downsample_global", "2", "--n_downsample_E", "2", "--num_D", "1", "--n_layers_D", "2",
)  # fmt: skip
# operators of the status word of chips that only saturate
STATUS = {"NPUClearFloatStatusV2", "NPUGetFloatStatusV2"}


@pytest.fixture(scope="module")
def cann(tmp_path_factory):
    return prepare_cann(tmp_path_factory.mktemp("cann"))


def job(mode, graph, *options, cards=1, soc="Ascend910B2"):
    path = ROOT / "configs" / f"pix2pixhd_{mode}.yaml"
    return Job(graph, ("--config_path", str(path), *TINY, *options), cards, (64, 128), soc)


@pytest.mark.parametrize(
    "compiled",
    [
        job("512p", "train", "--no_vgg_loss", cards=8),
        job("512p_feat", "train", "--no_vgg_loss"),
        job("1024p", "train", "--precision", "bf16", "--recompute", "True", "--conv_precision", "hf32"),
        job("1024p_feat", "train", "--precision", "fp16", "--no_vgg_loss"),
        job("1024p_feat", "eval", "--use_encoded_image", "True"),
    ],
    ids=lambda j: f"{j.options[1].rpartition('_pix2pixhd_')[2].rpartition('/')[2]}-{j.graph}-{j.cards}",
)
def test_every_mode_compiles(cann, compiled):
    report = compile_graph(compiled, cann)
    assert report.problems == []
    assert report.kernels["aclnn"] > 10 and report.kernels["aclop"] > 10
    # all gradients and losses of a step in a handful of collectives
    assert 0 < report.kernels["hccl"] <= COLLECTIVES if compiled.cards > 1 else not report.kernels.get("hccl")
    assert report.operators["Conv2D"][0] == "aclop" and not STATUS & report.operators.keys()
    assert report.conv_precision == ("hf32" if "hf32" in compiled.options else "exact")
    assert 0 < report.peak_gib < 1 and report.seconds > 0
    assert "not run on an NPU" in report.origin


def test_a_flow_needs_few_collectives(cann):
    words = ("--config_path", str(ROOT / "configs" / "fullglow_streets.yaml"), "--coupling_filters", "8")
    report = compile_graph(Job("train", (*words, "--n_flow", "1", "--n_block", "1", "--img_size", "10,20"), 8), cann)
    assert report.problems == [] and report.operators["Adam"][1] > 32
    assert 0 < report.operators["AllReduce"][1] <= COLLECTIVES
    # the norm and the mask read buckets
    assert report.operators["L2Loss"][1] == report.operators["MaskedFill"][1] == 1


def test_a_translation_that_measures_its_inverse_compiles(cann):
    path = ROOT / "configs" / "hierarchyflow.yaml"
    assert compile_graph(Job("eval", ("--config_path", str(path)), size=(64, 64)), cann).problems == []


@pytest.mark.parametrize(
    "cell, reason",
    [("only_on_hosts", "SegmentMax"), ("depends_on_values", "dynamic shape"), ("no_gradient", "InstanceNormGrad")],
)
def test_what_ascend_lacks_is_rejected(cann, cell, reason):
    report = compile_graph(Job(f"tests.benchmarks.ascend_cells:{cell}"), cann)
    assert not report.passed
    assert any(reason in problem for problem in report.problems)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_chips_that_saturate_read_their_status(cann, precision):
    words = ("512p", "train", "--no_vgg_loss", "--precision", precision, "--conv_precision", "hf32")
    report = compile_graph(job(*words, soc="Ascend910A"), cann)
    assert report.problems == [] and report.conv_precision == "exact"
    assert [report.operators[name][1] for name in STATUS] == [1, 1]


def test_a_910_has_no_bfloat16(cann):
    report = compile_graph(job("512p", "train", "--precision", "bf16", soc="Ascend910A"), cann)
    assert report.problems == ["Ascend910A (Atlas training series) has no bfloat16: use --precision fp32 or fp16"]


def test_what_ascend_has_is_accepted_and_counted(cann):
    report = compile_graph(Job("tests.benchmarks.ascend_cells:counted"), cann)
    assert report.problems == []
    # float32: image 3x8x12, filters 4x3x3x3, features 4x4x6, weight 5x4, result 24x5
    image, filters, features, weight, result = 4 * 288, 4 * 108, 4 * 96, 4 * 20, 4 * 120
    assert _counted(report, "Conv2D") == (1, image + filters, features, 24 * 4 * 27)
    assert _counted(report, "Conv2DBackpropInput") == (1, features + filters, image, 24 * 4 * 27)
    assert _counted(report, "Conv2DBackpropFilter") == (1, features + image, filters, 24 * 4 * 27)
    # rows x weight', gradient x weight, gradient' x rows
    read, written = features + weight + result + weight + result + features, result + features + weight
    assert _counted(report, "MatMul") == (3, read, written, 3 * 24 * 4 * 5)
    # the square reads one tensor, its gradient two
    assert _counted(report, "Mul") == (2, 3 * features, 2 * features, 0)
    # views move nothing
    assert _counted(report, "Reshape")[1:] == (0, 0, 0) and report.operators["Reshape"].kind == "other"
    assert report.total is not None
    launched = [operator for name, operator in report.operators.items() if name != "Reshape"]
    assert report.total.number == sum(operator.number for operator in launched) == sum(report.kernels.values())
    assert report.total.read_bytes == sum(operator.read_bytes for operator in launched)
    # so small that moving takes longest: 1.6 TB/s
    moved = report.total.read_bytes + report.total.written_bytes
    assert report.total.bound_ms == pytest.approx(1000 * moved / 1.6e12)


def _counted(report, name):
    operator = report.operators[name]
    return operator.number, operator.read_bytes, operator.written_bytes, operator.multiply_adds


def test_recomputation_and_16_bits_take_less_memory(cann):
    # few labels and small weights, so that it is activations that count
    words = ("--config_path", str(ROOT / "configs" / "pix2pixhd_512p.yaml"), *TINY, "--no_vgg_loss", "--label_nc", "2")
    plain, small = (
        compile_graph(Job("train", (*words, "--ngf", "16", *more), 1, (256, 512)), cann)
        for more in ((), ("--precision", "fp16", "--recompute", "True"))
    )
    assert plain.passed and small.passed
    # 0.61 together, 0.84 and 0.72 of one alone: neither may be lost
    assert small.peak_gib < 0.66 * plain.peak_gib


def test_the_command_writes_what_it_prints(cann, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(simulate_ascend, "prepare_cann", lambda: cann)
    words = [
        "--modes",
        "512p",
        "--graphs",
        "eval",
        "--cards",
        "1",
        "--size",
        "64x64",
        "--output",
        "out/sim.json",
        *TINY,
    ]
    assert simulate_ascend.main(words) == 0
    written = json.loads((tmp_path / "out" / "sim.json").read_text())
    assert written["graphs"][0]["passed"] and written["graphs"][0]["kernels"]
    assert written["graphs"][0]["conv_precision"] == "exact" and written["graphs"][0]["job"]["soc"] == "Ascend910B2"
    assert written["what"] == cann.words and "354 TFLOPS" in written["bound"]
    total = written["graphs"][0]["total"]
    shown = capsys.readouterr().out
    assert shown.count("not run on an NPU") == 2 and f"{total['number']:7d} {total['read_bytes'] / 1e9:9.2f}" in shown
    operators = written["graphs"][0]["operators"]
    assert total["multiply_adds"] == sum(one["multiply_adds"] for one in operators.values()) > 0
    assert total["bound_ms"] == pytest.approx(sum(one["bound_ms"] for one in operators.values()))


def test_chips_without_figures_have_no_bound():
    assert "nothing is published of Ascend910B4; use --soc Ascend910A, " in roof_words("Ascend910B4")


def test_a_budget_that_is_exceeded_fails(cann, monkeypatch, capsys):
    monkeypatch.setattr(simulate_ascend, "prepare_cann", lambda: cann)
    monkeypatch.setattr(simulate_ascend, "_budget", lambda *_: 1e-9)
    words = ["--modes", "512p", "--graphs", "eval", "--cards", "1", "--size", "64x64", "--output", "sim.json", *TINY]
    assert simulate_ascend.main(words) == 1
    assert "above the budget" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, message",
    [
        (["--modes", "720p"], "mode 720p is not one of 512p"),
        (["--cards", "0"], "cards 0"),
        (["--size", "512"], "size 512 is not HEIGHTxWIDTH"),
        (["--soc", "Ascend77"], "soc Ascend77 is no chip that is known here"),
        (["--ngff", "4"], "did you mean ngf"),
    ],
)
def test_mistakes_are_explained(words, message):
    with pytest.raises(UserError, match=message):
        simulate_ascend.main(words)


def test_passes_of_any_system_by_name():
    config = load_config(["--config_path", str(ROOT / "configs" / "hflow_tiny.yaml"), "--batch_size", "3"])
    _, arrays = one_pass(config, (32, 32), "sample")
    assert [array.shape for array in arrays] == [
        (3, 3, 32, 32),
        (3, 4, 16, 16),
        (3, 8, 8, 8),
        (3, 4, 1, 1),
        (3, 28, 1, 1),
    ]
    with pytest.raises(UserError, match="no pass test: use train, eval, encode, sample"):
        one_pass(config, (32, 32), "test")


@pytest.mark.parametrize(
    "preset, graph, words, budget",
    [
        ("cut_gta2cityscapes", "train", (), 5.5),
        ("hflow_128", "train", (), 12.0),
        ("hflow_256", "train", ("--recompute", "True"), 12.0),
        ("hflow_256", "sample", (), None),
        ("hflow_256", "train", ("--batch_size", "8"), None),
        ("pix2pixhd_512p", "train", ("--recompute", "True"), 16.0),
        ("pix2pixhd_512p", "train", ("--recompute", "True", "--precision", "fp16"), 9.6),
    ],
)
def test_budgets(preset, graph, words, budget):
    config = load_config(["--config_path", str(ROOT / "configs" / f"{preset}.yaml"), *words])
    assert simulate_ascend._budget(preset, graph, config, None) == budget


def test_a_missing_compiler_is_named(tmp_path, monkeypatch):
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **kw: None if name == "g++" else found(name, **kw))
    with pytest.raises(UserError, match=r"need g\+\+ to be built"):
        build_standins(tmp_path / "none")


def test_kernels_are_read_from_the_log():
    head = "[INFO] PrintOpSelectedNum] Number of INTERNAL_KERNEL, OPAPI_KERNEL, ACL_KERNEL, ATB_KERNEL, HCCL_KERNEL:\n"
    log = head + "[INFO] PrintOpSelectedNum] 0 5 3 0 2 \n" + head + "[INFO] PrintOpSelectedNum] 1 1 0 0 0 \n"
    assert read_kernels(log) == {"aclnn": 6, "aclop": 3, "hccl": 2, "other": 1}

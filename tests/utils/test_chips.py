"""Chips by their names, and what a process tells MindSpore about its arithmetic."""

import mindspore as ms
import pytest

from src.systems.programs import load_config
from src.utils import arithmetic, runtime
from src.utils.arithmetic import conv_precision, set_conv_precision
from src.utils.chips import find_chip
from src.utils.errors import UserError


@pytest.mark.parametrize(
    "name, series, saturates, has_hf32",
    [
        ("Ascend910A", "Atlas training series", True, False),
        # without a digit this is a 910, with one an A2
        ("Ascend910B", "Atlas training series", True, False),
        ("Ascend910PremiumA", "Atlas training series", True, False),
        ("Ascend910B2", "Atlas A2", False, True),
        ("Ascend910B4-1", "Atlas A2", False, True),
        ("Ascend910_9391", "Atlas A3", False, True),
        ("Ascend950PR_9589", "Ascend 950", False, True),
        ("Ascend910B9", "", False, False),
        ("Ascend1000X", "", False, False),
        ("", "", False, False),
    ],
)
def test_known_and_unknown_names(name, series, saturates, has_hf32):
    chip = find_chip(name)
    assert (chip.series, chip.saturates, chip.has_hf32, chip.known) == (series, saturates, has_hf32, bool(series))


@pytest.fixture
def asked(monkeypatch):
    """What MindSpore is told; the calls themselves are made in the simulation of Ascend."""
    found = {}
    names = {
        "ascend": ("conv_allow_hf32", "matmul_allow_hf32", "precision_mode"),
        "gpu": ("conv_allow_tf32", "matmul_allow_tf32"),
    }
    for device, functions in names.items():
        for name in functions:
            place = getattr(ms.device_context, device).op_precision
            monkeypatch.setattr(place, name, lambda value, name=name: found.__setitem__(name, value))
    monkeypatch.setattr(arithmetic, "_current", "exact")
    return found


@pytest.mark.parametrize(
    "target, chip, wanted, told, becomes, notice",
    [
        ("Ascend", "Ascend910B2", "exact", (False, False, None), "exact", ""),
        ("Ascend", "Ascend910B2", "hf32", (True, False, None), "hf32", ""),
        ("Ascend", "Ascend910A", "exact", (False, False, "must_keep_origin_dtype"), "exact", ""),
        ("Ascend", "Ascend910A", "hf32", (False, False, "must_keep_origin_dtype"), "exact", "has no hf32"),
        ("Ascend", "Ascend77", "hf32", (False, False, "must_keep_origin_dtype"), "exact", "chip Ascend77 is not known"),
        ("Ascend", "", "exact", (False, False, "must_keep_origin_dtype"), "exact", "chip without a name is not known"),
        ("GPU", None, "exact", (False, False), "exact", ""),
        ("GPU", None, "hf32", (True, False), "hf32", ""),
        ("CPU", None, "hf32", (), "exact", "CPU has no hf32"),
    ],
)
def test_the_device_is_told(asked, target, chip, wanted, told, becomes, notice):
    said = []
    assert set_conv_precision(target, None if chip is None else find_chip(chip), wanted, said.append) == becomes
    keys = {"Ascend": ("conv_allow_hf32", "matmul_allow_hf32", "precision_mode")}.get(
        target, ("conv_allow_tf32", "matmul_allow_tf32")
    )
    assert tuple(asked.get(key) for key in keys[: len(told)]) == told
    assert conv_precision() == becomes
    assert notice in " ".join(said) and bool(said) == bool(notice)


def test_a_process_has_one_arithmetic(asked, monkeypatch):
    def refuse(value):
        raise RuntimeError("The 'conv_allow_hf32' can not be set repeatedly.")

    monkeypatch.setattr(ms.device_context.ascend.op_precision, "conv_allow_hf32", refuse)
    with pytest.raises(UserError, match="conv_precision hf32: this process computes in another mode already"):
        set_conv_precision("Ascend", find_chip("Ascend910B2"), "hf32", print)


@pytest.mark.parametrize(
    "chip, precision, message",
    [
        ("Ascend910A", "bf16", "Ascend910A .Atlas training series. has no bfloat16: use --precision fp32 or fp16"),
        ("Ascend77", "fp16", "chip Ascend77 is not known here.*use --precision bf16 if it has that type, or fp32"),
    ],
)
def test_types_that_do_not_work_are_refused(chip, precision, message):
    with pytest.raises(UserError, match=message):
        runtime._check_precision(precision, find_chip(chip))
    for fine in ("fp32", "fp16"):
        runtime._check_precision(fine, find_chip("Ascend910A"))


def test_the_start_line_says_it():
    said = []
    config = load_config(["--model", "pix2pixhd", "--device_target", "CPU", "--conv_precision", "hf32"])
    device = runtime.start(config.replace(mode="pynative"), said.append)
    assert said[0] == "device CPU (as requested), pynative mode, convolutions exact"
    assert said[1] == "CPU has no hf32: convolutions are exact"
    assert device == runtime.Device("CPU") and not device.saturates

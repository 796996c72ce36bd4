"""What hf32 costs: the rounding itself, which operators it reaches, and the command on one folder."""

import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from benchmarks import precision
from benchmarks.precision import rounded, rounded_convolutions
from src.utils.errors import UserError

FOLDER = Path(__file__).resolve().parents[1] / "reference" / "cglow_small_b2"


@pytest.mark.parametrize("bits", [10, 11])
def test_values_have_as_many_bits(bits):
    scales = 10.0 ** np.arange(-5, 5).repeat(200)
    x = (np.random.default_rng(0).standard_normal(2000) * scales).astype(np.float32)
    near = rounded(Tensor(x), bits).asnumpy()
    mantissa, exponent = np.frexp(x.astype(np.float64))
    np.testing.assert_array_equal(near, np.ldexp(np.rint(np.ldexp(mantissa, bits + 1)), exponent - bits - 1))
    gradient = ms.grad(lambda value: rounded(value, bits).sum())(Tensor(x)).asnumpy()
    np.testing.assert_array_equal(gradient, np.ones_like(x))


def test_convolutions_alone_are_rounded():
    x = Tensor(np.random.default_rng(0).standard_normal((1, 8, 9, 9)).astype(np.float32))
    cells = nn.Conv2d(8, 8, 3), nn.Conv2dTranspose(8, 8, 3)
    exact, product = [cell(x).asnumpy() for cell in cells], ops.matmul(x, x).asnumpy()
    with rounded_convolutions(11):
        errors = [np.abs(cell(x).asnumpy() - want).max() for cell, want in zip(cells, exact, strict=True)]
        np.testing.assert_array_equal(ops.matmul(x, x).asnumpy(), product)
    assert min(errors) > 1e-6 and max(errors) < 1e-2
    for cell, want in zip(cells, exact, strict=True):
        np.testing.assert_array_equal(cell(x).asnumpy(), want)


def test_the_command_writes_what_it_prints(capsys, tmp_path):
    assert precision.main(["--folders", str(FOLDER), "--output", "out/precision.json"]) == 0
    written = json.loads((tmp_path / "out" / "precision.json").read_text())
    (row,) = written["sets"]
    assert (row["folder"], row["system"], written["bits"]) == ("cglow_small_b2", "cglow", 11)
    latents = row["quantities"]["z"]
    assert latents["exact"] < 2e-6 and 1e-5 < latents["rounded"] < 1e-3
    assert capsys.readouterr().out.count("cglow_small_b2") == 4


@pytest.mark.parametrize(
    "words, message",
    [
        (["--bits", "23"], "bits 23 is no number from 2 to 22: HF32 has 11, TF32 10"),
        (["--bit", "4"], "option bit is unknown"),
        (["--folders", "nothing"], "io.npz does not exist"),
    ],
)
def test_wrong_words_are_named(words, message):
    with pytest.raises(UserError, match=message):
        precision.main(words)

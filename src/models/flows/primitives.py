"""Operators as objects.

The functions of ``mindspore.ops`` of the same names, tensor methods and tensor slices are Python code that the compiler
reads and checks anew at every call; a flow of dozens of steps compiles several times as fast when it is written with
the operators themselves. Inside a custom backward pass, gradients can be taken of operators but not of Python branches.
"""

__all__ = [
    "absolute",
    "batch_matmul",
    "concat",
    "exp",
    "halves",
    "log",
    "ones_like",
    "reduce_sum",
    "relu",
    "repeat",
    "reshape",
    "sigmoid",
    "softplus",
    "sum_per_sample",
    "tanh",
    "zeros_like",
]

from mindspore import Tensor, ops

absolute = ops.Abs()
batch_matmul = ops.BatchMatMul()
concat = ops.Concat(1)
exp = ops.Exp()
#: the first and the second half of the channels
halves = ops.Split(1, 2)
log = ops.Log()
ones_like = ops.OnesLike()
reduce_sum = ops.ReduceSum()
relu = ops.ReLU()
reshape = ops.Reshape()
sigmoid = ops.Sigmoid()
softplus = ops.Softplus()
tanh = ops.Tanh()
zeros_like = ops.ZerosLike()
_tile = ops.Tile()


def sum_per_sample(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N,)."""
    return reduce_sum(x, (1, 2, 3))


def repeat(x: Tensor, times: int) -> Tensor:
    """``x`` (1, ...) once for every sample: (times, ...)."""
    if times == 1:
        return x
    return _tile(x, (times,) + (1,) * (x.ndim - 1))

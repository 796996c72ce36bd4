"""Blocks that are compiled once: deep networks repeat a block with other weights, and compilers see every copy."""

__all__ = ["compile_once"]

import itertools
from collections.abc import Sequence

from mindspore import nn

_keys = itertools.count()


def compile_once(cells: Sequence[nn.Cell]) -> None:
    """Let the compiler work on the first of ``cells`` and put its result in the place of the others.

    They must differ in the values of their Parameters alone: constants and settings are taken from the first. Each must
    be called as a Cell. This is ``mindspore.lazy_inline`` with the policy ``front`` for Cells that exist: the copies
    become part of the whole graph before it is planned, so that neither results nor memory depend on it. Call it before
    anything is compiled.
    """
    if len(cells) < 2:
        return
    key = f"lazy_inline_{type(cells[0]).__name__}_{next(_keys)}"
    for cell in cells:
        cell.cell_init_args, cell.no_inline = key, False

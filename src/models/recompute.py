"""Recomputation: the backward pass computes parts of a network again to save memory (Chen et al. 2016).

Gradients are the same, and the names of parameters do not change.
"""

__all__ = ["Stage", "recompute_stages", "recomputed"]

from collections.abc import Sequence

from mindspore import Tensor, nn


class Stage(nn.Cell):
    """Cells of another Cell, called one after the other; ``recompute()`` makes the backward pass repeat them together.

    Keep stages in a tuple or list, so that the parameters belong to the other Cell alone and keep their names.
    """

    def __init__(self, cells: Sequence[nn.Cell]):
        super().__init__(auto_prefix=False)
        for i, cell in enumerate(cells):
            self.insert_child_to_cell(str(i), cell)
        self.chain = tuple(cells)

    def construct(self, x: Tensor) -> Tensor:
        for cell in self.chain:
            x = cell(x)
        return x


def recomputed(cells: Sequence[nn.Cell]) -> tuple[Stage, ...]:
    """Cells in a row as stages of which the backward pass keeps the results alone.

    The row is cut behind every cell that holds weights: norms, activations, paddings and casts are computed again, and
    the inner convolutions of a block. A compiled step does not repeat the convolution that ends a stage, because no
    gradient needs its result there.
    """
    stages: list[Stage] = []
    row: list[nn.Cell] = []
    for cell in cells:
        row.append(cell)
        if any(len(parameter.shape) > 1 for parameter in cell.get_parameters()):
            stages.append(Stage(row))
            row = []
    if row:
        stages.append(Stage(row))
    for stage in stages:
        stage.recompute()
    return tuple(stages)


def recompute_stages(sequence: nn.SequentialCell) -> None:
    """Make a long sequence one of :func:`recomputed` stages; call it before anything is compiled."""
    sequence.cell_list = recomputed(sequence.cell_list)

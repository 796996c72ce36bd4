"""How fast a chip can be at most, and so how long a graph takes at least."""

__all__ = ["Roof", "find_roof", "roof_words"]

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.ascend.graphs import Kernel


@dataclass(frozen=True)
class Roof:
    """What is published of a chip.

    Attributes:
        chip: as CANN says it.
        multiply_adds: a second, of matrix products and convolutions in 16 bits. No rate of float32 or HF32 is published
            for these chips; they cannot be faster, so the same rate bounds them, too.
        bandwidth: bytes a second from and to HBM.
    """

    chip: str
    multiply_adds: float
    bandwidth: float

    def milliseconds(self, kernel: Kernel) -> float:
        """What ``kernel`` takes at least: the longer of moving and multiplying."""
        moved = kernel.read + kernel.written
        return 1000 * max(moved / self.bandwidth, kernel.multiply_adds / self.multiply_adds)

    def bound(self, kernels: Iterable[Kernel]) -> float:
        """Milliseconds of one kernel after the other, each exchanging its operands with HBM.

        What stays in the L2 cache from one kernel to the next (192 MiB on a 910B2, 32 MiB on a 910A) is not moved:
        small graphs can be faster than this.
        """
        return sum(self.milliseconds(kernel) for kernel in kernels)


# Cores x 16 x 16 x 16 multiply-adds x clock, from CANN's platform_config/*.ini: 32 x 1.0 GHz (910A; published as 256
# TFLOPS), 24 x 1.8 GHz (910B2 and 910B2C). 910B1 and 910B3: peaks of the cubes in torchtitan-npu (373.88 and
# 294.912 TFLOPS); higher figures (400, 376, 313) add the vector units. HBM: Liao et al., HPCA 2021 (910A), CANN's guide
# to migrating operators (Atlas A2).
_ROOFS = {
    roof.chip: roof
    for roof in (
        Roof("Ascend910A", 131.072e12, 1.2e12),
        Roof("Ascend910B1", 186.94e12, 1.6e12),
        Roof("Ascend910B2", 176.9472e12, 1.6e12),
        Roof("Ascend910B2C", 176.9472e12, 1.6e12),
        Roof("Ascend910B3", 147.456e12, 1.6e12),
    )
}


def find_roof(chip: str) -> Roof | None:
    """What is published of ``chip``; None if nothing was found."""
    return _ROOFS.get(chip)


def roof_words(chip: str) -> str:
    """Where a bound comes from, or why there is none."""
    roof = find_roof(chip)
    if roof is None:
        return f"no bound in ms: nothing is published of {chip}; use --soc {', '.join(_ROOFS)}"
    return (
        f"bound: {chip}, {2 * roof.multiply_adds / 1e12:.0f} TFLOPS in 16 bits, which bound float32, too (its rate is "
        f"not published), {roof.bandwidth / 1e12:.1f} TB/s; sources: benchmarks/ascend/roofline.py"
    )

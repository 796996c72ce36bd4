"""Options for those who tune a run: the compiler's level, the device's memory; and what must not be switched on."""

__all__ = ["prepare_compiler", "prepare_memory"]

import os
from collections.abc import Callable, Mapping
from typing import Any

import mindspore as ms

from .errors import UserError

_limit = 0.0


def prepare_compiler(config: Any, environment: Mapping[str, str] = os.environ) -> None:
    """Set the level of optimisation of compiled graphs.

    Raises:
        UserError: a level without graphs, or MindSpore's compile cache. A graph from that cache computes with
            parameters of zero: measured on the CPU with MindSpore 2.10, where the second start of an unchanged
            training step took 0.6 s instead of 4.6 and its losses were those of networks that give 0.
    """
    if config.mode == "graph" and environment.get("MS_COMPILER_CACHE_ENABLE") == "1":
        raise UserError(
            "MS_COMPILER_CACHE_ENABLE is 1: MindSpore's compile cache restores graphs without their weights, and the "
            "results are wrong without a message; unset MS_COMPILER_CACHE_ENABLE"
        )
    if config.jit_level == "auto":
        return
    if config.mode != "graph":
        raise UserError(f"jit_level {config.jit_level} is for compiled graphs: use --mode graph, or leave it out")
    ms.set_context(jit_config={"jit_level": config.jit_level})


def prepare_memory(config: Any, target: str, say: Callable[[str], None]) -> None:
    """Limit the device memory of this process, before the first operator; the CPU has no limit, and that is said.

    Raises:
        UserError: another limit was set in this process, which MindSpore cannot take back.
    """
    global _limit
    wanted = config.memory_limit
    if not wanted or wanted == _limit:
        return
    if target == "CPU":
        say(f"memory_limit {wanted} is ignored: MindSpore takes what it needs from a CPU")
        return
    try:
        ms.runtime.set_memory(max_size=f"{wanted:.3f}GB")
    except RuntimeError as error:
        raise UserError(
            f"memory_limit {wanted} comes too late ({str(error).splitlines()[0]}): set it before anything runs on the "
            "device"
        ) from None
    _limit = wanted

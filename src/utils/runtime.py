"""Choosing the device, the execution mode and the seeds, once at the start of a process."""

__all__ = ["Device", "choose_target", "peak_memory_gib", "start"]

import glob
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mindspore as ms

from .arithmetic import set_conv_precision
from .cann import cann_notice, installed_cann
from .chips import Chip, find_chip, read_chip_name
from .errors import UserError
from .tuning import prepare_compiler, prepare_memory

_PROOF = (
    "import mindspore as ms, numpy as np; ms.set_device({target!r}, {device}); "
    "print(float((ms.Tensor(np.ones(2, np.float32)) + 1).sum().asnumpy()))"
)


@dataclass(frozen=True)
class Device:
    """The device of this process: target, number, and its rank among the workers.

    ``conv_precision`` is what its float32 convolutions compute in, ``exact`` or ``hf32``; ``chip`` is known on Ascend.
    """

    target: str
    number: int = 0
    rank: int = 0
    world: int = 1
    conv_precision: str = "exact"
    chip: Chip | None = None

    @property
    def saturates(self) -> bool:
        """Whether overflow gives the largest number, and never infinity or NaN."""
        return self.chip is not None and self.chip.saturates


def choose_target(wanted: str, number: int = 0) -> tuple[str, str]:
    """Resolve ``auto`` to the first of Ascend, GPU and CPU that runs an operator, and return the reason.

    The test runs in a separate process, because a failed attempt leaves MindSpore unusable.
    """
    if wanted != "auto":
        return wanted, "as requested"
    reasons = []
    for target, devices in (("Ascend", "/dev/davinci[0-9]*"), ("GPU", "/dev/nvidia[0-9]*")):
        if not glob.glob(devices):
            reasons.append(f"no {target} device")
            continue
        code = _PROOF.format(target=target, device=number)
        try:
            proof = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, errors="replace", timeout=300
            )
        except subprocess.TimeoutExpired:
            reasons.append(f"{target} did not answer within 300 s")
            continue
        if proof.returncode == 0:
            return target, "the first that runs an operator"
        lines = [line for line in proof.stderr.splitlines() if line.strip()] or ["no message"]
        reasons.append(f"{target} does not work here ({lines[-1].strip()[:200]})")
    return "CPU", "; ".join(reasons)


def start(config: Any, say: Callable[[str], None] = print, join: bool = False) -> Device:
    """Set device, mode, seed and determinism from the options; ``join`` connects to the other workers of the run.

    Raises:
        UserError: the device does not work, or ``join`` is set and there is no launcher.
    """
    number = config.device_id if config.device_id >= 0 else int(os.environ.get("DEVICE_ID", "0"))
    target, why = choose_target(config.device_target, number)
    if target == "CPU" and config.precision == "bf16":
        raise UserError("precision bf16 needs Ascend or a GPU: MindSpore has no bf16 convolution for CPUs")
    prepare_compiler(config)
    if config.deterministic:
        ms.set_deterministic(True)
    ms.set_context(mode=ms.GRAPH_MODE if config.mode == "graph" else ms.PYNATIVE_MODE)
    rank, world = 0, 1
    try:
        if target == "CPU":
            ms.set_device("CPU")
        else:
            ms.set_device(target, number)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"device {target} {number} does not work: {_first_lines(error)}\n"
            "Choose another with --device_target (Ascend, GPU, CPU) or DEVICE_TARGET."
        ) from None
    prepare_memory(config, target, say)
    chip = find_chip(read_chip_name()) if target == "Ascend" else None
    if chip:
        _check_precision(config.precision, chip)
        if chip.whole_graphs and config.mode == "graph" and config.jit_level == "auto":
            ms.set_context(jit_config={"jit_level": "O0"})
    notices: list[str] = []
    convolutions = set_conv_precision(target, chip, config.conv_precision, notices.append)
    if join:
        rank, world = _join()
    if target == "CPU" and config.mode == "pynative":
        # the asynchronous pipeline stalls on few cores
        ms.runtime.launch_blocking()
    ms.set_seed(config.seed)
    if rank == 0:
        workers = f", {world} workers" if world > 1 else ""
        place = "" if target == "CPU" else f" {number}" + (f", {chip.name}" if chip and chip.name else "")
        say(f"device {target}{place} ({why}), {config.mode} mode{workers}, convolutions {convolutions}")
        for notice in notices:
            say(notice)
        # in the simulation there may be no CANN
        checks = target == "Ascend" and "MS_SIMULATION_LEVEL" not in os.environ
        if checks and (words := cann_notice(ms.__version__, installed_cann())):
            say(f"warning: {words}")
    return Device(target, number, rank, world, convolutions, chip)


def _check_precision(precision: str, chip: Chip) -> None:
    """Raise ``UserError`` for a type that the chip does not have, or whose overflow nobody could notice on it."""
    if precision == "bf16" and chip.known and not chip.has_bf16:
        raise UserError(f"{chip.name} ({chip.series}) has no bfloat16: use --precision fp32 or fp16")
    if precision == "fp16" and not chip.known:
        raise UserError(
            f"precision fp16: chip {chip.name or 'without a name'} is not known here, so nobody can say how an "
            "overflow shows on it: use --precision bf16 if it has that type, or fp32"
        )


def _join() -> tuple[int, int]:
    from mindspore.communication import get_group_size, get_rank, init

    if "MS_WORKER_NUM" not in os.environ and "MS_SIMULATION_LEVEL" not in os.environ:
        raise UserError("run_distribute is for workers that msrun starts: use scripts/distribute_train_*.sh N")
    try:
        init()
        return get_rank(), get_group_size()
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the workers of this run did not meet, or one was lost: {_first_lines(error)}\nSee the log of each worker."
        ) from None


def _first_lines(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("---")]
    return " ".join(lines[:2])[:300]


def peak_memory_gib(device: Device) -> float:
    """Peak memory so far: of the device, or of the process on the CPU."""
    if device.target == "CPU":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return ms.runtime.max_memory_allocated() / 2**30

"""Starting from another run's networks, such as 512p weights in 1024p networks, with a report of new layers."""

__all__ = ["load_pretrained"]

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..contracts.system import System
from ..models.parameters import load_arrays
from ..runs.checkpoint_reader import Checkpoint
from ..utils.errors import UserError
from ..utils.files import atomic_write, explained, open_regular
from ..utils.text import counted


def load_pretrained(
    system: System,
    checkpoint: Checkpoint,
    source: Path,
    run_folder: Path | None,
    say: Callable[[str], None] = print,
) -> None:
    """Fill the system's networks from another run's ``checkpoint`` as far as names and shapes agree.

    Reports for each network the parameters that the file did not fill. Companion files (feature clusters) are copied
    from ``source`` to ``run_folder``, so that the run can be evaluated on its own; None copies nothing.

    Raises:
        UserError: the checkpoint has none of the networks, or fills less than half of a network's parameters.
    """
    system.companions.adopt(system, checkpoint.networks, checkpoint.config)
    if not system.networks.keys() & checkpoint.networks.keys():
        raise UserError(
            f"{source} holds {', '.join(sorted(checkpoint.networks))}, none of the networks of "
            f"{system.description.name} ({', '.join(sorted(system.networks))}): pass --load_pretrain with a run of it"
        )
    for name, cell in system.networks.items():
        if name not in checkpoint.networks:
            say(f"pretrained {source}: has no network {name}, it starts new")
            continue
        report = load_arrays(cell, checkpoint.networks[name], strict=False)
        # a layer or two may differ, such as the first layer of a network that now takes features
        if len(report.mismatched) >= len(report.loaded):
            total = len(report.loaded) + len(report.mismatched) + len(report.missing)
            raise UserError(
                f"{source} fills {len(report.loaded)} of {counted(total, 'parameter')} of network {name}: "
                "are the options of the networks those that it was trained with?"
            )
        say(f"pretrained {source}: network {name}, {counted(len(report.loaded), 'parameter')} loaded")
        new = sorted({_module(line.split(":")[0]) for line in report.missing + report.mismatched})
        if new:
            say(f"  not in the file, so new: {', '.join(new)}")
        unused = sorted({_module(line) for line in report.unused})
        if unused:
            say(f"  in the file, but not here: {', '.join(unused)}")
    if run_folder:
        for name in system.companions.files(system.config):
            # a broken link is treated as an existing file
            if (source / name).is_file() and not os.path.lexists(run_folder / name):
                with explained(source / name, "copy"), open_regular(source / name) as stream:
                    atomic_write(run_folder / name, partial(shutil.copyfileobj, stream))
                say(f"  copied {name}")


def _module(parameter: str) -> str:
    """First two parts of a parameter's name, which identify the layer."""
    return ".".join(parameter.split(".")[:2])

"""Quick checks before a training run: missing files are reported before records are built or networks compiled."""

__all__ = ["check_start"]

from importlib.util import find_spec
from pathlib import Path

from ..contracts.system import System
from ..options.config import Config
from ..runs.checkpoint_reader import CheckpointReader
from ..utils.errors import UserError
from .profiling import read_span


def check_start(system: type[System], config: Config) -> None:
    """Check the data, the files and packages that the options name, and the run to start from.

    Raises:
        UserError: the first thing that is missing.
    """
    count = system.data.count(system.request(config, True), config, config.phase)
    if not count:
        raise UserError(
            f"data_root {config.data_root} holds no samples of {config.phase}: check --data_root and --phase"
        )
    read_span(config.profile_steps)
    system.check_files(config)
    if config.tf_log and find_spec("tensorboardX") is None:
        raise UserError("--tf_log True needs tensorboardX: pip install tensorboardX, or leave the option out")
    if config.load_pretrain and not config.continue_train:
        reader = CheckpointReader(config.load_pretrain)
        if not reader.list():
            # raises an error that names the fault of the folder
            reader.load(config.which_epoch, with_state=False)
    if config.continue_train:
        folder = Path(config.save_ckpt_dir) / config.name
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file: pass another --name")

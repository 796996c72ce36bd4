"""Opening a trained run: its configuration and networks, with the options that may differ from training."""

__all__ = ["TrainedRun", "open_run"]

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.export.runtime import use_onnx
from src.models.registry import SYSTEMS, create_system, system_class
from src.models.state import load_arrays
from src.models.system import System
from src.training.checkpoint_reader import CheckpointReader
from src.utils.config import Config
from src.utils.errors import UserError
from src.utils.logging import get_logger

# what a run was trained with says nothing about these: they are always those of the command at hand
_OF_THE_COMMAND = (
    "name", "save_ckpt_dir", "load_ckpt", "which_epoch", "device_target", "device_id", "run_distribute", "mode",
    "precision", "deterministic", "seed", "num_workers", "predict_dir", "how_many", "use_encoded_image", "cluster_path",
    "n_clusters", "display_winsize", "max_dataset_size", "records_dir", "check_data", "phase", "continue_train",
    "no_html", "load_features", "batch_size", "runtime", "onnx_file", "file_format", "file_name", "flexible_size",
)  # fmt: skip


@dataclass
class TrainedRun:
    """A system with its trained networks, the options it runs with, and where it came from."""

    system: System
    config: Config
    folder: Path
    tag: str


def run_folder(config: Config) -> Path:
    """``--load_ckpt`` if it is given, else ``save_ckpt_dir/name``."""
    return Path(config.load_ckpt) if config.load_ckpt else Path(config.save_ckpt_dir) / config.name


def merge_config(command: Config, trained: dict[str, Any], folder: Path) -> Config:
    """The options of the training, with those the command line sets, and those that never come from a training.

    Raises:
        UserError: the command line contradicts the architecture of the checkpoint.
    """
    for key in system_class(trained["model"]).architecture_keys:
        if key in command.explicit and getattr(command, key) != trained.get(key):
            raise UserError(
                f"--{key} {getattr(command, key)} contradicts {folder}, "
                f"which was trained with {key} {trained.get(key)}: "
                "leave the option out, evaluation takes it from the checkpoint"
            )
    changes = {key: getattr(command, key) for key in (*_OF_THE_COMMAND, *command.explicit) if key in command}
    # a checkpoint of an earlier version may lack keys that were added since
    return Config.from_dict(command.to_dict() | trained | changes, tuple(command.explicit))


def open_run(command: Config) -> TrainedRun:
    """Load what ``command`` names and build its system for translation.

    Raises:
        UserError: no such run or checkpoint, contradicting options, options of no system, weights that do not fit.
    """
    folder = run_folder(command)
    checkpoint = CheckpointReader(folder).load(command.which_epoch, with_state=False)
    if checkpoint.config.get("model") not in SYSTEMS:
        raise UserError(
            f"checkpoint {checkpoint.tag} of {folder} does not say which system it is of: weights from elsewhere "
            "become checkpoints with data/convert_checkpoint.py"
        )
    config = merge_config(command, checkpoint.config, folder)
    try:
        system = create_system(config, training=False)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # options of a file from elsewhere: those of a system's own are checked by what is built from them
        reason = (str(error).splitlines() or [""])[0][:300]
        raise UserError(
            f"the options that checkpoint {checkpoint.tag} of {folder} holds describe no {config.model} "
            f"({type(error).__name__}: {reason}): restore it from a copy"
        ) from error
    for name in list(system.networks):
        if name in checkpoint.networks:
            load_arrays(system.networks[name], checkpoint.networks[name], source=f"{folder} ({checkpoint.tag})")
        elif name in system.optional_networks:
            del system.networks[name]
        else:
            raise UserError(f"{folder}: checkpoint {checkpoint.tag} has no network {name}")
    system.set_train(False)
    system.load_companions(folder)
    if config.runtime == "onnx":
        use_onnx(system, folder, config.onnx_file, config.device_target, get_logger().info)
    return TrainedRun(system, config, folder, checkpoint.tag)

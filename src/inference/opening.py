"""Opening a trained run: its options and networks, with the options that may differ from training."""

__all__ = ["open_model", "run_folder", "stored_options"]

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..contracts.system import System
from ..models.parameters import load_arrays
from ..options.config import Config
from ..options.owner import EVERY_RUN
from ..options.schema import Schema
from ..options.text import shown
from ..runs.checkpoint_reader import CheckpointReader
from ..utils.errors import UserError
from ..utils.logging import get_logger
from ..utils.runtime import start
from .model import Model
from .onnx_runtime import use_onnx

# widths and depths up to this need little memory, even for parts that the options leave out
_ALWAYS_SMALL = 64
# options of every run that are nevertheless taken from the run
_OF_THE_RUN = ("data_root",)


def run_folder(config: Config) -> Path:
    """``--load_ckpt`` if it is given, else ``save_ckpt_dir/name``."""
    return Path(config.load_ckpt) if config.load_ckpt else Path(config.save_ckpt_dir) / config.name


def stored_options(stored: Mapping[str, Any], system: type[System], source: str) -> dict[str, Any]:
    """The system's options that a run was trained with, under current names, checked like given options.

    Raises:
        UserError: a value of another type or out of range.
    """
    schema = Schema((EVERY_RUN, *system.description.options))
    found = {}
    # a current name has priority over another name of the same option, which may be of another command
    for key, value in sorted(stored.items(), key=lambda item: item[0] in schema.options):
        option = schema.options.get(schema.resolve(key))
        # the name of the system is compared with the file's, and options of commands say nothing about the run
        if option is not None and option.name != "model":
            found[option.name] = option.check(value, source)
    return found


def merge_config(command: Config, stored: Mapping[str, Any], system: type[System], folder: Path) -> Config:
    """The options of the training, with those of the command line and those that never come from a training.

    Raises:
        UserError: the command line contradicts the architecture of the checkpoint; unusable stored options.
    """
    changes, defaults = {}, command.schema.defaults()
    # options that a run of an earlier version does not name have their defaults
    known = {key: defaults[key] for key in system.architecture_keys if key in defaults and key != "model"}
    known |= stored_options(stored, system, f"the options stored in {folder}")
    for key, value in known.items():
        option = command.schema.options.get(key)
        if option is None:
            continue
        if key in command.explicit:
            if key in system.architecture_keys and command[key] != value:
                raise UserError(
                    f"--{key} {command[key]} contradicts {folder}, which was trained with {key} {value}: "
                    "leave the option out, evaluation takes it from the checkpoint"
                )
        elif key in _OF_THE_RUN or not option.owner.from_command:
            changes[key] = value
    return command.replace(**changes)


def _check_sizes(config: Config, system: type[System], networks: Mapping[str, Mapping[str, Any]], title: str) -> None:
    """Raise ``UserError`` if widths or depths exceed those of the arrays, before memory is allocated for them."""
    shapes = [array.shape for arrays in networks.values() for array in arrays.values()]
    largest = max(_ALWAYS_SMALL, len(shapes), *(side for shape in shapes for side in shape))
    for key in system.architecture_keys:
        values = config[key] if isinstance(config[key], list) else [config[key]]
        if key not in system.pixel_keys and any(isinstance(value, int) and value > largest for value in values):
            raise UserError(
                f"the options that {title} holds are not those of its arrays: {key} {shown(config[key])} is more than "
                f"any of their sizes and than their number ({largest}): restore it from a copy"
            )


def open_model(command: Config, system: type[System], say: Callable[[str], None] | None = None) -> Model:
    """Load the run that ``command`` names for translation, on the device that it names.

    Raises:
        UserError: no such run or checkpoint, a run of another system, contradicting options, options of no system,
            weights that do not fit, or a device that does not work.
    """
    say = get_logger().info if say is None else say
    folder, name = run_folder(command), system.description.name
    checkpoint = CheckpointReader(folder).load(command.which_epoch, with_state=False)
    title = f"checkpoint {checkpoint.tag} of {folder}"
    stored = checkpoint.config.get("model")
    if not stored:
        raise UserError(
            f"{title} does not say which system it is of: weights from elsewhere become checkpoints with "
            "data/convert_checkpoint.py"
        )
    if stored != name:
        raise UserError(f"{title} is of {shown(stored)}, not of {name}: leave --model and --config_path out")
    config = merge_config(command, checkpoint.config, system, folder)
    if config.load_ckpt and "name" not in config.explicit:
        # results belong to this run, and not to the name that stands for none
        config = config.replace(name=folder.resolve().name)
    _check_sizes(config, system, checkpoint.networks, title)
    device = start(config, say)
    trained_in = checkpoint.config.get("conv_precision", device.conv_precision)
    if trained_in != device.conv_precision:
        say(f"{title} was trained with conv_precision {shown(trained_in)}; here it is {device.conv_precision}")
    try:
        built = system(config, training=False)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        # the options come from a foreign file: a system's own options are checked only when it is built
        reason = (str(error).splitlines() or [""])[0][:300]
        raise UserError(
            f"the options that {title} holds describe no {name} ({type(error).__name__}: {reason}): restore it from a "
            "copy"
        ) from error
    for network in list(built.networks):
        if network in checkpoint.networks:
            load_arrays(built.networks[network], checkpoint.networks[network], source=f"{folder} ({checkpoint.tag})")
        elif network in built.optional_networks:
            del built.networks[network]
        else:
            raise UserError(f"{folder}: checkpoint {checkpoint.tag} has no network {network}")
    built.set_train(False)
    built.companions.load(built, folder)
    if "runtime" in config and config.runtime == "onnx":
        use_onnx(built, folder, config.onnx_file, config.device_target, say)
    return (built.model_class() or Model)(built, config, folder, checkpoint.tag, device)

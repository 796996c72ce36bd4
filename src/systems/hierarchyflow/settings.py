"""The published configuration files (YAML) and the corresponding options."""

__all__ = ["preset_options"]

from collections.abc import Iterator, Mapping
from typing import Any

from ...options.text import shown
from ...utils.errors import UserError

#: published key to option; the others are options, or names that are gone, under the last part of their own
_OPTIONS = {
    "output": "save_ckpt_dir",
    "task_name": "name",
    "save_freq": "save_latest_freq",
    "resume": "continue_train",
    "loss.vgg_encoder": "vgg_pre_trained",
    "loss.weight": "style_weight",
    "lr_scheduler.type": "lr_policy",
    "dataset.train.width": "crop_width",
    "dataset.train.height": "crop_height",
}
_WITHOUT_EFFECT = ("network.configurable", "dataset.train.return_name")
_TRANSFORMS = ("h_flip", "v_flip", "random_resized_crop")


def preset_options(content: Mapping[str, Any], source: str) -> dict[str, Any] | None:
    """The options of a published configuration; None for any other file.

    Training reads ``dataset.train`` and evaluation ``dataset.test``: of these the paths may differ, where ``{phase}``
    can stand for train and test, and what has no effect here. The schema of the options checks names and values.

    Raises:
        UserError: a value without a counterpart here.
    """
    if not all(isinstance(content.get(part), Mapping) for part in ("dataset", "network", "loss")):
        return None
    flat = {key: value for key, value in _flatten(content) if key not in _WITHOUT_EFFECT and value not in (None, "")}
    test = {key.rpartition(".")[2]: flat.pop(key) for key in list(flat) if key.startswith("dataset.test.")}
    if flat.pop("network.in_channel", 3) != 3:
        raise UserError(f"{source}: network.in_channel must be 3: the network is that of colour images")
    options = {"model": "hierarchyflow", "reverse": "public"}
    options |= _transforms(flat.pop("dataset.train.transform", []), test.get("transform", []), source)
    options |= {_OPTIONS.get(key, key.rpartition(".")[2]): value for key, value in flat.items()}
    for key in ("source_list", "target_list", "source_root", "target_root"):
        if key in options:
            options[key] = _of_both_phases(key, str(options[key]), str(test.get(key, options[key])), source)
    for key in ("width", "height"):
        if test.get(key, options.get(f"crop_{key}")) != options.get(f"crop_{key}"):
            raise UserError(
                f"{source}: dataset.test.{key} {shown(test[key])} is not that of dataset.train: make them equal, and "
                "translate at the size of the files with --eval_size original"
            )
    # frequencies count updates there and samples here
    for key in ("print_freq", "save_latest_freq"):
        if type(options.get(key)) is int and type(options.get("batch_size")) is int:
            options[key] *= options["batch_size"]
    return options


def _transforms(train: Any, test: Any, source: str) -> dict[str, Any]:
    names = train if isinstance(train, list) else [train]
    if test or any(name not in _TRANSFORMS for name in names):
        raise UserError(
            f"{source}: of the transforms only {', '.join(_TRANSFORMS)} have an equal here, in dataset.train: leave "
            "the others out"
        )
    resized = "random_resized_crop" if "random_resized_crop" in names else "squash"
    return {"no_flip": "h_flip" not in names, "v_flip": "v_flip" in names, "resize_or_crop": resized}


def _of_both_phases(key: str, train: str, test: str, source: str) -> str:
    """One path for both phases, in which ``{phase}`` stands for the phase."""
    for path in (train, train.replace("train", "{phase}"), "{phase}".join(train.rsplit("train", 1))):
        if path.replace("{phase}", "test") == test:
            return path
    raise UserError(
        f"{source}: {key} {shown(train)} and {shown(test)} differ by more than the words train and test: rename one, "
        "or leave both out and pass the option"
    )


def _flatten(tree: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{start}{key}.")
        else:
            yield f"{start}{key}", value

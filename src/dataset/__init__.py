"""Reading, pairing, transforms, MindRecord shards and the pipeline."""

__all__ = ["open_dataset"]

import importlib

from src.utils.errors import UserError

# Kind of data set -> module and function, imported when it is asked for.
_KINDS = {
    "images": ("src.dataset.imagefolder", "open_images"),
    "conditional": ("src.dataset.conditional", "open_conditional"),
    "paired": ("src.dataset.paired", "open_paired"),
    "unpaired": ("src.dataset.unpaired", "open_unpaired"),
}


def open_dataset(kind: str, config, phase: str, rank: int = 0, world: int = 1, training: bool | None = None):
    """Open a data set as a :class:`src.dataset.pipeline.Pipeline`.

    Args:
        kind: name of the kind of data, such as ``paired``.
        config: the options, by attribute.
        phase: prefix of the folders.
        rank, world: this process among those that share the data.
        training: records, crops, flips, equal batches on every rank; or every sample once, in order, whole,
            as its file is. None means training where ``phase`` is ``train``; passing False reads the
            training files without augmentation.

    Raises:
        UserError: everything a user can mend, before the first batch.
    """
    if kind not in _KINDS:
        raise UserError(f"there is no data of kind {kind}: use one of {', '.join(sorted(_KINDS))}")
    module, function = _KINDS[kind]
    opener = getattr(importlib.import_module(module), function)
    return opener(config, phase, rank, world, phase == "train" if training is None else training)

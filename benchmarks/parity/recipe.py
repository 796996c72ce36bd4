"""What two implementations are given so that they train the same: images, first weights and the order of batches.

Nothing here needs MindSpore: the published code's side imports it in an environment of its own. Every array is a
function of the recipe and a seed. Weights are drawn by published parameter name, so that the order in which a network
defines its parameters does not matter.
"""

__all__ = [
    "EARLY",
    "RECIPES",
    "VERSION",
    "Arrays",
    "Recipe",
    "batches",
    "digest",
    "first_weights",
    "pictures",
    "slowed",
]

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from src.scenes.scenes import make_scene

from .gaussian import pair

Arrays = dict[str, np.ndarray]

#: another number for every change that changes an array
VERSION = 1
#: steps that are compared one by one, and the part of the learning rate that they have
EARLY, _EARLY_RATE = 20, 0.01
_SCENES = 20250


@dataclass(frozen=True)
class Recipe:
    """One training.

    Attributes:
        system: this project's name of it.
        height, width: pixels.
        steps: updates.
        options: this project's options; the published code is given the same under its names.
        kind: ``paired`` (label, inst, image), ``unpaired`` (A simulated, B photo), ``images`` (image), or ``gaussian``
            (condition, image, see :mod:`.gaussian`).
        biases: ``uniform`` in +-1/sqrt(fan_in), as PyTorch starts layers, or ``zero``.
        deviation: of the first weights, which are normal; 0 is uniform in +-1/sqrt(fan_in).
        trained, held_out: number of images.
        seeds: of weights and order. Images are the same for all.
    """

    system: str
    height: int
    width: int
    steps: int
    options: Mapping[str, object]
    kind: str
    biases: str = "uniform"
    deviation: float = 0.0
    batch: int = 1
    trained: int = 48
    held_out: int = 16
    seeds: tuple[int, ...] = (0, 1, 2)

    @property
    def likelihood(self) -> bool:
        """Whether the system measures the likelihood of images instead of translating them."""
        return self.kind in ("images", "gaussian")

    @property
    def published(self) -> bool:
        """Whether there are curves of published code; otherwise entropies are known."""
        return self.kind != "gaussian"

    def shortened(self, steps: int) -> "Recipe":
        """The same training, ended after ``steps`` updates."""
        return replace(self, steps=steps)


# of published depth a step would be seconds
_FLOW = {"img_size": [24, 24], "n_block": 2, "n_flow": [2], "lr": 0.002, "recompute": False, "seed": 0}
# sizes, blocks and steps are such that three seeds are minutes on one busy core
_RECIPES = (
    Recipe(
        "pix2pixhd",
        64,
        128,
        600,
        # VGG19's weights are a download of 550 MB
        {"ngf": 16, "ndf": 16, "n_blocks_global": 3, "no_vgg_loss": True, "lr": 0.0002},
        "paired",
        deviation=0.02,
    ),
    Recipe(
        "cyclegan",
        32,
        64,
        200,
        # without the history of translations: each code draws its swaps by its own generator
        {"ngf": 16, "ndf": 16, "n_residual_blocks": 3, "pool_size": 0, "lr": 0.0002},
        "unpaired",
        biases="zero",
        deviation=0.02,
        # of one figure the first three happen to lie nearer each other than to the next three
        seeds=(0, 1, 2, 3, 4, 5),
    ),
    Recipe(
        "hierarchyflow",
        32,
        64,
        500,
        # VGG19's normalised weights are a download, and random ones can be made again
        {"out_channels": [12, 48], "reverse": "public", "vgg_pre_trained": "random:4321", "lr": 0.0001},
        "unpaired",
    ),
    Recipe(
        "hflow",
        32,
        32,
        200,
        {"preset": "hflow_tiny", "samples_per_grad_eval": 4, "niter": 1, "seed": 0},
        "images",
        batch=4,
    ),
    Recipe("fullglow", 24, 24, 500, {**_FLOW, "coupling_filters": 32}, "gaussian", batch=4, trained=2000, held_out=200),
    Recipe(
        "cglow",
        24,
        24,
        1000,
        # with the published start actnorms and mixings never see the condition
        {**_FLOW, "y_hidden_channels": 32, "cond_init": "fixed"},
        "gaussian",
        batch=4,
        trained=2000,
        held_out=200,
    ),
)
RECIPES = {recipe.system: recipe for recipe in _RECIPES}


def pictures(recipe: Recipe, held_out: bool = False) -> Arrays:
    """All images, (count, C, H, W): ids as int32, colours as float32 in [-1, 1]."""
    count = recipe.held_out if held_out else recipe.trained
    make = {"paired": _paired, "unpaired": _unpaired, "images": _images, "gaussian": _gaussian}[recipe.kind]
    rows = [make(recipe, [_SCENES, int(held_out), k]) for k in range(count)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _paired(recipe: Recipe, seed: list[int]) -> Arrays:
    scene = make_scene(seed, recipe.width, recipe.height)
    _, instances = np.unique(scene.instance, return_inverse=True)
    return {
        "label": scene.label[None].astype(np.int32),
        "inst": instances.reshape(1, recipe.height, recipe.width).astype(np.int32),
        "image": _unit(scene.photo),
    }


def _unpaired(recipe: Recipe, seed: list[int]) -> Arrays:
    size = recipe.width, recipe.height
    return {
        "A": _unit(make_scene([*seed, 0], *size, style="simulated").photo),
        "B": _unit(make_scene([*seed, 1], *size).photo),
    }


def _images(recipe: Recipe, seed: list[int]) -> Arrays:
    return {"image": _unit(make_scene(seed, recipe.width, recipe.height).photo)}


def _gaussian(recipe: Recipe, seed: list[int]) -> Arrays:
    condition, image = pair(recipe.height, recipe.width, seed)
    return {"condition": condition, "image": image}


def _unit(photo: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(photo.transpose(2, 0, 1), np.float32) / np.float32(127.5) - np.float32(1)


def batches(recipe: Recipe, images: Arrays, seed: int) -> Iterator[Arrays]:
    """The batches of a run: every epoch shows each image once; unpaired images are drawn independently."""
    count = len(next(iter(images.values())))
    streams = {name: (i if recipe.kind == "unpaired" else 0) for i, name in enumerate(images)}
    orders = {stream: _order(recipe.steps * recipe.batch, count, [seed, stream]) for stream in streams.values()}
    for step in range(recipe.steps):
        rows = slice(step * recipe.batch, (step + 1) * recipe.batch)
        yield {name: images[name][orders[stream][rows]] for name, stream in streams.items()}


def _order(length: int, count: int, seed: list[int]) -> np.ndarray:
    epochs = [np.random.default_rng([*seed, epoch]).permutation(count) for epoch in range(-(-length // count))]
    return np.concatenate(epochs)[:length]


def first_weights(recipe: Recipe, seed: int, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """First values of the weights and biases among ``shapes`` (published names, the network's name in front).

    Parameters of other kinds begin as the published code begins them, and are left out. So is everything of a model of
    likelihoods, whose starts (orthogonal matrices, zeros, deviations of every layer's own) belong to the model: our
    systems draw them by seed and structural name, and the published code's side does the same.
    """
    made = {}
    if recipe.likelihood:
        return made
    for name, shape in shapes.items():
        prefix, _, last = name.rpartition(".")
        if last not in ("weight", "bias"):
            continue
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        bound = 1 / np.sqrt(np.prod(shapes[f"{prefix}.weight"][1:]))
        if last == "bias" and recipe.biases == "zero":
            values = np.zeros(shape)
        elif last == "weight" and recipe.deviation:
            values = rng.normal(0, recipe.deviation, shape)
        else:
            values = rng.uniform(-bound, bound, shape)
        made[name] = values.astype(np.float32)
    return made


def slowed(step: int) -> float:
    """Factor on the published learning rate at ``step``: a hundredth in the first :data:`EARLY` steps.

    Absolute values and rectifiers have kinks, and Adam's first steps go by the sign of a gradient, so that rounding
    grows: at the full rate two runs of the published pix2pixHD whose first weights differ in their last bit are 3e-3
    apart after 4 steps and 3e-2 after 10, and no implementation can be closer to another.
    """
    return _EARLY_RATE if step < EARLY else 1.0


def digest(recipe: Recipe) -> str:
    """A checksum of images, orders and weights: equal on two machines if they are given the same."""
    found = hashlib.sha256(repr(replace(recipe, options=dict(sorted(recipe.options.items())))).encode())
    few = replace(recipe, trained=2, held_out=1, steps=8)
    for held_out in (False, True):
        images = pictures(few, held_out)
        for array in images.values():
            found.update(array.tobytes())
    numbers = {"A": np.arange(recipe.trained), "B": np.arange(recipe.trained)}
    for batch in batches(few, numbers, 1):
        found.update(np.concatenate(list(batch.values())).astype(np.int64).tobytes())
    for array in first_weights(recipe, 1, {"a.weight": (3, 2, 3, 3), "a.bias": (3,)}).values():
        found.update(array.tobytes())
    return found.hexdigest()[:16]

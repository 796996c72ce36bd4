"""Pair images with their translations, so that pix2pixHD can learn the translation (label_nc 0).

    python data/pair_translations.py SOURCE TRANSLATIONS TARGET

SOURCE holds the images that a trained CycleGAN, CUT or Hierarchy Flow translated, TRANSLATIONS what eval.py wrote
(results/predict/NAME/PHASE_TAG/images), or translations from elsewhere under the names of the images. TARGET gets
train_A and test_A (the images) and train_B and test_B (their translations) under the names that the samples had in the
translation. Existing files are kept, never overwritten.
"""

import argparse
import re
import sys
from operator import attrgetter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from src.dataset.folders import list_images, names_of
from src.imaging.images import picture_info, read_image, write_png
from src.imaging.names import half_name
from src.utils.errors import UserError, run_command
from src.utils.progress import track

# names that a message lists
_SHOWN = 5


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("source", type=Path, help="folder of the images")
    parser.add_argument("translations", type=Path, help="folder of their translations")
    parser.add_argument("target", type=Path, help="folder for the pairs")
    parser.add_argument("--test_share", type=float, default=0.1, help="fraction kept for testing (default: 0.1)")
    parser.add_argument("--seed", type=int, default=0, help="which pairs are kept for testing (default: 0)")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Match, then copy."""
    options = parse(argv)
    if not 0 <= options.test_share < 1:
        raise UserError(f"--test_share {options.test_share} is not a fraction: it must be at least 0 and below 1")
    pairs = match(options.source, options.translations)
    tested = round(len(pairs) * options.test_share)
    if len(pairs) > 1 and options.test_share:
        tested = max(1, tested)
    order = np.random.default_rng(options.seed).permutation(len(pairs))
    for place, index in enumerate(track(order, "pairs", total=len(pairs))):
        stem, source, translation = pairs[index]
        phase = "test" if place < tested else "train"
        copy(source, options.target / f"{phase}_A" / f"{stem}.png")
        copy(translation, options.target / f"{phase}_B" / f"{stem}.png")
    print(f"{len(pairs) - tested} training and {tested} test pairs in {options.target}")
    return 0


def match(source: Path, translations: Path) -> list[tuple[str, Path, Path]]:
    """Name, image and translation of every image, sorted by name.

    Translations are named ``NAME_fake_B.png`` (CycleGAN and CUT; also fake_A) or ``NAME_to_STYLE.png`` (Hierarchy
    Flow). Where more images find theirs under their very names, the translations were made elsewhere and are named so.

    Raises:
        UserError: an image has no translation, two, or one of another size.
    """
    files = list_images(source)
    listed = list_images(translations)
    named = dict(zip(names_of(files, source), files, strict=True))
    under_names = [
        (name, named[name], translation)
        for name, translation in zip(names_of(listed, translations), listed, strict=True)
        if name in named
    ]
    marked = _marked(files, source, named, listed)
    pairs = max(marked, under_names, key=lambda found: len({file for _, file, _ in found}))
    made: dict[Path, Path] = {}
    for _, file, translation in pairs:
        if (other := made.setdefault(file, translation)) != translation:
            raise UserError(f"{other} and {translation} are translations of one image: keep one of them")
    if not made:
        raise UserError(
            f"{translations} holds no translation of an image in {source}: they are matched by name; translate with "
            f"eval.py --input {source}"
        )
    if missing := [file for file in files if file not in made]:
        told = ", ".join(str(file.relative_to(source)) for file in missing[:_SHOWN])
        raise UserError(
            f"{translations} lacks the translations of {len(missing)} of {len(files)} images in {source} ({told}"
            f"{', ...' if len(missing) > _SHOWN else ''}): add them, or take these images away"
        )
    for name, file, translation in pairs:
        sizes = [(info.width, info.height) for info in (picture_info(file), picture_info(translation))]
        if sizes[0] != sizes[1]:
            raise UserError(
                f"{name}: the image is {sizes[0][0]}x{sizes[0][1]} and its translation {sizes[1][0]}x{sizes[1][1]}: "
                "translate with --eval_size original"
            )
    return sorted(pairs)


def _marked(
    files: list[Path], source: Path, named: dict[str, Path], listed: list[Path]
) -> list[tuple[str, Path, Path]]:
    """The translations whose names say of what they are one: name, image and translation."""
    contents = dict(zip(names_of(files, source, stem=attrgetter("stem")), files, strict=True))
    contents |= {half_name(name): file for name, file in contents.items()}
    found = []
    for translation in listed:
        name, is_fake = re.subn("_fake_[AB]$", "", translation.stem)
        file = named.get(name)
        if not is_fake:
            # a name may hold "_to_" itself
            while (name := name.rpartition("_to_")[0]) and name not in contents:
                pass
            file = contents.get(name)
        if file is not None:
            found.append((name, file, translation))
    return found


def copy(source: Path, target: Path) -> None:
    """Write an image as an RGB PNG unless the same is there."""
    image = read_image(source)
    if target.exists():
        if np.array_equal(read_image(target), image):
            return
        raise UserError(f"{target} exists and differs: nothing is overwritten; choose another target folder")
    write_png(target, image)


if __name__ == "__main__":
    run_command(main)

"""Pair pictures with their translations, so that pix2pixHD can learn the translation (label_nc 0).

    python data/pair_translations.py SOURCE TRANSLATIONS TARGET

SOURCE holds the pictures that a trained CycleGAN or Hierarchy Flow translated, TRANSLATIONS what eval.py wrote
(results/predict/NAME/PHASE_TAG/images). TARGET gets train_A and test_A (the pictures) and train_B and test_B (their
translations) under common names. Nothing that exists is overwritten, except by the same.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from src.dataset.folders import list_images, stem_of
from src.utils.errors import UserError, run_command
from src.utils.images import picture_info, read_image, write_png
from src.utils.progress import track


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("source", type=Path, help="folder of the pictures")
    parser.add_argument("translations", type=Path, help="folder of their translations")
    parser.add_argument("target", type=Path, help="folder for the pairs")
    parser.add_argument("--test_share", type=float, default=0.1, help="share kept for testing (default: 0.1)")
    parser.add_argument("--seed", type=int, default=0, help="which pairs are kept for testing (default: 0)")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Match, then copy."""
    options = parse(argv)
    if not 0 <= options.test_share < 1:
        raise UserError(f"--test_share {options.test_share} is not a share: it must be at least 0 and below 1")
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
    """Stem, picture and translation of every picture that was translated, sorted by stem.

    Translations are named ``STEM_fake_B.png`` (CycleGAN; also fake_A) or ``STEM_to_STYLE.png`` (Hierarchy Flow).
    """
    made: dict[str, Path] = {}
    for file in list_images(translations):
        stem = file.stem.rpartition("_fake_")[0] or file.stem.partition("_to_")[0]
        if stem in made:
            raise UserError(f"{made[stem]} and {file} are translations of one picture: keep one of them")
        made[stem] = file
    pairs = []
    for file in list_images(source):
        stem = next((s for s in (stem_of(file), file.name.split(".")[0]) if s in made), None)
        if stem is not None:
            pairs.append((stem, file, made[stem]))
    if not pairs:
        raise UserError(f"{translations} holds no translation of a picture in {source}: they are matched by name")
    for stem, file, translation in pairs:
        sizes = [(info.width, info.height) for info in (picture_info(file), picture_info(translation))]
        if sizes[0] != sizes[1]:
            raise UserError(
                f"{stem}: the picture is {sizes[0][0]}x{sizes[0][1]} and its translation {sizes[1][0]}x{sizes[1][1]}: "
                "translate with --eval_size original"
            )
    return sorted(pairs)


def copy(source: Path, target: Path) -> None:
    """Write a picture as an RGB PNG unless the same is there."""
    picture = read_image(source)
    if target.exists():
        if np.array_equal(read_image(target), picture):
            return
        raise UserError(f"{target} exists and differs: nothing is overwritten; choose another target folder")
    write_png(target, picture)


if __name__ == "__main__":
    run_command(main)

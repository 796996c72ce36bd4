"""Write a procedural street-scene data set: label maps, 16-bit instance maps and photos, for training and testing.

With --frames each scene is a drive of so many consecutive frames, with the exact optical flow between them.

    python data/create_street_scenes.py datasets/street_scenes --train 200 --test 20 --width 512 --height 256

A data set of the same size, seed and style is always the same. Nothing that exists is overwritten. The folder can be
given to train.py as --data_root.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from src.scenes.drives import write_drives
from src.scenes.scenes import STYLES, write_scenes
from src.utils.errors import UserError, run_command


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("folder", type=Path, help="where to put train_label, train_inst, train_img, test_label, ...")
    parser.add_argument("--train", type=int, default=200, metavar="N", help="training scenes (default: 200)")
    parser.add_argument("--test", type=int, default=20, metavar="N", help="test scenes (default: 20)")
    parser.add_argument("--width", type=int, default=512, help="pixels (default: 512)")
    parser.add_argument("--height", type=int, default=256, help="pixels (default: 256)")
    parser.add_argument("--seed", type=int, default=0, help="another number makes other streets (default: 0)")
    parser.add_argument(
        "--style",
        choices=STYLES,
        default="photo",
        help="'simulated' looks like a rendered game: the same streets, for translation between unpaired styles; "
        "'colourful' has cars of any colour, for instance features (default: photo)",
    )
    parser.add_argument(
        "--trees",
        type=float,
        default=0.0,
        help="0 to 1: how many places along both kerbs have a tall tree; at 1 hardly any sky is seen (default: 0)",
    )
    parser.add_argument(
        "--frames",
        type=int,
        default=1,
        metavar="N",
        help="above 1, each scene is a drive of N frames past a street that stands still, with exact optical flow in "
        "train_flow and test_flow (default: 1)",
    )
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 uses every core, up to 8 (default: 0)")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Write both parts."""
    options = parse(argv)
    for name, least in (("train", 0), ("test", 0), ("seed", 0), ("workers", 0)):
        if getattr(options, name) < least:
            raise UserError(f"--{name} {getattr(options, name)} is below {least}")
    workers = options.workers or min(8, os.cpu_count() or 1)
    write = write_scenes if options.frames == 1 else partial(write_drives, frames=options.frames)
    for phase, count in (("train", options.train), ("test", options.test)):
        if count:
            write(
                options.folder,
                phase,
                count,
                width=options.width,
                height=options.height,
                seed=options.seed,
                style=options.style,
                workers=min(workers, count),
                trees=options.trees,
            )
    what = "scenes" if options.frames == 1 else f"drives of {options.frames} frames"
    print(f"{options.train} training and {options.test} test {what} in {options.folder}")
    return 0


if __name__ == "__main__":
    run_command(main)

"""Arrange a Cityscapes download as pix2pixHD wants it: {train,test}_{label,inst,img} with files that pair by name.

Unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip into one folder, which then holds leftImg8bit/ and
gtFine/, each with train/, val/ and test/ and a folder for every city. Then:

    python data/create_pix2pixhd_dataset.py /data/cityscapes datasets/cityscapes
    python data/create_pix2pixhd_dataset.py /data/cityscapes datasets/cityscapes --mode symlink
    python data/create_pix2pixhd_dataset.py /data/cityscapes datasets/coarse --annotations gtCoarse

The training part becomes train_*, the validation part test_* (Cityscapes keeps the labels of its test part to
itself). Nothing is overwritten: files that are there with the right size are kept, so an interrupted run can be
repeated; anything else in their place is an error before the first file is written.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from src.dataset.folders import stem_of
from src.utils.errors import UserError, run_command
from src.utils.files import explain_os_error, temporary_name
from src.utils.progress import track
from src.utils.text import counted

# Images in the published splits; a download with other numbers is reported, not refused.
PUBLISHED = {"train": 2975, "val": 500, "test": 1525, "train_extra": 19998}
SHOWN = 5


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("source", type=Path, help="folder that holds leftImg8bit/ and gtFine/")
    parser.add_argument(
        "target", type=Path, nargs="?", default=Path("datasets/cityscapes"), help="default: %(default)s"
    )
    parser.add_argument(
        "--mode",
        choices=("copy", "hardlink", "symlink"),
        default="copy",
        help="copy needs 12 GB for the full set; hard links need the same disk; symbolic links need the source to stay",
    )
    parser.add_argument("--annotations", choices=("gtFine", "gtCoarse"), default="gtFine")
    parser.add_argument("--train_split", default="train", help="split that becomes train_* ('' for none)")
    parser.add_argument("--test_split", default="val", help="split that becomes test_* ('' for none)")
    parser.add_argument(
        "--skip_incomplete", action="store_true", help="leave images out that lack a partner, instead of stopping"
    )
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Plan everything, check it, then write."""
    options = parse(argv)
    splits = {"train": options.train_split, "test": options.test_split}
    plan: list[tuple[Path, Path]] = []
    for phase, split in splits.items():
        if split:
            plan += plan_split(options, phase, split)
    if not plan:
        raise UserError("both --train_split and --test_split are empty: there is nothing to do")
    waiting = [(source, target) for source, target in plan if not already_there(source, target, options.mode)]
    for source, target in track(waiting, options.mode, unit="files"):
        place(source, target, options.mode)
    kept = len(plan) - len(waiting)
    print(f"{counted(len(waiting), 'file')} in {options.target}" + (f", {kept} there already" if kept else ""))
    return 0


def plan_split(options: argparse.Namespace, phase: str, split: str) -> list[tuple[Path, Path]]:
    """Source and target of every file of one split; prints the counts and reports missing partners."""
    kinds = {
        "img": (options.source / "leftImg8bit" / split, "_leftImg8bit.png"),
        "label": (options.source / options.annotations / split, f"_{options.annotations}_labelIds.png"),
        "inst": (options.source / options.annotations / split, f"_{options.annotations}_instanceIds.png"),
    }
    found = {}
    for kind, (folder, suffix) in kinds.items():
        if not folder.is_dir():
            raise UserError(
                f"folder {folder} does not exist: give the folder that holds leftImg8bit/ and "
                f"{options.annotations}/ after unpacking, with a split named {split}"
            )
        found[kind] = {stem_of(path): path for path in sorted(folder.rglob(f"*{suffix}"))}
    every = set().union(*found.values())
    if not every:
        raise UserError(f"there are no Cityscapes images in {kinds['img'][0]}")
    missing = {kind: sorted(every - files.keys()) for kind, files in found.items() if every - files.keys()}
    if missing:
        parts = [
            f"{len(stems)} lack {kind} ({', '.join(stems[:SHOWN])}{', ...' if len(stems) > SHOWN else ''})"
            for kind, stems in missing.items()
        ]
        message = f"split {split}: {'; '.join(parts)}"
        if not options.skip_incomplete:
            raise UserError(f"{message}: complete the download, or pass --skip_incomplete to leave them out")
        print(f"{message}; left out")
    complete = sorted(set.intersection(*(set(files) for files in found.values())))
    if not complete:
        raise UserError(f"split {split} has no image with both partners: check {options.source}")
    published = PUBLISHED.get(split)
    remark = f" (the published split has {published})" if published and published != len(complete) else ""
    print(f"{split} -> {phase}: {counted(len(complete), 'image')}{remark}")
    return [
        (files[stem], options.target / f"{phase}_{kind}" / files[stem].name)
        for kind, files in found.items()
        for stem in complete
    ]


def already_there(source: Path, target: Path, mode: str) -> bool:
    """Whether ``target`` already is what would be written. Raises ``UserError`` if it is something else."""
    if not os.path.lexists(target):
        return False
    try:
        same = target.is_file() and target.stat().st_size == source.stat().st_size
    except OSError:
        same = False
    if same and (mode == "copy" or target.samefile(source)):
        return True
    raise UserError(f"{target} exists and is not {source}: nothing is overwritten; choose another target folder")


def place(source: Path, target: Path, mode: str) -> None:
    """Copy or link one file; it is complete or absent afterwards."""
    temporary = temporary_name(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if mode == "symlink":
            target.symlink_to(source.resolve())
        elif mode == "hardlink":
            os.link(source, target)
        else:
            with open(source, "rb") as read, open(temporary, "xb") as write:
                while block := read.read(1 << 20):
                    write.write(block)
            os.rename(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        way_out = " (hard links need source and target on one disk: use --mode copy)" if mode == "hardlink" else ""
        raise UserError(f"{explain_os_error(error, target)}{way_out}") from error


if __name__ == "__main__":
    run_command(main)

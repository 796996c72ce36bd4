"""Make instance maps with one 16-bit id per pixel from maps in which every instance has a colour of its own.

    python data/convert_instance_maps.py SOURCE TARGET

The id is R + 256 G + 65536 B, as in COCO panoptic maps. Where a map has ids above 65535, which 16 bits cannot hold, its
colours are numbered instead, in ascending order of these ids; black stays 0. TARGET becomes a folder with the paths of
SOURCE and the suffix .png.
"""

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from src.dataset.folders import list_images
from src.imaging.images import picture_info, read_image, write_png
from src.utils.errors import UserError, run_command
from src.utils.files import explain_os_error, temporary_name
from src.utils.progress import track
from src.utils.text import counted

_HIGHEST_ID = 65535


def main(argv: list[str]) -> int:
    """Convert every map; the target appears when it is complete."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("source", type=Path, help="folder of coloured instance maps")
    parser.add_argument("target", type=Path, help="new folder for the converted ones")
    options = parser.parse_args(argv)
    source, target = options.source, options.target
    if target.exists():
        raise UserError(f"{target} exists, and nothing is overwritten: choose another target folder")
    files = list_images(source)
    work = temporary_name(target)
    try:
        for file in track(files, "maps", total=len(files)):
            written = (work / file.relative_to(source)).with_suffix(".png")
            if written.exists():
                raise UserError(f"{file} has the name of another map but for its suffix: rename one of them")
            write_png(written, to_ids(file))
        if not files:
            raise UserError(f"folder {source} holds no instance maps")
        work.rename(target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{counted(len(files), 'instance map')} in {target}")
    return 0


def to_ids(path: Path) -> np.ndarray:
    """(H, W) uint16 ids of a coloured map; see above.

    Raises:
        UserError: the file is a JPEG or WebP, whose compression changes colours, or has too many colours.
    """
    if picture_info(path).format in ("JPEG", "WEBP"):
        raise UserError(f"{path} is a JPEG or WebP: lossy compression changes colours; convert the original maps")
    ids = read_image(path, 3).astype(np.int64) @ np.array([1, 256, 65536])
    if ids.max() > _HIGHEST_ID:
        colours = np.unique(np.append(ids, 0))
        if len(colours) > _HIGHEST_ID + 1:
            raise UserError(f"{path} has {len(colours)} colours: it is not an instance map")
        ids = np.searchsorted(colours, ids)
    return ids.astype(np.uint16)


if __name__ == "__main__":
    run_command(main)

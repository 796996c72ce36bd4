"""Make a data set of square images for hflow from a zip file or a folder of images.

    python data/create_hflow_dataset.py --path images.zip --dataset_path datasets --dataset_name cats --resolution 128
    python train.py --config_path configs/hflow_128.yaml --data_root datasets/cats --name cats

Images may lie in nested folders and have any size; grey, transparent and 16-bit ones are converted. Files that cannot
be read are skipped and counted. The result is a folder with a PNG for each image, in the order of the archive, and the
records that training reads. It appears when it is complete; nothing that exists is overwritten.

Names in an archive are never used as paths, and a member that unpacks to more than an image can need is not unpacked
further.
"""

import argparse
import contextlib
import re
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import src  # noqa: F401  (sets the environment before MindSpore is imported)
from src.dataset.folders import list_images, tell_skipped
from src.dataset.imagefolder import FITS, ImageReader, ImagesRequest, to_square
from src.dataset.records import open_records
from src.imaging.images import IMAGE_EXTENSIONS, read_image, write_png
from src.imaging.names import file_name
from src.utils.errors import UserError, run_command, shown
from src.utils.files import explain_os_error, temporary_name
from src.utils.progress import track
from src.utils.text import counted

# an uncompressed 16-bit image of the largest size that is read at all
MAX_MEMBER_BYTES = 1 << 30
# first bytes of images: a file with others is not unpacked to its end
STARTS = (b"\x89PNG", b"\xff\xd8", b"BM", b"II*\0", b"MM\0*", b"RIFF", *(b"P%d" % kind for kind in range(1, 7)))
SHOWN = 5
_DAMAGED = (EOFError, NotImplementedError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)


class Skipped(Exception):
    """An image that is left out; the text is the reason."""


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("-p", "--path", type=Path, required=True, help="zip file or folder of images")
    parser.add_argument("-dp", "--dataset_path", type=Path, required=True, help="folder of data sets")
    parser.add_argument("-dn", "--dataset_name", required=True, help="name of the new folder in it")
    parser.add_argument("-r", "--resolution", type=int, required=True, help="side of the squares, in pixels")
    parser.add_argument(
        "--fit",
        choices=FITS,
        default="squash",
        help="squash resizes both sides, as published; crop cuts the centre out (default: %(default)s)",
    )
    parser.add_argument(
        "--held_out", type=int, default=200, help="last images kept from training (default: %(default)s)"
    )
    parser.add_argument("--no_records", action="store_true", help="leave the records to the first training run")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Convert every image, then build the records."""
    options = parse(argv)
    target = _target(options)
    work = temporary_name(target)
    skipped: dict[str, str] = {}
    try:
        work.mkdir(parents=True)
        count = _convert(options, work, skipped)
        if not count:
            raise UserError(
                f"{options.path} holds no image that can be read{_describe(skipped)}: expected "
                f"{', '.join(IMAGE_EXTENSIONS)}"
            )
        work.rename(target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{counted(count, 'image')} of {options.resolution}x{options.resolution} in {target}")
    if skipped:
        print(f"left out{_describe(skipped)}")
    if not options.no_records:
        _build_records(options, target, count)
    return 0


def _target(options: argparse.Namespace) -> Path:
    size = options.resolution
    if size < 16 or size & (size - 1) or size > 2048:
        raise UserError(f"--resolution {size} fits no hflow network: use a power of two from 16 on, such as 128 or 256")
    if not re.fullmatch(r"[\w][\w.-]*", options.dataset_name):
        raise UserError(
            f"--dataset_name {options.dataset_name!r} must be one folder name of letters, digits, '_', '-' and '.'"
        )
    if not options.path.exists():
        raise UserError(f"{options.path} does not exist: pass a zip file or a folder of images as --path")
    target = options.dataset_path / options.dataset_name
    if target.exists():
        raise UserError(f"{target} exists, and nothing is overwritten: choose another --dataset_name or remove it")
    return target


def _convert(options: argparse.Namespace, work: Path, skipped: dict[str, str]) -> int:
    """Write the squares as numbered PNG files; returns how many there are."""
    count = 0
    files, total = _folder(options.path) if options.path.is_dir() else _archive(options.path, work)
    with contextlib.closing(files):
        for name, path in track(files, "converting", unit="images", total=total):
            try:
                if isinstance(path, Skipped):
                    raise path
                image = to_square(read_image(path, 3), options.resolution, options.fit)
            except Skipped as reason:
                skipped[name] = str(reason)
            except UserError as error:
                skipped[name] = str(error).replace(str(path), name)
            else:
                stem = re.sub(r"[^\w.-]+", "_", Path(name).stem)[:80].strip("._")
                write_png(work / f"{count:07d}_{file_name(stem or 'picture', 190)}.png", image)
                count += 1
    return count


def _folder(path: Path) -> tuple[Iterator[tuple[str, Path]], int]:
    files = list_images(path)
    return ((str(file.relative_to(path)), file) for file in files), len(files)


def _archive(path: Path, work: Path) -> tuple[Iterator[tuple[str, Path | Skipped]], int]:
    """Each image of an archive, unpacked to one temporary file after the other."""
    try:
        archive = zipfile.ZipFile(path)
        members = [info for info in archive.infolist() if _is_visible(info)]
    except OSError as error:
        raise explain_os_error(error, path, "read") from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise UserError(
            f"{path} is not a readable zip file ({error}): copy it again, or unpack it and pass the folder"
        ) from error
    images = [info for info in members if info.filename.lower().endswith(IMAGE_EXTENSIONS)]
    tell_skipped(path, (info.filename for info in members if not info.filename.lower().endswith(IMAGE_EXTENSIONS)))
    return _members(archive, images, work), len(images)


def _is_visible(info: zipfile.ZipInfo) -> bool:
    name = info.filename.replace("\\", "/")
    hidden = any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))
    return not info.is_dir() and not hidden and "__MACOSX" not in name


def _members(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], work: Path
) -> Iterator[tuple[str, Path | Skipped]]:
    scratch = work / ".member"
    with archive:
        for info in members:
            path = scratch.with_suffix(Path(info.filename).suffix.lower())
            try:
                _unpack(archive, info, path)
                yield info.filename, path
            except Skipped as reason:
                yield info.filename, reason
            finally:
                path.unlink(missing_ok=True)


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    """Write at most MAX_MEMBER_BYTES; the sizes that the archive gives are not trusted."""
    if info.flag_bits & 1:
        raise Skipped("it is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # other methods compress a bomb a thousand times more, and no image gains from them
        raise Skipped("it is compressed by a method other than deflate")
    try:
        source = archive.open(info)
    except _DAMAGED as error:
        raise Skipped(f"it is damaged ({error})") from error
    first, left = True, MAX_MEMBER_BYTES
    with source, open(path, "wb") as file:
        while True:
            try:
                block = source.read(1 << 20)
            except _DAMAGED as error:
                raise Skipped(f"it is damaged ({error})") from error
            if not block:
                return
            if first and not block.startswith(STARTS):
                raise Skipped("it is not an image")
            first = False
            left -= len(block)
            if left < 0:
                raise Skipped(f"it unpacks to more than {MAX_MEMBER_BYTES >> 20} MiB")
            file.write(block)


def _describe(skipped: dict[str, str]) -> str:
    if not skipped:
        return ""
    named = "; ".join(f"{shown(name)}: {shown(reason)}" for name, reason in list(skipped.items())[:SHOWN])
    more = "; ..." if len(skipped) > SHOWN else ""
    return f" ({len(skipped)} could not be read: {named}{more})"


def _build_records(options: argparse.Namespace, target: Path, count: int) -> None:
    held_out = options.held_out if options.held_out < count else 0
    if held_out != options.held_out:
        print(
            f"{counted(count, 'image')}: too few to keep {options.held_out} from training; pass --held_out to "
            "train.py, too"
        )
    config = argparse.Namespace(
        data_root=str(target),
        held_out=held_out,
        max_dataset_size=0,
        image_fit=options.fit,
        no_flip=False,
    )
    records = open_records(ImageReader(ImagesRequest(options.resolution), config, "train", training=True), target)
    print(f"{records.count} of them in {len(records.files)} record files for training, {held_out} held out")


if __name__ == "__main__":
    run_command(main)

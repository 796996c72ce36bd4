"""Make the lists that unpaired translation between GTA5 and Cityscapes trains on, from downloads or a parquet export.

From downloads: GTA5's image archives unpacked into one folder (images/00001.png ...; labels/ beside it for the semantic
loss), and Cityscapes' leftImg8bit_trainvaltest.zip:

    python data/create_gta2cityscapes_dataset.py datasets/gta2cityscapes --gta /data/gta5 --cityscapes /data/cityscapes

From an export with the columns imageA and imageB (one .parquet file or a folder of them; needs pyarrow below 21):

    python data/create_gta2cityscapes_dataset.py datasets/sim2real --parquet /data/sim2real

The target folder then holds trainA.txt, trainB.txt, testA.txt and testB.txt (and, from an export, the images) and is
given to train.py as --data_root. --records CONFIG writes the MindRecord shards of a configuration right away. Nothing
that exists is overwritten, except by the same.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from src.dataset.folders import list_images
from src.utils.errors import UserError, run_command
from src.utils.files import atomic_write, explain_os_error
from src.utils.progress import track
from src.utils.text import counted

PUBLISHED = {"gta": 24966, "train": 2975, "val": 500, "test": 1525}
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("target", type=Path, help="folder for the lists (and the images of an export)")
    parser.add_argument("--gta", type=Path, help="folder that holds images/ of GTA5")
    parser.add_argument("--cityscapes", type=Path, help="folder that holds leftImg8bit/")
    parser.add_argument("--parquet", type=Path, help="an export instead: a .parquet file or a folder of them")
    parser.add_argument("--train_split", default="train", help="split of Cityscapes to train on (default: train)")
    parser.add_argument("--test_split", default="test", help="split of Cityscapes to test on (default: test)")
    parser.add_argument(
        "--test_share",
        type=float,
        default=None,
        help="fraction of GTA5, or of an export, that is kept for testing (default: 0.5 of GTA5, 0.1 of an export)",
    )
    parser.add_argument("--max_train", type=int, default=0, help="use at most so many of GTA5 for training; 0 uses all")
    parser.add_argument("--seed", type=int, default=0, help="which images are kept for testing (default: 0)")
    parser.add_argument("--records", metavar="CONFIG", help="also write the MindRecord shards of this configuration")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Write the lists, then the records if they are wanted."""
    options = parse(argv)
    if options.parquet:
        if options.gta or options.cityscapes:
            raise UserError("--parquet replaces --gta and --cityscapes: give one or the other")
        lists = from_parquet(options)
    elif options.gta and options.cityscapes:
        lists = from_downloads(options)
    else:
        raise UserError("give --gta FOLDER and --cityscapes FOLDER, or --parquet PATH")
    for name, lines in lists.items():
        write_list(options.target / f"{name}.txt", lines)
        print(f"{options.target / name}.txt: {counted(len(lines), 'image')}")
    print(f"train with --data_root {options.target}")
    if options.records:
        build_records(options.records, options.target)
    return 0


def split(number: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices to train and to test on, both in ascending order; a function of the arguments alone."""
    if not 0 <= share < 1:
        raise UserError(f"--test_share {share} is not a fraction: it must be at least 0 and below 1")
    tested = set(np.random.default_rng(seed).permutation(number)[: round(number * share)].tolist())
    return [i for i in range(number) if i not in tested], sorted(tested)


def from_downloads(options: argparse.Namespace) -> dict[str, list[str]]:
    """Lines of each list; the downloads appear in the target as links, so that lines are relative to it."""
    gta = pictures_in(options.gta / "images", "GTA5", "gta")
    train, test = split(len(gta), 0.5 if options.test_share is None else options.test_share, options.seed)
    if options.max_train:
        chosen = np.random.default_rng([options.seed, 1]).permutation(len(train))[: options.max_train]
        train = [train[i] for i in sorted(chosen.tolist())]
    roots = {"gta": options.gta, "cityscapes": options.cityscapes}
    for name, root in roots.items():
        link(options.target / name, root)
    lists = {"trainA": [gta[i] for i in train], "testA": [gta[i] for i in test]}
    lists = {name: [line(options.target, "gta", options.gta, f) for f in files] for name, files in lists.items()}
    for name, part in (("trainB", options.train_split), ("testB", options.test_split)):
        files = pictures_in(options.cityscapes / "leftImg8bit" / part, f"Cityscapes {part}", part)
        lists[name] = [line(options.target, "cityscapes", options.cityscapes, f) for f in files]
    return {name: lines for name, lines in lists.items() if lines}


def pictures_in(folder: Path, what: str, published: str) -> list[Path]:
    """All images below a folder; a count that differs from the published one is said, not refused."""
    if not folder.is_dir():
        raise UserError(f"folder {folder} does not exist: give the folder that {what} was unpacked into")
    files = list_images(folder)
    if not files:
        raise UserError(f"folder {folder} holds no images of {what}")
    expected = PUBLISHED.get(published)
    remark = f" (published: {expected})" if expected and expected != len(files) else ""
    print(f"{what}: {counted(len(files), 'image')}{remark}")
    return files


def link(path: Path, target: Path) -> None:
    """Make ``path`` a link to a folder, where links can be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, path.parent, "create") from error
    if os.path.lexists(path):
        if path.exists() and path.samefile(target):
            return
        raise UserError(f"{path} exists and is not {target}: nothing is overwritten; choose another target folder")
    try:
        path.symlink_to(target.resolve(), target_is_directory=True)
    except OSError:
        return  # lines then hold whole paths


def line(target: Path, name: str, root: Path, file: Path) -> str:
    """A line of a list: relative to the target through its link, or the whole path where there is none."""
    if (target / name).is_dir():
        return (Path(name) / file.relative_to(root)).as_posix()
    return str(file.resolve())


def write_list(path: Path, lines: list[str]) -> None:
    """Write a list unless the same is there. Raises ``UserError`` if another one is."""
    text = "\n".join(lines) + "\n"
    if path.exists():
        if path.read_text(encoding="utf-8") == text:
            return
        raise UserError(f"{path} exists and lists other images: nothing is overwritten; choose another target folder")
    atomic_write(path, text)


def from_parquet(options: argparse.Namespace) -> dict[str, list[str]]:
    """Write the images of an export as they are stored, and return the lines of each list.

    Row i holds an image of either domain; the two have nothing to do with each other.
    """
    number, rows = read_parquet(options.parquet)
    train, test = split(number, 0.1 if options.test_share is None else options.test_share, options.seed)
    phase = dict.fromkeys(train, "train") | dict.fromkeys(test, "test")
    lists: dict[str, list[str]] = {"trainA": [], "trainB": [], "testA": [], "testB": []}
    for i, pictures in enumerate(track(rows, "images", total=number)):
        for domain, data in zip("AB", pictures, strict=True):
            name = f"{phase[i]}{domain}/{i:05d}{suffix(data, options.parquet, i)}"
            write_picture(options.target / name, data)
            lists[f"{phase[i]}{domain}"].append(name)
    return {name: lines for name, lines in lists.items() if lines}


def read_parquet(path: Path) -> tuple[int, Iterator[tuple[bytes, bytes]]]:
    """Number of rows and an iterator over the encoded images of the columns imageA and imageB."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise UserError(
            "reading .parquet files needs pyarrow, in a version that goes with NumPy 1: pip install 'pyarrow<21'"
        ) from None
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path} holds no .parquet files")
    number = 0
    for file in files:
        try:
            with parquet.ParquetFile(file) as opened:
                number += opened.metadata.num_rows
                lacking = {"imageA", "imageB"} - set(opened.schema_arrow.names)
                names = ", ".join(opened.schema_arrow.names)
        except Exception as error:  # pyarrow raises its own errors and plain OSError
            raise UserError(f"{file} is no readable parquet file ({error}): download it again") from error
        if lacking:
            raise UserError(f"{file} has no column {' and '.join(sorted(lacking))}: it has {names}")

    def rows() -> Iterator[tuple[bytes, bytes]]:
        for file in files:
            with parquet.ParquetFile(file) as opened:
                for batch in opened.iter_batches(16, columns=["imageA", "imageB"]):
                    for row in batch.to_pylist():
                        yield encoded(row["imageA"]), encoded(row["imageB"])

    return number, rows()


def encoded(value: object) -> bytes:
    """The bytes of an image, stored alone or beside its file name."""
    data = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else b""


def suffix(data: bytes, source: Path, row: int) -> str:
    """The file name extension of encoded bytes."""
    for head, extension in _SUFFIXES.items():
        if data.startswith(head):
            return extension
    raise UserError(f"row {row} of {source} holds no PNG or JPEG image: the export is damaged or of another kind")


def write_picture(path: Path, data: bytes) -> None:
    """Write a file unless one of that size is there."""
    if path.exists():
        if path.stat().st_size == len(data):
            return
        raise UserError(f"{path} exists and differs: nothing is overwritten; choose another target folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, data)


def build_records(config_path: str, data_root: Path) -> None:
    """Write the shards that training with this configuration would write."""
    import src  # noqa: F401  (sets the environment before MindSpore is imported)
    from src.systems.programs import load_config
    from src.systems.registry import find_system

    config = load_config(["--config_path", config_path, "--data_root", str(data_root)])
    system = find_system(config.model).load()
    data = system.data.open(system.request(config, training=True), config, "train")
    print(f"records for {config_path}: {counted(data.steps_per_epoch, 'step')} of {data.batch_size} an epoch")


if __name__ == "__main__":
    run_command(main)

"""Pictures, label maps and instance maps that are damaged, lie about themselves or are something else."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from src.dataset.paired import PAIRED, PairedReader, PairedRequest
from src.imaging.images import picture_info, read_image, read_instances, read_labels, verify_picture
from src.systems.programs import load_config
from tests.fuzz.mutations import INPUTS, Trial, damaged, spliced, try_inputs
from tests.tiny_runs import make_streets, options_of

# Pillow's remarks on odd files
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore:Image size:Warning")
RNG = np.random.default_rng(3)
COLOURS = RNG.integers(0, 256, (9, 14, 3)).astype(np.uint8)
IDS = RNG.integers(0, 35, (9, 14)).astype(np.uint8)
WIDE_IDS = RNG.integers(0, 34000, (9, 14)).astype(np.uint16)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth=8, colour=0, body=None, extra=b"", interlaced=0):
    """A PNG by hand, whose checksums are right whatever it claims."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    rows = zlib.compress(b"\0" * 4096 if body is None else body)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def palette():
    picture = Image.fromarray(IDS % 4).convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    return picture


PHOTOS = {
    "rgb.png": encoded(Image.fromarray(COLOURS)),
    "alpha.png": encoded(Image.fromarray(np.dstack([COLOURS, IDS]))),
    "grey.png": encoded(Image.fromarray(IDS)),
    "grey_alpha.png": encoded(Image.fromarray(np.dstack([IDS, IDS]), "LA")),
    "sixteen.png": encoded(Image.fromarray(WIDE_IDS)),
    "palette.png": encoded(palette()),
    "clear_palette.png": encoded(palette(), transparency=1),
    "bits.png": encoded(Image.fromarray(IDS > 7)),
    "a.jpg": encoded(Image.fromarray(COLOURS), "JPEG"),
    "turned.jpg": encoded(Image.fromarray(COLOURS), "JPEG", exif=turned()),
    "cmyk.jpg": encoded(Image.fromarray(COLOURS).convert("CMYK"), "JPEG"),
    "progressive.jpg": encoded(Image.fromarray(COLOURS), "JPEG", progressive=True),
    "a.bmp": encoded(Image.fromarray(COLOURS), "BMP"),
    "palette.bmp": encoded(palette(), "BMP"),
    "a.ppm": encoded(Image.fromarray(COLOURS), "PPM"),
    "a.tif": encoded(Image.fromarray(COLOURS), "TIFF"),
    "packed.tif": encoded(Image.fromarray(COLOURS), "TIFF", compression="tiff_lzw"),
    "float.tif": encoded(Image.fromarray(IDS.astype(np.float32)), "TIFF"),
    "wide.tif": encoded(Image.fromarray(WIDE_IDS.astype(np.int32)), "TIFF"),
    "lab.tif": encoded(Image.fromarray(COLOURS, "LAB"), "TIFF"),
    "gif.png": encoded(Image.fromarray(IDS), "GIF"),
    "webp.jpg": encoded(Image.fromarray(COLOURS), "WEBP"),
}
HANDMADE = {
    "empty.png": b"",
    "text.png": b"<html>not found</html>",
    "pointer.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "zip.png": b"PK\x03\x04" + bytes(100),
    "svg.png": b"<?xml version='1.0'?><svg/>",
    "eps.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
    "fits.tif": b"SIMPLE  =                    T" + b" " * 2850,
    "no_size.png": png(0, 0),
    "flat.png": png(5, 0),
    "bomb.png": png(60_000, 60_000),
    "long.png": png(2**31 - 1, 1),
    "claims_more.png": png(12_000, 12_000),
    "odd_depth.png": png(4, 4, depth=3),
    "odd_colour.png": png(4, 4, colour=5),
    "no_palette.png": png(4, 4, colour=3),
    "two_bits.png": png(4, 4, depth=2, body=b"\0\x1b" * 4),
    "interlaced.png": png(4, 4, interlaced=1),
    "text_bomb.png": png(4, 4, extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80 << 20)))),
    "profile_bomb.png": png(4, 4, extra=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(80 << 20)))),
    "many_chunks.png": png(4, 4, extra=chunk(b"tEXt", b"a\0b") * 20_000),
    "giant.ppm": b"P6 100000 100000 255\n",
    "digits.ppm": b"P6 " + b"9" * 5000 + b" 1 255\n",
    "negative.ppm": b"P6 -4 4 255\n" + bytes(48),
    "giant.bmp": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**31 - 1, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0),
    "loop.tif": b"II*\0\x08\0\0\0" + struct.pack("<H", 0) + struct.pack("<I", 8),
    "entries.tif": b"II*\0\x08\0\0\0" + struct.pack("<H", 65535) + bytes(12 * 100),
    "folder": None,
}


def trials(kind, folder, sources, read, rng):
    folder.mkdir()
    names = list(sources)
    for number in range(INPUTS[kind]):
        if number < len(HANDMADE):
            name, data = list(HANDMADE.items())[number]
        else:
            name = names[int(rng.integers(len(names)))]
            other = sources[names[int(rng.integers(len(names)))]]
            mend = zlib_mended if rng.random() < 0.5 else bytes
            data = spliced(sources[name], other, rng) if rng.random() < 0.1 else mend(damaged(sources[name], rng))
        path = folder / f"{number:03d}_{name}"
        path.write_bytes(data) if data is not None else path.with_suffix(".png").mkdir()
        path = path if data is not None else path.with_suffix(".png")
        yield Trial(lambda path=path: read(path), folder, path.name)
        path.unlink() if data is not None else path.rmdir()


def zlib_mended(data):
    """A PNG whose chunks have right checksums again, so that the damage gets past them."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    result, place = data[:8], 8
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        body = data[place + 8 : place + 8 + length]
        result += chunk(data[place + 4 : place + 8], body)
        place += 12 + length
    return result


def test_pictures(working_folder):
    rng = np.random.default_rng(4)

    def read(path):
        info = picture_info(path)
        assert verify_picture(path).format == info.format
        channels = int(rng.choice([1, 3, 4]))
        array = read_image(path, channels)
        assert array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == channels and array.size

    try_inputs("pictures", trials("pictures", working_folder / "data", PHOTOS, read, rng))


def test_label_maps(working_folder):
    def read(path):
        ids = read_labels(path)
        assert ids.dtype == np.int32 and ids.ndim == 2 and ids.size and ids.min() >= 0

    try_inputs("label maps", trials("label maps", working_folder / "data", PHOTOS, read, np.random.default_rng(5)))


def test_instance_maps(working_folder):
    rng = np.random.default_rng(6)

    def read(path):
        ids = read_instances(path, allow_8bit=rng.random() < 0.5)
        assert ids.dtype == np.int32 and ids.ndim == 2 and ids.size and ids.min() >= 0

    sources = {name: data for name, data in PHOTOS.items() if name.endswith(("png", "tif", "bmp"))}
    try_inputs("instance maps", trials("instance maps", working_folder / "data", sources, read, rng))


def test_samples(working_folder):
    """A label map, an instance map and a photo together, as training reads them."""
    rng = np.random.default_rng(7)
    data = make_streets(working_folder / "data", train=1, test=1)
    options = load_config(options_of(data_root=data)).part(*PAIRED.owners)
    files = [data / f"train_{column}" / "scene_00000.png" for column in ("label", "inst", "img")]
    whole = [path.read_bytes() for path in files]

    def read():
        reader = PairedReader(PairedRequest(4, 35), options, "train", training=True)
        sample = reader.sample(reader.load(0), np.random.default_rng(0))
        assert sample["label"].max() < 35 and sample["inst"].max() < options.max_instances
        assert np.isfinite(sample["image"]).all()

    def damaged_samples():
        for number in range(INPUTS["samples"]):
            for path, content in zip(files, whole, strict=True):
                path.write_bytes(content)
            path = files[number % 3]
            if number % 4 == 0:  # another picture altogether
                path.write_bytes(list(PHOTOS.values())[int(rng.integers(len(PHOTOS)))])
            elif number % 7:
                path.write_bytes(zlib_mended(damaged(path.read_bytes(), rng, 2)))
            yield Trial(read, data)

    try_inputs("samples", damaged_samples())

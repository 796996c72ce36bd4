"""Reading pictures, label maps and instance maps: every kind of file, good and bad."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from src.imaging import images
from src.utils.errors import UserError


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def saved(tmp_path, picture, name="a.png", **options):
    path = tmp_path / name
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path, **options)
    return path


def test_a_colour_photo_is_read_as_it_is(tmp_path, photo):
    for name in ("a.png", "a.bmp", "a.ppm", "a.tiff", "A.PNG"):
        np.testing.assert_array_equal(images.read_image(saved(tmp_path, photo, name)), photo)


def test_webp_is_read(tmp_path, photo):
    path = saved(tmp_path, photo, "a.webp", lossless=True)
    np.testing.assert_array_equal(images.read_image(path), photo)
    assert images.picture_info(path) == (20, 12, "RGB", "WEBP") == images.verify_picture(path)
    lossy = images.read_image(saved(tmp_path, np.full((40, 30, 3), 99, np.uint8), "lossy.WEBP", quality=80))
    assert lossy.shape == (40, 30, 3) and np.abs(lossy.astype(int) - 99).max() < 4
    clear = np.dstack([photo, np.full((12, 20), 7, np.uint8)])
    np.testing.assert_array_equal(
        images.read_image(saved(tmp_path, clear, "b.webp", lossless=True, exact=True), 4), clear
    )
    large = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert images.picture_info(saved(tmp_path, large, "large.webp", lossless=True))[:2] == (400, 300)


def test_an_animation_gives_its_first_frame(tmp_path, photo):
    frames = [Image.fromarray(photo), Image.fromarray(photo[::-1].copy())]
    for name in ("a.webp", "a.png", "a.tiff"):
        options = {"lossless": True} if name == "a.webp" else {}
        path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(images.read_image(path), photo)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK"])
def test_every_mode_becomes_the_channels_asked_for(tmp_path, photo, mode, channels):
    grey = photo[:, :, 0]
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(photo).convert(mode)
    path = saved(tmp_path, picture, "a.tiff" if mode == "CMYK" else "a.png")
    image = images.read_image(path, channels)
    assert image.shape == (12, 20, channels) and image.dtype == np.uint8
    if mode == "I;16":
        np.testing.assert_array_equal(image[:, :, 0], grey)
    if mode == "RGB" and channels == 4:
        np.testing.assert_array_equal(image, np.dstack([photo, np.full((12, 20), 255, np.uint8)]))
    if mode == "RGBA" and channels == 3:
        np.testing.assert_array_equal(image, photo)


def test_dropped_alpha_keeps_hidden_colours_and_is_said_once(tmp_path, photo, capsys, monkeypatch):
    monkeypatch.setattr(images, "_said", set())
    clear = np.dstack([photo, np.zeros((12, 20), np.uint8)])
    for name in ("a.png", "b.png"):
        np.testing.assert_array_equal(images.read_image(saved(tmp_path, clear, name)), photo)
    assert capsys.readouterr().err.count("transparency is dropped") == 1


def test_photos_are_turned_upright(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, photo, exif=exif)
    np.testing.assert_array_equal(images.read_image(path), np.rot90(photo, -1))


def test_channels_that_files_cannot_hold(tmp_path, photo):
    with pytest.raises(UserError, match="5 channels"):
        images.read_image(saved(tmp_path, photo), 5)


def big_header() -> bytes:
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


def broken_files(tmp_path, photo):
    good = saved(tmp_path, photo, "good.png").read_bytes()
    jpeg = io.BytesIO()
    Image.fromarray(photo).save(jpeg, "JPEG")
    webp = io.BytesIO()
    Image.fromarray(photo).save(webp, "WEBP")
    gif = io.BytesIO()
    Image.fromarray(photo[:, :, 0]).save(gif, "GIF")
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    return {
        "empty.png": b"",
        "truncated.png": good[: len(good) // 2],
        "no_end.png": good[:-12],
        "truncated.jpg": jpeg.getvalue()[: len(jpeg.getvalue()) // 2],
        "truncated.webp": webp.getvalue()[: len(webp.getvalue()) // 2],
        "header_only.webp": webp.getvalue()[:16],
        "text.png": b"not a picture",
        "header_only.png": good[:20],
        "bit_flip.png": bytes(flipped),
        "gif.png": gif.getvalue(),
        "bomb.png": big_header(),
    }


def test_unusable_files_are_named(tmp_path, photo):
    for name, data in broken_files(tmp_path, photo).items():
        (tmp_path / name).write_bytes(data)
        for read in (images.read_image, images.read_labels, images.read_instances, images.verify_picture):
            if read is images.verify_picture and name == "no_end.png":
                continue  # every pixel is there and checked
            with pytest.raises(UserError, match=name):
                read(tmp_path / name)


def test_missing_files_folders_and_other_types_are_named(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "data.npy").write_bytes(b"1")
    for name in ("missing.png", "folder.png", "data.npy"):
        for read in (images.read_image, images.picture_info):
            with pytest.raises(UserError, match=name):
                read(tmp_path / name)


def test_header_says_size_and_format(tmp_path, photo):
    for name, kind in (("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.tiff", "TIFF")):
        path = saved(tmp_path, photo, name)
        assert images.picture_info(path) == (20, 12, "RGB", kind) == images.verify_picture(path)


def test_labels_keep_their_numbers(tmp_path):
    labels = np.arange(240, dtype=np.uint8).reshape(12, 20)
    grey = Image.fromarray(labels)
    palette = Image.fromarray(labels)
    palette.putpalette(list(range(255, -1, -1)) * 3)
    cases = {
        "grey.png": grey,
        "palette.png": palette,
        "equal_channels.png": Image.merge("RGB", [grey] * 3),
        "sixteen.png": Image.fromarray(labels.astype(np.uint16)),
        "thirtytwo.tiff": Image.fromarray(labels.astype(np.int32)),
    }
    for name, picture in cases.items():
        read = images.read_labels(saved(tmp_path, picture, name))
        assert read.dtype == np.int32
        np.testing.assert_array_equal(read, labels, err_msg=name)


def test_few_bits_are_not_stretched(tmp_path):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for bits, row, expected in (
        (4, b"\x01\x5f", [0, 1, 5, 15]),
        (2, b"\x1b", [0, 1, 2, 3]),
        (1, b"\x50", [0, 1, 0, 1]),
    ):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0))
        pixels = chunk(b"IDAT", zlib.compress(b"\x00" + row))
        (tmp_path / "few.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b""))
        np.testing.assert_array_equal(images.read_labels(tmp_path / "few.png"), [expected])


def test_ids_from_lossy_or_colour_or_float_files_are_refused(tmp_path, photo):
    with pytest.raises(UserError, match=r"photo.jpg is a JPEG"):
        images.read_labels(saved(tmp_path, photo[:, :, 0], "photo.jpg"))
    with pytest.raises(UserError, match=r"photo.webp is a WebP"):
        images.read_instances(saved(tmp_path, photo, "photo.webp", lossless=True))
    with pytest.raises(UserError, match=r"photo.png is a colour image.*PHASE_A and PHASE_B and pass --label_nc 0"):
        images.read_labels(saved(tmp_path, photo, "photo.png"))
    with pytest.raises(UserError, match="floating point"):
        images.read_labels(saved(tmp_path, photo[:, :, 0].astype(np.float32), "float.tiff"))
    with pytest.raises(UserError, match="holds -7"):
        images.read_labels(saved(tmp_path, np.full((4, 4), -7, np.int32), "negative.tiff"))


def test_instances_keep_sixteen_bits(tmp_path):
    ids = np.array([[0, 7, 999, 1000], [26001, 32705, 33001, 65535]], np.uint16)
    for name, array in (("a.png", ids), ("a.tiff", ids), ("b.tiff", ids.astype(np.int32))):
        read = images.read_instances(saved(tmp_path, array, name))
        assert read.dtype == np.int32
        np.testing.assert_array_equal(read, ids)


def test_eight_bit_instances_are_refused_unless_asked_for(tmp_path):
    path = saved(tmp_path, np.arange(8, dtype=np.uint8).reshape(2, 4))
    with pytest.raises(UserError, match="8 bits.*--allow_8bit_instances True"):
        images.read_instances(path)
    np.testing.assert_array_equal(images.read_instances(path, allow_8bit=True), np.arange(8).reshape(2, 4))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 3), (9, 7, 4)])
@pytest.mark.parametrize("photo_like", [False, True])
def test_png_blobs_are_lossless(dtype, shape, photo_like):
    array = np.random.default_rng(1).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    read = images.decode_png(images.encode_png(array, photo=photo_like))
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, array.reshape(read.shape))


def test_png_files_hold_true_colours_and_leave_nothing_behind(tmp_path, photo):
    images.write_png(tmp_path / "deep" / "a.png", photo)
    images.write_png(tmp_path / "deep" / "a.png", photo[::-1])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "deep" / "a.png")), photo[::-1])
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.png"]


def test_a_png_that_cannot_be_written_is_named(tmp_path, photo):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="file"):
        images.write_png(tmp_path / "file" / "a.png", photo)
    for array in (photo.astype(np.float32), photo[:, :, :2]):
        with pytest.raises(TypeError):
            images.encode_png(array)


def test_unit_range_round_trip_is_exact():
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    unit = images.image_to_unit(every)
    assert unit.dtype == np.float32 and unit.shape == (3, 16, 16) and unit.flags.c_contiguous
    assert unit.min() == -1 and unit.max() == 1
    np.testing.assert_array_equal(images.unit_to_image(unit), every)
    np.testing.assert_array_equal(images.unit_to_image(np.stack([unit, unit]))[1], every)


def test_unit_values_are_rounded_and_clipped():
    unit = np.array([-9, -1.001, -0.9999, 0.0, 0.0041, 1.2, np.nan, np.inf], np.float32).reshape(1, 1, 8)
    np.testing.assert_array_equal(images.unit_to_image(unit)[0, :, 0], [0, 0, 0, 128, 128, 255, 128, 255])

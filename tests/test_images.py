"""Pictures of every kind are read as what one sees; the others are refused in one line."""

import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import icc
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from nst.engine import images
from nst.errors import ImageError

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def write_png(path: Path, size: tuple[int, int], depth: int, colour_type: int, rows: bytes) -> None:
    """A PNG written by hand: Pillow cannot write all of them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def write_16_bit_png(path: Path, values: np.ndarray, colour_type: int) -> None:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)  # 0: the row is not predicted from another
    write_png(path, (values.shape[1], values.shape[0]), 16, colour_type, rows)


def read_pixels(path: Path) -> list[list[tuple[int, ...]]]:
    picture = images.read(path)
    assert picture.mode == "RGB"
    return [[tuple(map(int, pixel)) for pixel in row] for row in np.asarray(picture)]


def test_rgb(tmp_path: Path) -> None:
    Image.fromarray(np.array([[RED, GREEN], [BLUE, (1, 2, 3)]], np.uint8)).save(tmp_path / "a.png")
    assert read_pixels(tmp_path / "a.png") == [[RED, GREEN], [BLUE, (1, 2, 3)]]


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path: Path, suffix: str) -> None:
    # No ink is white, all magenta and yellow red, all key black.
    for ink, colour in (((0, 0, 0, 0), WHITE), ((0, 255, 255, 0), RED), ((0, 0, 0, 255), (0, 0, 0))):
        path = tmp_path / f"a.{suffix}"
        Image.new("CMYK", (8, 8), ink).save(path)
        found = np.asarray(images.read(path)).astype(int)
        assert np.abs(found - colour).max() <= 2


def test_grey(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 7], [128, 255]], np.uint8)).save(tmp_path / "a.png")
    assert read_pixels(tmp_path / "a.png") == [[(0,) * 3, (7,) * 3], [(128,) * 3, WHITE]]


def test_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert read_pixels(tmp_path / "a.png") == [[WHITE, (0, 0, 0)]]


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[(*RED, 255), (*RED, 0), (*RED, 51)]], np.uint8)).save(tmp_path / "a.png")
    assert read_pixels(tmp_path / "a.png") == [[RED, WHITE, (255, 204, 204)]]


def test_grey_with_transparency(tmp_path: Path) -> None:
    Image.fromarray(np.array([[(10, 255), (10, 0)]], np.uint8)).save(tmp_path / "a.png")
    assert read_pixels(tmp_path / "a.png") == [[(10,) * 3, WHITE]]


def palette(colours: list[tuple[int, int, int]]) -> Image.Image:
    picture = Image.fromarray(np.arange(len(colours), dtype=np.uint8)[None], "P")
    picture.putpalette([value for colour in colours for value in colour])
    return picture


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palette(tmp_path: Path, suffix: str) -> None:
    palette([RED, GREEN, BLUE]).save(tmp_path / f"a.{suffix}")
    assert read_pixels(tmp_path / f"a.{suffix}") == [[RED, GREEN, BLUE]]


def test_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    palette([RED, GREEN, BLUE]).save(tmp_path / "a.png", transparency=1)
    assert read_pixels(tmp_path / "a.png") == [[RED, WHITE, BLUE]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled_not_cut(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.array([[0, 65535, 128 * 257, 200]], np.uint16)).save(path)
    with Image.open(path) as opened:
        assert opened.mode == "I;16"
    assert read_pixels(path) == [[(0,) * 3, WHITE, (128,) * 3, (1,) * 3]]


def test_16_bit_colour(tmp_path: Path) -> None:
    write_16_bit_png(tmp_path / "a.png", np.array([[(65535, 10 * 257, 0), (100 * 257, 200 * 257, 50 * 257)]]), 2)
    assert read_pixels(tmp_path / "a.png") == [[(255, 10, 0), (100, 200, 50)]]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_16_bit_colour_in_tiff(tmp_path: Path, compression: str | None) -> None:
    values = np.array([[(65535, 10 * 257, 0), (100 * 257 + 99, 200 * 257, 50 * 257)]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", compression=compression)
    assert read_pixels(tmp_path / "a.tif") == [[(255, 10, 0), (100, 200, 50)]]


def test_16_bit_colour_with_transparency(tmp_path: Path) -> None:
    write_16_bit_png(tmp_path / "a.png", np.array([[(65535, 0, 0, 65535), (65535, 0, 0, 0)]]), 6)
    assert read_pixels(tmp_path / "a.png") == [[RED, WHITE]]


def test_floating_point(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1, 0.2]], np.float32)).save(tmp_path / "a.tif")
    assert read_pixels(tmp_path / "a.tif") == [[(0,) * 3, WHITE, (51,) * 3]]


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, hole: float) -> None:
    Image.fromarray(np.array([[0, 1, hole]], np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"a\.tif: holds numbers that are NaN or infinite; replace them first"):
        images.read(tmp_path / "a.tif")


def test_every_mode_of_pillow_becomes_rgb() -> None:
    for mode in (*Image.MODES, "I;16B", "I;16L"):
        assert images.rgb(Image.new(mode, (2, 2))).mode == "RGB"


class TestProfiles:
    """Colours that an ICC profile describes, against the formulas of the standards."""

    @pytest.mark.parametrize("colour", [(200, 100, 50), (10, 250, 30), (128, 128, 128), RED, WHITE, (0, 0, 0)])
    @pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
    def test_display_p3(self, tmp_path: Path, suffix: str, colour: tuple[int, int, int]) -> None:
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"a.{suffix}", icc_profile=icc.p3(), quality=100)
        found = np.asarray(images.read(tmp_path / f"a.{suffix}"))[4, 4]
        # JPEG and WebP lose some of a colour before it is converted.
        assert found == pytest.approx(icc.p3_to_srgb(colour), abs=1 if suffix in ("png", "tif") else 5)

    def test_with_transparency_it_is_laid_on_white_first(self, tmp_path: Path) -> None:
        pixels = np.array([[(200, 100, 50, 255), (200, 100, 50, 0)]], np.uint8)
        Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=icc.p3())
        (solid, clear), *_ = read_pixels(tmp_path / "a.png")
        assert solid == pytest.approx(icc.p3_to_srgb((200, 100, 50)), abs=1)
        assert clear == WHITE

    def test_palette(self, tmp_path: Path) -> None:
        palette([RED, (200, 100, 50)]).save(tmp_path / "a.png", icc_profile=icc.p3())
        assert read_pixels(tmp_path / "a.png")[0][1] == pytest.approx(icc.p3_to_srgb((200, 100, 50)), abs=1)

    @pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
    def test_grey(self, tmp_path: Path, mode: str) -> None:
        value: int | tuple[int, int] = {"L": 100, "LA": (100, 255), "I;16": 100 * 257}[mode]  # type: ignore[assignment]
        Image.new(mode, (4, 4), value).save(tmp_path / "a.png", icc_profile=icc.grey())
        assert read_pixels(tmp_path / "a.png")[0][0] == pytest.approx((icc.grey_to_srgb(100),) * 3, abs=1)

    def test_inks(self, tmp_path: Path) -> None:
        # Without the profile, cyan alone is cyan; this one says that it is black.
        for ink, colour in (((0, 0, 0, 0), WHITE), ((255, 0, 0, 0), (0, 0, 0)), ((0, 0, 0, 128), (118,) * 3)):
            Image.new("CMYK", (8, 8), ink).save(tmp_path / "a.tif", icc_profile=icc.cmyk())
            assert read_pixels(tmp_path / "a.tif")[4][4] == pytest.approx(colour, abs=2)

    def test_lab(self, tmp_path: Path) -> None:
        for lab, colour in (((255, 128, 128), WHITE), ((0, 128, 128), (0, 0, 0)), ((138, 128 + 81, 128 + 70), RED)):
            Image.new("LAB", (8, 8), lab).save(tmp_path / "a.tif")
            assert read_pixels(tmp_path / "a.tif")[4][4] == pytest.approx(colour, abs=6)

    def test_srgb_itself_keeps_every_number(self) -> None:
        picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
        assert images.rgb(picture).tobytes() == picture.tobytes()
        picture.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        assert images.rgb(picture).tobytes() == picture.tobytes()

    @pytest.mark.parametrize("profile", [b"no profile", icc.p3()[:300], icc.cmyk(), icc.grey()[:-30]])
    def test_a_damaged_or_foreign_one_is_left_out(self, profile: bytes) -> None:
        picture = Image.new("RGB", (4, 4), (200, 100, 50))
        picture.info["icc_profile"] = profile
        assert images.rgb(picture).getpixel((0, 0)) == (200, 100, 50)


class TestNotes:
    """What the owner of a picture is told."""

    def notes(self, tmp_path: Path, picture: Image.Image, *, chosen: bool = False, **options: object) -> list[str]:
        picture.save(tmp_path / "a.png", **options)
        return images.notes(tmp_path / "a.png", 512, size_is_chosen=chosen)

    def test_sizes(self, tmp_path: Path) -> None:
        assert self.notes(tmp_path, Image.new("RGB", (4000, 3000))) == [
            "4000×3000 px, scaled down to 512; a larger size keeps more of it"
        ]
        assert self.notes(tmp_path, Image.new("RGB", (4000, 3000)), chosen=True) == []
        assert self.notes(tmp_path, Image.new("RGB", (600, 500))) == []
        assert self.notes(tmp_path, Image.new("RGB", (100, 300))) == ["only 100×300 px, enlarged to 512"]

    def test_what_is_left_out_or_changed(self, tmp_path: Path) -> None:
        frames = [Image.new("RGB", (512, 512), colour) for colour in (RED, GREEN, BLUE)]
        assert self.notes(tmp_path, frames[0], save_all=True, append_images=frames[1:]) == [
            "the first of its 3 pictures is used"
        ]
        assert read_pixels(tmp_path / "a.png")[0][0] == RED
        assert self.notes(tmp_path, Image.new("RGBA", (512, 512))) == ["what is transparent is laid on white"]
        assert self.notes(tmp_path, frames[0], icc_profile=icc.p3()) == [
            "its colours are converted from P3 of a test to sRGB"
        ]
        assert self.notes(tmp_path, frames[0], icc_profile=icc.p3()[:300]) == [
            "its colour profile is damaged and left out"
        ]
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        assert self.notes(tmp_path, frames[0], icc_profile=srgb) == []


@pytest.mark.parametrize(
    ("orientation", "top_left"),
    [(1, "R"), (2, "G"), (3, "W"), (4, "B"), (5, "R"), (6, "B"), (7, "W"), (8, "G")],
)
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, top_left: str) -> None:
    # As stored:  red   green      The eight orientations are the eight ways to lay the sheet down.
    #             blue  white
    colours = {"R": RED, "G": GREEN, "B": BLUE, "W": WHITE}
    stored = Image.fromarray(np.array([[RED, GREEN], [BLUE, WHITE]], np.uint8)).resize((32, 16), Image.Resampling.BOX)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    upright = images.read(tmp_path / "a.png")
    assert upright.size == ((32, 16) if orientation <= 4 else (16, 32))
    assert upright.getpixel((0, 0)) == colours[top_left]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"


def cut_off(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such picture; check the name, or put the file there"),
        (lambda path: path.mkdir(), "a folder; name a picture in it"),
        (os.mkfifo, "a pipe, not a file; save the picture to a file first"),
        (lambda path: path.symlink_to("/dev/zero"), "a device, not a file; save the picture to a file first"),
        (lambda path: path.symlink_to(path), "a symbolic link that leads to itself; name the picture"),
        (lambda path: path.symlink_to("nowhere"), "no such picture; check the name, or put the file there"),
        (lambda path: path.write_bytes(EPS), "EPS is a program, not a picture; save it as PNG first"),
        (lambda path: path.touch(), "the file is empty; copy it again"),
        (lambda path: path.write_text("<svg/>"), "not a picture that can be read; use JPEG, PNG, WebP or TIFF"),
        (cut_off, "damaged or cut off .*; copy it again"),
    ],
    ids=["missing", "a folder", "a pipe", "a device", "a loop", "a broken link", "EPS", "empty", "text", "cut off"],
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_what_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, suffix: str, make: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / f"photo.{suffix}"
    make(path)
    with pytest.raises(ImageError, match=f"^{re.escape(str(path))}: {message}$"):
        images.read(path)


def test_a_cut_off_picture_is_found_wherever_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 20, 16):  # the last 20 bytes are checksums and the end: all pixels are there
        path.write_bytes(whole[:length])
        with pytest.raises(ImageError, match=r"photo.png"):
            images.read(path)


def test_a_huge_picture_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", (60_000, 60_000), depth=8, colour_type=2, rows=b"")
    with pytest.raises(ImageError, match=r"more than .* pixels; scale it down first"):
        images.read(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((1, 1), "photo: only 1×1 px; use a picture of 32 px or more on its shorter side"),
        ((20, 20), "photo: only 20×20 px; use a picture of 32 px or more on its shorter side"),
        ((1000, 10), "photo: 1000×10 px becomes 192×2 px at size 192; the shorter side must be 32 px or more: crop"),
        ((10, 4000), "photo: 10×4000 px becomes 1×192 px at size 192; .*: crop the picture .* or raise size"),
        ((1000, 160), "photo: 1000×160 px becomes 192×31 px"),
    ],
)
def test_slivers_are_refused(size: tuple[int, int], message: str) -> None:
    with pytest.raises(ImageError, match=f"^{message}") as caught:
        images.fit(Image.new("RGB", size), 192, "photo")
    assert "\n" not in str(caught.value)


@given(st.integers(32, 300), st.integers(32, 300), st.integers(32, 256))
def test_the_longest_side_is_the_size_and_the_shape_is_kept(width: int, height: int, size: int) -> None:
    picture = Image.new("RGB", (width, height))
    try:
        fitted = images.fit(picture, size)
    except ImageError:
        assert round(size * min(width, height) / max(width, height)) < 32
        return
    assert max(fitted.size) == size
    assert min(fitted.size) == round(size * min(width, height) / max(width, height))
    assert (fitted.width > fitted.height) == (width > height) or fitted.width == fitted.height


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    picture = Image.effect_noise((64, 48), 50).convert("RGB")
    assert images.fit(picture, 64) is picture


def test_pictures_are_found_by_name(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.PNG", "b.txt", "c.jpg", "c.png"):
        (tmp_path / name).touch()
    assert images.find(tmp_path, "a") == images.find(tmp_path, "a.jpg") == tmp_path / "a.jpg"
    assert images.find(tmp_path, "b") == tmp_path / "b.PNG"
    assert images.find(tmp_path, "c.png") == tmp_path / "c.png"
    with pytest.raises(ImageError, match="'c' is the name of 2 files; name one with its suffix"):
        images.find(tmp_path, "c")
    with pytest.raises(ImageError, match="no picture called 'd'; there is a, b, c, c"):
        images.find(tmp_path, "d")
    with pytest.raises(ImageError, match="there is nothing: run `dvc pull data`, or put pictures there"):
        images.find(tmp_path / "nowhere", "a")


def test_png_bytes_hold_every_pixel() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8))
    assert images.to_png(picture) == images.to_png(picture.copy())
    assert images.from_png(images.to_png(picture)).tobytes() == picture.tobytes()


def test_the_repositorys_pictures_can_be_used(data: Path) -> None:
    files = [path for kind in ("content", "style") for path in sorted((data / kind).iterdir())]
    assert len(files) >= 6
    for path in files:
        assert max(images.fit(images.read(path), 192).size) == 192

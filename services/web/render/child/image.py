"""Image files through Pillow, at their own pixels."""

import importlib
import math
import os
import warnings

import numpy as np
from PIL import ExifTags, Image, ImageCms

from services.web.render.filetype import FileType
from services.web.render.png import encode_png, without_colour
from services.web.render.protocol import Fault, RenderError, RenderLimits

# The Pillow formats that each type may turn out to be. MPO: a JPEG that carries further pictures after the first.
_FORMATS = {
    FileType.PNG: ("PNG",),
    FileType.JPEG: ("JPEG", "MPO"),
    FileType.TIFF: ("TIFF",),
    FileType.WEBP: ("WEBP",),
    FileType.BMP: ("BMP",),
    FileType.GIF: ("GIF",),
    FileType.JP2: ("JPEG2000",),
}

# What Pillow imports inside functions: for any type (it reads EXIF by its TIFF plugin), and for one.
_LATE_MODULES = (
    "copy",
    "PIL.ImageColor",
    "PIL.ImageFile",
    "PIL.ImageFilter",
    "PIL.ImagePalette",
    "PIL.TiffImagePlugin",
)
_LATE_PLUGINS = {
    FileType.JPEG: "PIL.MpoImagePlugin",
    FileType.WEBP: "PIL.WebPImagePlugin",
    FileType.JP2: "PIL.Jpeg2KImagePlugin",
}

# Factor by which libjpeg can make each side smaller while it decodes.
_DRAFT_SHRINK = 8
# Dots per inch that a file may state and be believed. Chosen: from a poster to the finest film scanner.
_PLAUSIBLE_DPI = (10, 4800)
# The tag PhotometricInterpretation and its value WhiteIsZero (TIFF 6.0).
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0

# How to set a picture upright, by its EXIF orientation (tag 274).
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def import_decoders(file_type: FileType) -> None:
    """Import what Pillow needs for this type and otherwise imports when it opens the first file."""
    Image.preinit()  # the plugins for BMP, GIF, JPEG and PNG
    for module in _LATE_MODULES:
        importlib.import_module(module)
    if plugin := _LATE_PLUGINS.get(file_type):
        importlib.import_module(plugin)


class ImageSource:
    """An image file. Every frame of a TIFF is a page; of any other file the first picture is the only page."""

    def __init__(self, descriptor: int, file_type: FileType, limits: RenderLimits) -> None:
        self._limits = limits
        self._jpeg = file_type is FileType.JPEG
        # Pillow's own check, at our limit and as an error. A JPEG may be larger: it can be decoded small.
        Image.MAX_IMAGE_PIXELS = limits.max_decoded_bytes * (_DRAFT_SHRINK**2 if self._jpeg else 1)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            self._image = Image.open(os.fdopen(descriptor, "rb"), formats=_FORMATS[file_type])
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise RenderError(Fault.PAGE_TOO_LARGE) from error
        self.total_pages, self.repaired = self._count_frames() if file_type is FileType.TIFF else (1, False)

    def page_png(self, page_no: int) -> bytes:
        """Decode one page to grey or RGB, upright by its EXIF tag, flattened on white."""
        try:
            return self._encode(self.seek(page_no))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise RenderError(Fault.PAGE_TOO_LARGE) from error

    def seek(self, page_no: int) -> Image.Image:
        """The picture of a page, not yet decoded."""
        if page_no > 1 or self.total_pages > 1:
            self._image.seek(page_no - 1)
        return self._image

    def _encode(self, image: Image.Image) -> bytes:
        width, height = image.size
        shrink = _shrink(width, height, self._limits)
        if shrink < 1 and self._jpeg:
            image.draft(None, (math.ceil(width * shrink), math.ceil(height * shrink)))
        # From the header, before a pixel is decoded.
        bytes_a_pixel = 1 if image.mode in ("1", "L") else 4
        if image.width * image.height * bytes_a_pixel > self._limits.max_decoded_bytes:
            raise RenderError(Fault.PAGE_TOO_LARGE)
        image.load()
        plain = _plain(image)
        if shrink < 1:
            size = max(1, int(width * shrink)), max(1, int(height * shrink))
            plain = plain.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        turn = _TURNS.get(orientation(image))
        if turn is not None:
            plain = plain.transpose(turn)
        dpi = plausible_dpi(image)
        return encode_png(without_colour(np.asarray(_flat(plain))), dpi and dpi * min(shrink, 1))

    def _count_frames(self) -> tuple[int, bool]:
        """Frames of a TIFF, and whether their chain is broken. The broken frame is counted, and fails as a page."""
        total = 1
        while total <= self._limits.max_pages:
            try:
                self._image.seek(total)
            except EOFError:
                return total, False
            except Exception:  # Pillow's reader of TIFFs raises anything for a damaged directory
                return total + 1, True
            total += 1
        return total, False


def _shrink(width: int, height: int, limits: RenderLimits) -> float:
    """The factor for each side that brings the picture within the limits: 1 where it is within them."""
    if max(width, height) <= limits.max_side and width * height <= limits.max_pixels:
        return 1.0
    return min(limits.max_side / max(width, height), math.sqrt(limits.max_pixels / (width * height)))


def _plain(image: Image.Image) -> Image.Image:
    """The picture as L, RGB or RGBA."""
    if image.mode.startswith(("I", "F")):
        return _grey8(image)
    if image.has_transparency_data:
        return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None
        return converted
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _grey8(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits or of floats as 8 bits. White is the smallest customary one that no value exceeds."""
    values = np.asarray(image)
    if values.dtype.kind == "u":
        white = float(np.iinfo(values.dtype).max)
    else:
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        peak = float(values.max())
        customary = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
        white = next((level for level in customary if peak <= level), peak)
    grey = (np.clip(values, 0, white) * np.float32(255 / white) + np.float32(0.5)).astype(np.uint8)
    tags = getattr(image, "tag_v2", None)
    if tags is not None and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey
    return Image.fromarray(grey)


def _flat(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    paper = Image.new("RGBA", image.size, "white")
    paper.alpha_composite(image)
    return paper.convert("RGB")


def orientation(image: Image.Image) -> int:
    """How the picture is to be turned, by EXIF; 1 for not at all."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # the picture is readable without the tag
        return 1


def plausible_dpi(image: Image.Image) -> float | None:
    """Dots per inch as the file states them; `None` unless they are plausible and the same for both sides."""
    try:
        across, down = (float(value) for value in image.info["dpi"])
    except Exception:  # absent, or not two numbers
        return None
    plausible = _PLAUSIBLE_DPI[0] <= across <= _PLAUSIBLE_DPI[1] and abs(across - down) <= 0.01 * across
    return across if plausible else None

"""A badge as SVG and, drawn the same, as PNG. Made here: no service is asked."""

from __future__ import annotations

import io
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from benchmark.report.label.build import Label

LEFT = "assay"
HEIGHT, PAD, SIZE, BASE = 24, 9, 12, 16
R = 4  # radius of the corners
SCALE = 3  # PNG pixels to one of the SVG
INK, DARK = "#ffffff", "#3a3f46"
COLOURS = ((0.5, "#8a5a00"), (-1.0, "#a32a18"))  # of right answers in the worst case; never green: see the label
GREY = "#4d5560"


def words(label: Label) -> str:
    """What the badge says, such as ``94 → 76 of 100 right under attack (each pixel ±4/255)``."""
    return label.account.badge(label.headline, label.verdict.text) if label.headline else "no numbers"


def colour(label: Label) -> str:
    """By the worst case; grey where there is none, or it is not known."""
    value = label.account.tone(label.headline)
    return GREY if value is None else next(found for least, found in COLOURS if value >= least)


def _font(bold: bool = False) -> Any:
    """DejaVu Sans, which comes with matplotlib: the same on every machine."""
    from importlib.resources import files

    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    file = files("matplotlib") / "mpl-data" / "fonts" / "ttf" / name
    return ImageFont.truetype(io.BytesIO(file.read_bytes()), SIZE * SCALE)


def widths(text: str) -> tuple[int, int]:
    """Widths in pixels of the left and the right half."""
    left, right = _font(True).getlength(LEFT) / SCALE, _font().getlength(text) / SCALE
    return round(left) + 2 * PAD, round(right) + 2 * PAD


def svg(label: Label) -> str:
    """The badge as SVG, with its words as title. Text is fitted to the width that it was measured at."""
    text = words(label)
    left, right = widths(text)
    full = escape(f"{LEFT}, {label.model}: {text}")
    family = "DejaVu Sans, Verdana, Geneva, sans-serif"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{HEIGHT}" role="img"'
        f" aria-label={quoteattr(f'{LEFT}, {label.model}: {text}')}>"
        f"<title>{full}</title>"
        f'<path d="M{left} 0H{R}a{R} {R} 0 0 0-{R} {R}v{HEIGHT - 2 * R}a{R} {R} 0 0 0 {R} {R}H{left}z" fill="{DARK}"/>'
        f'<path d="M{left} 0h{right - R}a{R} {R} 0 0 1 {R} {R}v{HEIGHT - 2 * R}a{R} {R} 0 0 1-{R} {R}H{left}z"'
        f' fill="{colour(label)}"/>'
        f'<g fill="{INK}" font-family="{family}" font-size="{SIZE}">'
        f'<text x="{PAD}" y="{BASE}" font-weight="bold" textLength="{left - 2 * PAD}">{LEFT}</text>'
        f'<text x="{left + PAD}" y="{BASE}" textLength="{right - 2 * PAD}">{escape(text)}</text></g></svg>\n'
    )


def png(label: Label) -> bytes:
    """The badge as PNG, three times as large in each direction, with its words as description."""
    from PIL import Image, ImageDraw
    from PIL.PngImagePlugin import PngInfo

    text = words(label)
    left, right = widths(text)
    size = ((left + right) * SCALE, HEIGHT * SCALE)
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), R * SCALE, fill=255)
    image = Image.new("RGB", size, DARK)
    draw = ImageDraw.Draw(image)
    draw.rectangle((left * SCALE, 0, size[0], size[1]), fill=colour(label))
    draw.text((PAD * SCALE, BASE * SCALE), LEFT, fill=INK, font=_font(True), anchor="ls")
    draw.text(((left + PAD) * SCALE, BASE * SCALE), text, fill=INK, font=_font(), anchor="ls")
    image.putalpha(mask)
    about, out = PngInfo(), io.BytesIO()
    about.add_itxt("Description", f"{LEFT}, {label.model}: {text}")
    image.save(out, "PNG", pnginfo=about, optimize=True)
    return out.getvalue()

"""One picture in three strengths of a style, side by side, with the numbers of each.

    python examples/api.py data/content/chelsea.jpg data/style/great_wave.jpg --output weights.png

Every option of the `nst` command is an argument of `nst.transfer`: `help(nst.transfer)`.
"""

import argparse
import io

from PIL import Image

import nst

WEIGHTS = (1.0, 10.0, 100.0)

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("content")
parser.add_argument("style")
parser.add_argument("--output", default="weights.png")
parser.add_argument("--size", type=int, default=256, help="longest side, px")
parser.add_argument("--iterations", type=int, default=40)
arguments = parser.parse_args()

pictures = []
for weight in WEIGHTS:
    result = nst.transfer(
        arguments.content,
        arguments.style,
        size=arguments.size,
        iterations=arguments.iterations,
        style_weight=weight,
        on_iteration=lambda state: print(f"\r{state.iteration}: loss {state.loss:.3f}", end="", flush=True),
    )
    quality = result.quality
    print(f"\rweight {weight:g}: content {quality.content_distance:.3f}, style {quality.style_distance:.3f}")
    pictures.append(Image.open(io.BytesIO(result.png)))

width, height = pictures[0].size
row = Image.new("RGB", (width * len(pictures), height))
for number, picture in enumerate(pictures):
    row.paste(picture, (number * width, 0))
row.save(arguments.output)

"""scikit-learn's bundled handwritten digits as class folders of PNG files: ``python -m imcls.digits FOLDER``.

1,797 images of 8 x 8 pixels in 17 grey levels (test part of Alpaydin and Kaynak 1998, Optical Recognition of
Handwritten Digits, UCI; CC BY 4.0), enlarged four times without smoothing. Real data that is always there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from suite.cli import entry
from suite.data.images import write_image
from suite.files import atomic_folder
from suite.progress import track

TIMES = 4
_LEVELS = 16


def write_digits(folder: Path) -> Path:
    """Write ``folder``/0 ... ``folder``/9, one PNG an image. BadInput where the folder is there already."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()  # a Bunch; scikit-learn's annotation also allows a tuple
    grey = np.round(digits.images * (255 / _LEVELS)).astype(np.uint8)
    with atomic_folder(folder) as part:
        for i, (image, label) in enumerate(
            track(zip(grey, digits.target, strict=True), "Writing digits", len(grey))
        ):
            large = np.kron(image, np.ones((TIMES, TIMES), np.uint8))
            place = part / str(label) / f"{i:04d}.png"
            place.parent.mkdir(exist_ok=True)
            write_image(place, np.repeat(large[..., None], 3, axis=2))
    return folder


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def command(folder: Path) -> None:
    """Write the digits into FOLDER, a new one."""
    click.echo(write_digits(folder))


if __name__ == "__main__":
    entry(command, "python -m imcls.digits")()

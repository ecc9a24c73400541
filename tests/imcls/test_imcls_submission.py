"""Submission files: the template's columns and order, and one line for what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imcls.predictions import Predictions
from imcls.submission import write_submission
from suite.errors import BadInput

LOGITS = np.log(np.array([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]], np.float32))
THREE = Predictions(("test/a.jpg", "test/b.jpg", "test/c.jpg"), ("cat", "dog"), LOGITS)


def written(tmp_path: Path, template: str | None, predictions: Predictions = THREE) -> str:
    given = None
    if template is not None:
        given = tmp_path / "template.csv"
        given.write_text(template)
    write_submission(tmp_path / "out.csv", predictions, given)
    return (tmp_path / "out.csv").read_text()


def test_without_a_template(tmp_path: Path):
    assert written(tmp_path, None) == "image,label\ntest/a.jpg,cat\ntest/b.jpg,dog\ntest/c.jpg,cat\n"


@pytest.mark.parametrize("form", ["test/{}.jpg", "{}.jpg", "{}", "test/{}"])
def test_the_template_decides_order_and_columns(tmp_path: Path, form: str):
    b, a = form.format("b"), form.format("a")
    assert written(tmp_path, f"Id,Category\n{b},?\n{a},?\n") == f"Id,Category\n{b},dog\n{a},cat\n"


def test_columns_of_classes_get_probabilities(tmp_path: Path):
    text = written(tmp_path, "dog,id,cat\n0,b,0\n0,a,0\n")
    assert text == "dog,id,cat\n0.800000,b,0.200000\n0.300000,a,0.700000\n"


def test_several_labels_are_joined(tmp_path: Path):
    logits = np.array([[1, 1], [-1, -1], [-1, 1]], np.float32)
    several = Predictions(THREE.names, THREE.classes, logits, multi_label=True)
    assert written(tmp_path, "id,labels\na,\nb,\nc,\n", several) == "id,labels\na,cat;dog\nb,\nc,dog\n"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("id,label\na,\nx,\n", r"row 3: 'x' is none of the 3 images"),
        ("id,label\n", "no rows under its header"),
        ("id,label\na,1,2\n", "row 2: has 3 cells under 2 columns"),
        ("id,label,more\na,,\n", "several columns that are neither image nor class"),
        ("id,cat\na,\n", "has no column for class 'dog'"),
    ],
)
def test_a_template_that_does_not_fit(tmp_path: Path, template: str, message: str):
    with pytest.raises(BadInput, match=message):
        written(tmp_path, template)
    assert not (tmp_path / "out.csv").exists()


def test_a_name_that_fits_two_images_is_refused(tmp_path: Path):
    twice = Predictions(("x/a.jpg", "y/a.jpg", "b.jpg"), THREE.classes, LOGITS)
    assert written(tmp_path, "id,label\nx/a.jpg,\n", twice) == "id,label\nx/a.jpg,cat\n"
    with pytest.raises(BadInput, match=r"'a\.jpg' is none"):
        written(tmp_path, "id,label\na.jpg,\n", twice)


def test_a_missing_template(tmp_path: Path):
    with pytest.raises(BadInput, match="cannot be read"):
        write_submission(tmp_path / "out.csv", THREE, tmp_path / "nothing.csv")

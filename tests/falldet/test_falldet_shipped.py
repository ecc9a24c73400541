"""The models that come with the package: they work at once, say what they are, and find people."""

from __future__ import annotations

from pathlib import Path

import pytest
from falldet_command import Command
from prediction_files import lines_of

from falldet.data.formats import read_labelled
from falldet.data.options import CocoSource
from falldet.evaluate import look_at
from falldet.metrics.ranking import ap50
from falldet.model.file import read_model
from falldet.models import DEFAULT, SHIPPED, model_file, shipped_names

MOST_BYTES = 8_000_000
PICTURES = SHIPPED / "pictures"
LABELS = PICTURES / "people.json"


def test_the_default_is_there_and_another_one_beside_it():
    assert DEFAULT in shipped_names()
    assert len(shipped_names()) >= 2


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_model_says_what_it_is(name: str):
    file = model_file(name)
    assert file.stat().st_size <= MOST_BYTES
    card = read_model(file).card
    assert card.name == name
    assert 0 < card.threshold < 1
    assert any("hospital_bed" in one for one in card.trained_on)
    assert 0 < float(card.settings["train_cpu_s"]) <= 4 * 3600
    text = file.with_suffix(".md").read_text(encoding="utf-8")
    for heading in ("Data", "Licence", "Figures", "Where it fails"):
        assert f"## {heading}" in text
    assert "not a medical device" in text
    assert "CC BY 4.0" in card.licence.replace("CC-BY-4.0", "CC BY 4.0")
    assert f"{card.threshold:.2f}" in text  # the card for people tells the threshold that the file has


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_model_finds_simulated_people(name: str):
    labelled = read_labelled(CocoSource(file=LABELS))
    look = look_at(read_model(model_file(name)), labelled)
    fallen, not_fallen = ap50(look.predictions, look.labelled)
    assert fallen >= 0.6 and not_fallen >= 0.6  # a guard: nine people, two of them hard


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_model_finds_people_in_wards(name: str, data):
    labelled = read_labelled(CocoSource(file=data("falldet/hospital_bed") / "test.json"))
    look = look_at(read_model(model_file(name)), labelled)
    fallen, not_fallen = ap50(look.predictions, look.labelled)
    assert fallen >= 0.55 and not_fallen >= 0.55  # a guard, no figure: those are `falldet_accuracy`'s


def test_predict_works_right_after_installation(falldet_command: Command, tmp_path: Path):
    out = tmp_path / "found"
    code, _, err = falldet_command("predict", PICTURES / "images", "--out", out)
    assert code == 0, err
    pictures = sorted((PICTURES / "images").glob("*.jpg"))
    told = lines_of(out)
    assert [line["name"] for line in told] == [path.name for path in pictures]
    classes = {person["class"] for line in told for person in line["detections"]}
    assert classes == {"fallen", "not_fallen"}
    drawn = sorted((out / "drawn").iterdir())
    assert [path.stem for path in drawn] == [path.stem for path in pictures]

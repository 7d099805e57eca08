"""Scenes in the report: numbers of synthetic scenes get in and nothing else; everybody is told what they show."""

from __future__ import annotations

import copy
import json
import math
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from tests.driving.traffic import scenes
from validators.driving.gallery import gallery
from validators.report import drives, render
from validators.report.disclosure import disclosure_check, plain


def picture() -> dict[str, Any]:
    return gallery(scenes(4, crash=True))


def test_a_picture_of_scenes_is_let_in_as_it_is() -> None:
    made = plain(picture())
    assert {i["label"] for i in made["items"]} >= {"near miss, dry"}
    assert drives.clean(made) == made and drives.problems(made) == []
    assert disclosure_check(json.loads(json.dumps({"gates": [{"pictures": [made]}]})), 10) == []


def test_what_is_beside_a_scene_does_not_get_in() -> None:
    made = picture()
    made["items"][0]["driver"] = "Jane Roe"
    made["items"][0]["vehicles"][0]["plate"] = "B-JR 1"
    made["source"] = "/home/roe"
    assert drives.problems(made)
    assert disclosure_check({"gates": [{"pictures": [made]}]}, 10)
    cleaned = plain({"pictures": [made]})
    assert not any(word in str(cleaned) for word in ("Roe", "B-JR", "roe"))


@pytest.mark.parametrize("spoil", [
    lambda s: s.update(lanes="three"), lambda s: s.update(lanes=0), lambda s: s.update(dt=math.nan),
    lambda s: s.update(lane_width=None), lambda s: s.update(vehicles="ego"), lambda s: s.update(vehicles=[]),
    lambda s: s["vehicles"][0].update(path=[[0, 1]]), lambda s: s["vehicles"][0].update(path=[[0, "x"]] * 40),
    lambda s: s["vehicles"][0].update(path="0123"), lambda s: s["vehicles"][0].update(path=[["12"]] * 40),
    lambda s: s["vehicles"][0].update(length=math.inf), lambda s: s["vehicles"][0].update(path=[[0, 1]] * 39),
    lambda s: s["vehicles"].__setitem__(0, 7), lambda s: s.update(vehicles=s["vehicles"] * 5),
], ids=["lanes in words", "no lanes", "no step", "no width", "text", "nobody", "one point", "text in a path",
        "a path of text", "points of text", "endless", "another length", "a number", "too many"])
def test_what_is_no_scene_is_refused(spoil: Any) -> None:
    made = picture()
    count = len(made["items"])
    spoil(made["items"][0])
    assert len(drives.clean(made)["items"]) == count - 1 and drives.problems(made)


def test_things_that_are_no_items() -> None:
    assert drives.clean({"title": "t", "items": [7, None, "x"]})["items"] == []
    assert drives.draw({"title": "t", "items": []}, "k") == ""
    assert drives.problems({"kind": "scenes", "title": "t", "items": [7]})


def test_each_scene_is_a_drawing_of_its_own_with_words_for_those_who_cannot_see_it() -> None:
    made = picture()
    drawn = ET.fromstring(f"<r>{drives.draw(made, 'p1')}</r>")
    assert len(drawn) == len(made["items"])
    ids = [e.get("id") for e in drawn.iter() if e.get("id")]
    assert len(set(ids)) == len(ids)
    for svg, item in zip(drawn, made["items"], strict=True):
        assert svg.get("role") == "img" and svg.find("title").text == item["label"]
        assert len(svg.findall("rect[@class='ego']")) == 1
        assert len(svg.findall("rect[@class='other']")) == len(item["vehicles"]) - 1
    told = drawn[[i["label"] for i in made["items"]].index("near miss, dry")].find("desc").text
    assert "on 3 lanes" in told and "the ego vehicle drives 147 m and stays in lane 1" in told
    assert "vehicle 2" in told and "goes from lane 2 to lane 3" in told and "least time to collision 0 s" in told


def test_a_scene_without_a_leader_says_so_and_has_no_curves() -> None:
    made = picture()
    made["items"] = made["items"][:1]
    with_curves = drives.draw(made, "k")
    made["items"][0].update(gap=[None] * 40, ttc=[None] * 40)
    alone = drives.draw(made, "k")
    assert "nobody in front" in alone and "gap to its leader" not in alone and len(alone) < len(with_curves)
    assert "Least gap to its leader" not in alone


def test_a_label_from_elsewhere_is_text() -> None:
    made = picture()
    made["items"][0]["label"] = "<script>alert(1)</script>"
    assert "<script" not in drives.draw(made, "k") and "&lt;script" in drives.draw(made, "k")


def test_the_page_shows_it_with_a_legend() -> None:
    from tests.validators.report.example import report as example

    report = example()
    report["gates"][0]["findings"][0]["pictures"] = [plain(copy.deepcopy(picture()))]
    page = render(report)
    assert page.count('class="asphalt"') == len(picture()["items"]) and "the ego vehicle: filled" in page
    assert "Synthetic scenes, the first that shows each manoeuvre" in page

"""A job that did not get through leads back to its form, filled in, with the reason beside it."""

import html
import json
import re

import pytest
from studio_opened import made, send

from motion_jax.jobs import book
from motion_jax.studio import again, intake


@pytest.fixture
def film(studio, dancer):
    return send(studio, dancer.read_bytes(), "ada.mp4")


def failed(studio, error="Use --start 3."):
    [job] = [job for job in studio.library.jobs() if job.state == "waiting"]
    assert f"/{job.number}/again" not in studio.page("/jobs")
    return book.write(job, state="failed", status=2, error=error)


def led_back(studio, job):
    """(address in the project, page, what its form is filled with)"""
    link = f"{studio.place}/jobs/{job.number}/again"
    assert f'href="{link}">Change it and try again' in studio.page("/jobs")
    answer = studio.http.get(link)
    place = answer.headers["location"]
    page = studio.http.get(place).text
    [fill] = re.findall("data-fill='([^']*)'", page)
    return place.removeprefix(studio.place), page, json.loads(html.unescape(fill))


def test_a_film_that_could_not_be_prepared(studio, film):
    values = {"videos": [film], "start": "0.2", "smooth": False, "at": ["0.5s,10,10"]}
    studio.post("/do/prepare", values=values, name="Anna")
    place, page, fill = led_back(studio, failed(studio))
    assert place == f"/{film}?again=1"
    assert fill["values"] == values and fill["name"] == "Anna"
    assert "“Prepare: Anna” went wrong: Use “From” 3." in page
    # The page without it is an empty form.
    assert "data-fill" not in studio.page(f"/{film}")
    assert "data-fill" not in studio.page(f"/{film}?again=7")


def test_a_dance_its_preview_and_one_that_was_stopped(studio, film):
    person = made(studio, "datasets", "Ben")
    values = {"data": person.ref, "source": film, "method": "nearest", "end": "0.5"}
    studio.post("/do/transfer", values=values, name="", preview=True, end="0.9")
    place, page, fill = led_back(studio, failed(studio))
    assert place == "/dance?again=1"
    # What the page chose for the preview is not the form's.
    assert fill["values"] == {**values, "end": "0.9"} and fill["name"] == ""
    assert f'<option value="{person.ref}" selected>' in page
    studio.post("/jobs/1/hide")
    studio.post("/do/transfer", values=values, name="Whole")
    job = studio.library.jobs()[-1]
    book.write(job, state="stopped", status=130)
    result = studio.library.item("results", "whole")
    result.path.write_bytes(b"half")
    place, page, fill = led_back(studio, job)
    assert fill["values"] == values and fill["name"] == "Whole 2"
    assert "was stopped" in page


def test_learning_and_other_forms(studio, film):
    person = made(studio, "datasets", "Ben")
    body = {"values": {"data": person.ref}, "first": ["two_cores"], "settings": "--seed 3"}
    studio.post("/do/train", **body)
    place, page, fill = led_back(studio, failed(studio))
    assert place == "/learn?person=ben&again=1"
    assert (fill["first"], fill["settings"]) == (["two_cores"], "--seed 3")
    studio.post("/do/compare", values={"target": person.ref, "source": film, "budget": "60s"})
    place, page, fill = led_back(studio, failed(studio, "It is wrong."))
    assert place == "/more/compare?again=2" and fill["values"]["budget"] == "60s"
    assert "It is wrong." in page


def test_what_was_made_of_no_form_leads_nowhere(studio):
    job = book.add(studio.library.folder, ["train"], about=["runs/absent"])
    book.write(job, state="failed", error="It is wrong.")
    assert "/again" not in studio.page("/jobs")
    studio.page("/jobs/1/again", 404)
    studio.page("/jobs/99/again", 404)


# --- what a trial stumbled over -----------------------------------------------------------------


def test_pages_open_while_a_dancer_is_drawn(studio, monkeypatch):
    draw, opened = intake.puppet.make_video, []

    def drawing(*given):
        opened.append((studio.page("/film"), studio.page("/dance")))
        return draw(*given)

    monkeypatch.setattr(intake.puppet, "make_video", drawing)
    answer = studio.post("/dancer", who="ada", seconds=1, dance=3)
    assert opened and all("Ada 3" not in page for page in opened[0])
    assert "Ada 3" in studio.page("/film") and answer["item"] == "films/ada-3"
    assert not list(studio.library.folder.glob(".drawing-*"))


def test_a_budget_that_is_no_time_is_refused_before_it_waits_in_the_queue(studio, film):
    person = made(studio, "datasets", "Anna")
    values = {"target": person.ref, "source": film, "budget": "soon"}
    told = studio.post("/do/compare", 400, values=values)["error"]
    assert "soon" in told and not studio.library.items("comparisons")


def test_export_proposes_a_format_that_everybody_has(studio):
    made(studio, "runs", "Anna")
    assert "<option selected>onnx</option>" in studio.page("/more/export")


def test_a_stopped_card_of_learn_says_that_it_is_chosen_anew(studio):
    person = made(studio, "datasets", "Anna")
    job = book.add(studio.library.folder, ["train", "two_cores"], title="Learn: Anna")
    again.keep(job, {"data": person.ref}, verb="train", name="", choice="look")
    book.write(job, state="stopped", status=130)
    page = studio.page(f"/learn?person=anna&again={job.number}")
    assert "here you choose anew" in page and "holds what it held" not in page

"""Forms in a real browser: filled in again, asked about, told how long they take."""

import re
import time

import numpy as np
import pytest
from browser import Visit, chromium
from studio_opened import made, send

from motion_jax.jobs import book
from motion_jax.video.writer import VideoWriter


@pytest.fixture(scope="module")
def browser():
    with chromium() as made:
        yield made


@pytest.fixture
def page(browser):
    visit = Visit(browser)
    yield visit.page
    # What is refused is an answer, and the browser notes it.
    errors = [error for error in visit.errors if "status of 400" not in error]
    visit.close()
    assert errors == [] and visit.elsewhere == []


@pytest.fixture
def film(studio, dancer):
    return send(studio, dancer.read_bytes(), "ada.mp4")


def holds(page, field, value):
    """Waits for it: the script fills a form in when the page is there."""
    from playwright.sync_api import expect

    expect(page.locator(field)).to_have_value(value, timeout=60_000)


def until(page, what, seconds=60):
    """The page's policy allows no function that waits there."""
    ends = time.monotonic() + seconds
    while not page.evaluate(what):
        assert time.monotonic() < ends, what
        page.wait_for_timeout(50)


def failed(studio):
    job = studio.library.jobs()[-1]
    return book.write(job, state="failed", status=2, error="Use --start 3.")


def test_forms_are_filled_in_again(studio, page, film):
    values = {"videos": [film], "start": "0.3", "end": "0.8", "smooth": False, "max_gap": "7",
              "detail": "body", "size": "128x128", "at": ["0.500s,10,10"]}  # fmt: skip
    studio.post("/do/prepare", values=values, name="Anna")
    page.goto(f"{studio.url}{studio.place}/jobs")
    failed(studio)
    page.get_by_role("link", name="Change it and try again").click()
    page.wait_for_url(re.compile(f"{film}.again=1"))
    assert "Use “From” 3." in page.locator("#again").text_content()
    holds(page, "#person-name", "Anna")
    assert page.input_value("#start") == "0.3" and page.input_value("#end") == "0.8"
    assert page.input_value("#detail") == "body" and page.input_value("#person-name") == "Anna"
    # What is folded away is open.
    assert page.locator("#field-max_gap").is_visible()
    assert page.input_value("#field-max_gap") == "7" and not page.is_checked("#field-smooth")
    # Sent as it is, it is what it was.
    page.get_by_role("button", name="Prepare", exact=True).click()
    page.wait_for_url(re.compile("datasets/"))
    before, again = (list(job.words) for job in studio.library.jobs())
    place = before.index("--out") + 1
    assert [*before[:place], *before[place + 1 :]] == [*again[:place], *again[place + 1 :]]

    person = made(studio, "datasets", "Ben")
    dance = {"data": person.ref, "source": film, "method": "nearest", "audio": "drop",
             "normalize": "global", "side_by_side": True}  # fmt: skip
    studio.post("/do/transfer", values=dance, name="Ben dances")
    job = failed(studio)
    page.goto(f"{studio.url}{studio.place}/jobs/{job.number}/again")
    holds(page, "#normalize", "global")
    assert page.input_value("#who") == person.ref and page.input_value("#source") == film
    assert not page.is_checked("#sound") and page.is_checked("[name=side_by_side]")
    assert page.input_value("#result-name") == "Ben dances"


def test_how_long_a_comparison_takes_is_said_as_it_is_chosen(studio, page):
    page.goto(f"{studio.url}{studio.place}/more/compare")
    page.get_by_text("5 of 7 methods learn for 10 minutes each").wait_for()
    page.fill("#field-budget", "60s")
    page.get_by_text("5 of 7 methods learn for 60 seconds each").wait_for()
    page.fill("#field-budget", "soon")
    page.get_by_text("“Time to learn, each method” soon is no time to train").wait_for()


def test_the_same_film_is_asked_about(studio, page, film, dancer, tmp_path):
    page.goto(f"{studio.url}{studio.place}/film")
    twin, bad = tmp_path / "twin.mp4", tmp_path / "bad.mp4"
    twin.write_bytes(dancer.read_bytes())
    bad.write_bytes(b"This is text.\n" * 9)
    page.set_input_files("#file", [str(bad), str(twin)])
    page.get_by_text("“twin.mp4” is in this project already, as “ada”").wait_for()
    page.get_by_role("button", name="Take it once more").click()
    # What could not be read stays named beside what was taken.
    page.locator("#films").get_by_text("twin").wait_for()
    assert "bad.mp4" in page.locator("#uploading .bad").text_content()
    page.set_input_files("#file", str(twin))
    page.get_by_role("button", name="Leave it out").click()
    page.wait_for_url(re.compile("/films/"))
    assert len(studio.library.items("films")) == 2


def test_that_there_is_no_camera_is_said_at_once(studio, page):
    made(studio, "runs", "Ben")
    # As pages without https, of another machine, find it.
    hide = "Object.defineProperty(navigator, 'mediaDevices', { value: undefined })"
    for place, button in (("film", "#camera-on"), ("live", "#live-go")):
        page.goto(f"{studio.url}{studio.place}/{place}")
        assert page.locator("#no-camera").is_hidden() and page.locator(button).is_enabled()
    page.add_init_script(hide)
    for place, button in (("film", "#camera-on"), ("live", "#live-go")):
        page.goto(f"{studio.url}{studio.place}/{place}")
        page.get_by_text("The camera cannot be used here").wait_for()
        assert page.locator(button).is_disabled()


def test_a_dance_asks_for_what_belongs_to_who_dances(studio, page, film):
    person, run = made(studio, "datasets", "Ben"), made(studio, "runs", "Ben")
    page.goto(f"{studio.url}{studio.place}/dance?who={run.ref}")
    page.select_option("#background", "green")
    assert page.is_visible("#step") and not page.is_visible("#sound")  # a silent film
    # Real frames have their own background and no states of learning.
    page.select_option("#who", person.ref)
    page.locator("#background").wait_for(state="hidden")
    assert not page.is_visible("#step")
    page.locator("button[value=whole]").click()
    page.wait_for_url(re.compile("results/"))
    [job] = studio.library.jobs()
    assert "--background" not in job.words and "--audio" not in job.words
    assert job.words[job.words.index("--method") + 1] == "nearest"


def test_results_are_compared_as_they_come_and_stay_in_step(studio, page, dancer, tmp_path):
    with VideoWriter(tmp_path / "short.mp4", 64, 64) as writer:
        for i in range(10):
            writer.write(np.full((64, 64, 3), 20 * i, np.uint8), i / 25)
    first = made(studio, "results", "Long", suffix=".mp4")
    first.path.write_bytes(dancer.read_bytes())
    page.goto(f"{studio.url}{studio.place}/{first.ref}")
    page.get_by_text("once there is a second one").wait_for()
    second = made(studio, "results", "Short", suffix=".mp4")
    second.path.write_bytes((tmp_path / "short.mp4").read_bytes())
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url(re.compile("/beside"))
    ready = "[...document.querySelectorAll('video')].every((film) => film.readyState >= 2)"
    until(page, ready)
    for moment, other in ((0.2, 0.2), (0.8, 0.4), (0.1, 0.1)):
        page.evaluate(f"document.querySelector('video').currentTime = {moment}")
        # The shorter one waits at its end.
        until(
            page,
            f"Math.abs(document.querySelectorAll('video')[1].currentTime - {other}) < 0.07",
        )

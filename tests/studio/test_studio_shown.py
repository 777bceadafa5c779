"""What Library and the other lists show of things, finished or not."""

import json
import re
import time

import pytest
from studio_opened import made, send

from motion_jax.data import advice
from motion_jax.jobs import book
from motion_jax.plan.suggest import Dataset
from motion_jax.studio.plans import plan_of


@pytest.fixture
def film(studio, dancer):
    return send(studio, dancer.read_bytes(), "ada.mp4")


def test_previews_are_among_the_results_and_named_so(studio, film):
    person = made(studio, "datasets", "Ben")
    values = {"data": person.ref, "source": film, "method": "nearest", "end": "0.5"}
    studio.post("/do/transfer", values=values, name="", preview=True, end="")
    [job] = studio.library.jobs()
    item = studio.library.item("results", "preview-ben-ada")
    assert item.name == "Preview: Ben – ada"
    item.path.write_bytes(b"film")
    book.write(job, state="done", status=0)
    for place in ("/", "/dance"):
        page = studio.page(place)
        card = re.search(rf'href="{studio.place}/{item.ref}">.*?</li>', page, re.DOTALL)
        assert card and '<span class="badge">Preview</span>' in card[0], place
    # It is no result with which one is through.
    assert '<li class="now"><a href="/p/test/learn">' in studio.page("/")
    # From it one goes on to all of it.
    page = studio.page(f"/{item.ref}")
    assert f'data-send="{studio.place}/jobs/1/whole">Make all of it' in page
    # Real frames are not computed.
    assert "Rearranged: real pictures" in page and "this was computed" not in page
    assert studio.post("/jobs/1/whole")["go"].endswith("/results/ben-ada")
    job = studio.library.jobs()[-1]
    assert "--end" not in job.words and "--method" in job.words
    assert "preview" not in studio.library.of_ref(job.about[0]).facts
    studio.post("/do/compare", values={"target": person.ref, "source": film})
    studio.post(f"/jobs/{studio.library.jobs()[-1].number}/whole", 400)


def test_a_failed_comparison_is_found_with_its_reason(studio, film):
    person = made(studio, "datasets", "Ben")
    studio.post("/do/compare", values={"target": person.ref, "source": film})
    [job] = studio.library.jobs()
    error = "--budget 1s is too small for cyclegan; give 8s or more."
    book.write(job, state="failed", status=2, error=error)
    [item] = studio.library.items("comparisons")
    for place in ("/", "/more/compare"):
        page = studio.page(place)
        assert f'href="{studio.place}/{item.ref}"' in page, place
        assert "went wrong: “Time to learn, each method” 1s is too small for cyclegan" in page, (
            place
        )


def test_a_person_whose_learning_was_stopped_has_a_size(studio):
    run = made(studio, "runs", "Ben")
    (run.path / "weights").write_bytes(b"\0" * 5000)
    job = book.add(studio.library.folder, ["train"], about=[run.ref])
    book.write(job, state="stopped", status=130)
    for place in ("/", "/learn"):
        assert "stopped · 5 kB" in studio.page(place), place
    book.write(job, state="waiting")
    assert "waiting · 5 kB" in studio.page("/")


@pytest.mark.parametrize(
    ("frames", "said"), [(299, "few"), (300, "some"), (1499, "some"), (1500, "")]
)
def test_film_and_learn_say_the_same_of_a_films_length(studio, film, frames, said):
    assert advice.length(frames) == said
    # Without the held-out ones there are fewer to learn from; the rule is that of the film.
    data = Dataset(round(0.9 * frames), 9, 96, 96, 0.0, 1.0, "d", all_frames=frames)
    assert data.length == said and data.short == (said == "few")
    item = studio.library.of_ref(film)
    studio.library.save(item, facts={**item.facts, "seconds": frames / 25, "fps": 25.0})
    page = studio.page(f"/{film}")
    assert (" hidden" in re.search('id="short"[^>]*>', page)[0]) == (said == "")
    assert ('data-part="few" hidden' in page) == (said != "few")
    person = made(studio, "datasets", "Ben")
    plan_of(person).parent.mkdir()
    time.sleep(0.01)
    plan = {"device": "2 CPU cores", "length": data.length, "short": data.short, "text": [],
            "choices": []}  # fmt: skip
    plan_of(person).write_text(json.dumps(plan))
    page = studio.page("/learn")
    assert ("too short to learn much from" in page) == (said == "few")
    assert ("This film is short: with 1500 pictures" in page) == (said == "some")

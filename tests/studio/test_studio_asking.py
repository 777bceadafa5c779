"""What the pages say before something is asked for, and what they refuse at once."""

import json
import os
import re
import threading
import time

import pytest
from studio_opened import made, put, send

from motion_jax.cli import VERBS
from motion_jax.cli.completion import options_of
from motion_jax.errors import UserError, option
from motion_jax.events import Step, emit, watched
from motion_jax.jobs import book
from motion_jax.jobs.record import recorded
from motion_jax.plan import accelerator
from motion_jax.studio import intake, pages
from motion_jax.studio.actions import Desk
from motion_jax.studio.bring import Copying
from motion_jax.studio.checkpoints import check_weights
from motion_jax.studio.labels import in_labels
from motion_jax.studio.plans import plan_of
from motion_jax.studio.words import Words

GERMAN = {"accept-language": "de", "accept": "*/*"}


@pytest.fixture
def film(studio, dancer):
    return send(studio, dancer.read_bytes(), "ada.mp4")


# --- who can be chosen ----------------------------------------------------------------------------


def test_who_has_learnt_is_proposed_and_who_has_not_cannot_be_chosen(studio, film):
    first, second = (made(studio, "runs", name) for name in ("Anna", "Ben"))
    new = studio.library.new("runs", "Carl")
    book.add(studio.library.folder, ["train"], about=[new.ref])
    os.utime(second.path / "checkpoints/5", (1e9, 1e9))
    for place in ("/dance", "/live"):
        page = studio.page(place)
        # Who was saved last comes first; nobody is chosen who comes later.
        assert re.findall(r'<option value="(runs/\w+)"', page) == [first.ref, second.ref], place
        assert "<option disabled>Carl: has learnt nothing yet" in page
    assert f'<option value="{first.ref}" selected>' in studio.page("/dance")
    assert f'<option value="{second.ref}" selected>' in studio.page(f"/dance?who={second.ref}")
    dance = {"run": new.ref, "source": film}
    assert "not made yet" in studio.post("/do/transfer", 400, values=dance)["error"]
    # Samples of the beginning are no learning.
    new.path.mkdir()
    assert "dance?who=runs/carl" not in studio.page("/runs/carl")
    assert "dance?who=runs/ben" in studio.page("/runs/ben")
    assert "learnt nothing yet" in studio.post("/do/transfer", 400, values=dance)["error"]
    assert "learnt nothing yet" in studio.post("/live", 400, run=new.ref)["error"]
    assert "<option disabled>Carl: has learnt" in studio.page("/more/evaluate")


def test_pages_know_of_a_film_that_is_being_prepared(studio, film):
    studio.post("/do/prepare", values={"videos": [film]}, name="Anna")
    assert "“Anna” waits to be prepared;" in studio.page("/learn")
    book.write(studio.library.jobs()[-1], state="running", begun=time.time(), pid=1)
    going = f'“Anna” is being prepared. <a href="{studio.place}/datasets/anna">'
    for place in ("/learn", "/dance", "/"):
        assert going in studio.page(place), place
    assert "nobody to learn" not in studio.page("/learn")
    assert "Nobody can dance" not in studio.page("/dance")
    assert "Open it below" not in studio.page("/")
    # Beside others, too; and no longer than that.
    made(studio, "datasets", "Ben")
    assert going in studio.page("/learn") and going in studio.page("/dance")
    book.write(studio.library.jobs()[-1], state="failed", error="It is wrong.")
    assert going not in studio.page("/learn") and "Anna" not in studio.page("/")
    assert "It is wrong." in studio.page("/datasets/anna") + studio.page("/jobs")


def test_a_way_that_is_no_longer_than_another_says_so(studio):
    person = made(studio, "datasets", "Ben")
    choice = {"name": "look", "config": "two_cores", "size": "128x128", "minutes": None,
              "seconds": 90.0, "words": ["train"]}  # fmt: skip
    plan_of(person).parent.mkdir()
    plan = {"device": "2 cores", "short": False, "text": [], "choices": [choice]}
    time.sleep(0.01)
    plan_of(person).write_text(json.dumps(plan))
    page = studio.page("/learn")
    assert page.count("“A first look” already makes all the steps") == 2
    assert page.count("<button disabled>Begin</button>") == 2 and "The best of a night" in page


def test_where_a_photos_run_comes_from(studio):
    run = made(studio, "runs", "Ben")
    page = studio.page("/more/animate")
    assert "NAME.pth.tar" in page and "motion-jax demo photo" in page and run.ref not in page
    (run.path / "config.json").write_text('{"recipe": {"type": "first_order"}}')
    page = studio.page("/more/animate")
    assert "NAME.pth.tar" not in page and f'value="{run.ref}"' in page


# --- what fits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("card", "size"), [(False, "128x128"), (True, "256x256")])
def test_the_size_that_fits_the_machine_is_chosen(studio, film, monkeypatch, card, size):
    monkeypatch.setattr(pages.accelerator, "is_likely", lambda: card)
    assert re.findall(r'value="(\d+x\d+)" selected', studio.page(f"/{film}")) == [size]


def test_a_film_that_stands_upright_gets_pictures_of_its_shape(studio, film, monkeypatch):
    monkeypatch.setattr(pages.accelerator, "is_likely", lambda: False)
    item = studio.library.of_ref(film)
    studio.library.save(item, facts={**item.facts, "width": 576, "height": 1024})
    page = studio.page(f"/{film}")
    sizes = re.findall(r'<option value="(\d+x\d+)"', page)
    # As the report would advise after it was prepared as a square.
    assert sizes[:2] == ["80x144", "128x128"]
    assert "80 × 144: in the film&#39;s own shape" in page
    assert re.findall(r'value="(\d+x\d+)" selected', page) == ["80x144"]


def test_a_card_counts_where_jax_can_use_it(tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(accelerator, "_plugins", lambda: ["xla_cuda13"])
    assert not accelerator.is_likely(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert accelerator.is_likely(tmp_path)
    monkeypatch.setattr(accelerator, "_plugins", lambda: ["xla_rocm7"])
    assert not accelerator.is_likely(tmp_path)
    (tmp_path / "kfd").touch()
    assert accelerator.is_likely(tmp_path)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert not accelerator.is_likely(tmp_path)


def test_a_films_shortness_is_said_on_its_page(studio, film):
    shown = 'id="short" data-pictures="25"'
    assert re.search(f"{shown}[^>]*><span[^>]*>[^<]*<b[^>]*>25</b>", studio.page(f"/{film}"))
    item = studio.library.of_ref(film)
    studio.library.save(item, facts={**item.facts, "seconds": 20.0})
    page = studio.page(f"/{film}")
    assert '<span data-part="few" hidden>' in page and '<span data-part="some">' in page
    studio.library.save(item, facts={**item.facts, "seconds": 90.0})
    assert re.search('id="short"[^>]* hidden>', studio.page(f"/{film}"))


# --- what is refused at once ----------------------------------------------------------------------


def test_times_may_be_as_players_show_them(studio, film):
    run = made(studio, "runs", "Ben")
    values = {"run": run.ref, "source": film, "start": "0:00.2", "end": "00:00.6"}
    studio.post("/do/transfer", values=values)
    words = studio.library.jobs()[-1].words
    assert words[words.index("--start") + 1] == "0.2" and words[words.index("--end") + 1] == "0.6"
    assert (
        "is not a number"
        in studio.post("/do/transfer", 400, values={**values, "end": "0:6:x"})["error"]
    )


def test_an_export_that_no_file_can_hold(studio):
    run = made(studio, "runs", "Ben")
    page = studio.page("/more/export")
    assert 'name="format"' in page.split("<details")[0]
    assert "missing" in studio.post("/do/export", 400, values={}, name="a file")["error"]
    (run.path / "config.json").write_text('{"recipe": {"background": "plate"}}')
    asked = {"run": run.ref, "format": "torch"}
    assert (
        "choose “For which programs” onnx" in studio.post("/do/export", 400, values=asked)["error"]
    )
    assert not studio.library.items("exports")
    studio.post("/do/export", values={**asked, "format": "onnx"})


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        ("0.5", "0.25", "“To” 0.25 for ada is not after “From” 0.5"),
        ("-1", "", "“From” -1 for ada is negative"),
        ("30", "", "“From” 30 lies after the end of ada, which has 1.0 seconds"),
        ("", "30", "“To” 30 lies after the end"),
        ("nan", "", "“From” nan for ada is negative"),
        ("0:0:x", "", "“From” 0:0:x is not a number"),
    ],
)
def test_a_cut_that_cannot_be_is_refused_in_the_form(studio, film, start, end, why):
    cut = {"start": start, "end": end}
    person = made(studio, "datasets", "Ben")
    dance = {"source": film, "data": person.ref, "method": "nearest"}
    for verb, values in (("prepare", {"videos": [film]}), ("transfer", dance)):
        error = studio.post(f"/do/{verb}", 400, values={**values, **cut})["error"]
        assert why in error and "--" not in error, error
        assert studio.post(f"/do/{verb}", values={**values, **cut}, spell=True)["why"] == error
    assert studio.library.jobs() == []
    # At the end itself, as exactly as sliders and recordings are.
    studio.post("/do/prepare", values={"videos": [film], "start": "0.2", "end": "1.1"})


def test_errors_of_forms_name_what_the_page_shows(studio, film):
    ask = f"{studio.place}/do/prepare"
    body = {"values": {"videos": [film], "start": "x"}}
    said = studio.http.post(ask, json=body, headers=GERMAN).json()["error"]
    assert said == "„Von“ x ist keine Zahl."
    assert "“Whose dance” is missing" in studio.post("/do/transfer", 400, values={})["error"]
    error = studio.post("/do/prepare", 400, values={"videos": [film], "max_gap": "x"})["error"]
    assert error == "“Max gap” x is not a whole number."
    error = studio.post("/do/prepare", 400, values={"videos": [film], "fit": "no"})["error"]
    assert error.startswith("“Fit” no is no choice; give ")
    person = made(studio, "datasets", "Ben")
    error = studio.post("/do/train", 400, values={"data": person.ref, "minutes": "-1"})["error"]
    assert error.startswith("“Minutes” -1 is no time to learn in")
    error = studio.post("/do/train", 400, values={"data": "'"})["error"]
    assert error == "“Who” ' is not there; check the path."
    error = studio.post("/do/people", 400, values={"video": film, "same": "A,'D"})["error"]
    assert error == "“Same” A,'D has a quotation mark without its second one."

    desk = Desk(options_of, VERBS, paths=True)
    text = f"Give {option('smooth', False)} or --max-gap 3; motion-jax train --data X takes it."
    assert in_labels(text, Words("en"), desk, "prepare") == (
        "Give “Smooth” (off) or “Max gap” 3; “Learn” takes it."
    )


def test_a_jobs_error_is_for_people(studio, film):
    studio.post("/do/prepare", values={"videos": [film]}, name="Anna")
    [job] = studio.library.jobs()
    book.write(job, state="failed", status=2, error="Use --start 3 or --no-smooth.")
    assert "Use “From” 3 or “Smooth” (off)." in studio.page("/datasets/anna")
    book.write(job, state="failed", status=1, error="KeyError: 'x'")
    page = studio.page("/datasets/anna")
    assert "KeyError" not in page and "The program failed at this; “What it said”" in page


def test_steps_are_counted_as_the_samples_are(studio):
    run = made(studio, "runs", "Ben")
    job = book.add(studio.library.folder, ["train"], about=[run.ref])
    with recorded(job.events, lambda event: None) as recorder, watched(recorder):
        emit(Step("local", 1, 600, 8, 1.0, 0.0, 1e-4, None, {}, 11))
    [row] = studio.http.get(studio.place + "/state").json()["jobs"]
    assert (row["step"]["step"], row["step"]["steps"], row["step"]["total_step"]) == (1, 600, 11)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("notes.txt", b"text", "no file of weights by its name"),
        ("net.pth", b"This is text.", "does not begin as files of weights do"),
        ("net.pth.tar", b"", "is empty"),
        ("net.pkl", b" <!DOCTYPE html>", "like a web page"),
        ("net.safetensors", b"\xff" * 7 + b"\0{}", "does not begin"),
        ("net.safetensors", b"\2" + b"\0" * 7 + b"{}", ""),
        ("net.pth", b"PK\3\4...", ""),
        ("net.pt", b"\x80\2...", ""),
    ],
)
def test_what_is_no_checkpoint_becomes_no_person(studio, tmp_path, name, data, why):
    path = tmp_path / name
    path.write_bytes(data)
    if not why:
        check_weights(path)
        return
    assert why in studio.post("/do/import", 400, values={"source": str(path)})["error"]
    assert "no weights" in studio.post("/do/import", 400, values={"source": str(tmp_path)})["error"]
    assert "is not there" in studio.post("/do/import", 400, values={"source": "~/absent"})["error"]
    assert studio.library.jobs() == [] and studio.library.items() == []


def test_a_failed_import_leaves_no_person(studio, tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(b"PK\3\4 and then nothing")
    item = studio.post("/do/import", values={"source": str(path)}, name="Anna")["item"]
    assert "Anna" in studio.page("/learn") and "Anna" in studio.page("/")
    book.write(studio.library.jobs()[-1], state="failed", status=2, error="It is damaged.")
    for place in ("/learn", "/", "/dance", "/more/import"):
        assert "Anna" not in studio.page(place), place
    assert "It is damaged." in studio.page(f"/{item}")
    # The name is free again; with its job the rest of it goes.
    studio.post("/do/import", values={"source": str(path)}, name="Anna")
    studio.post("/jobs/1/hide")
    assert [item.id for item in studio.library.items()] == ["anna-2"]


def test_a_name_is_given_once(studio, film):
    values = {"videos": [film]}
    studio.post("/do/prepare", values=values, name="Anna")
    error = studio.post("/do/prepare", 400, values=values, name=" anna ")["error"]
    assert "“anna” is the name of another one" in error and "“anna 2”" in error
    # A name that nobody chose gets a number.
    for _ in range(2):
        studio.post("/do/prepare", values=values)
    names = {item.name for item in studio.library.items("datasets")}
    assert names == {"Anna", "ada", "ada 2"}
    studio.post("/rename", 400, item="datasets/ada", name="Anna")
    studio.post("/rename", item="datasets/ada", name="ADA")
    person, film_ = made(studio, "datasets", "Ben"), {"source": film, "method": "nearest"}
    for _ in range(2):
        dance = {"data": person.ref, **film_}
        studio.post("/do/transfer", values=dance, name="Preview: ada", preview=True)
    error = studio.http.post("/projects", json={"name": "TEST"}, headers={"accept": "*/*"}).json()
    assert "already" in error["error"]


def test_what_is_wrong_with_a_file_names_it(studio):
    for name, data in (("notes.mp4", b"This is text.\n" * 9), ("photo.png", b"no picture")):
        begun = studio.post("/uploads", name=name, size=len(data), changed=1)
        put(studio, begun["upload"], 0, data)
        error = studio.post(f"/uploads/{begun['upload']}/finish", 400)["error"]
        assert error.startswith(name) and str(studio.root) not in error
    assert "a.mp4 is empty" in studio.post("/uploads", 400, name="a.mp4", size=0)["error"]


def test_a_copy_says_how_far_it_is(studio, tmp_path, dancer, monkeypatch):
    there, go_on, real = threading.Event(), threading.Event(), intake.bringing.bring
    ends = []

    def slow(library, path, *, copying, **more):
        copying.done, copying.total = 250, 1000
        there.set()
        assert go_on.wait(30)
        copying.done = 0
        try:
            return real(library, path, copying=copying, **more)
        finally:
            ends.append((copying.done, copying.total))

    monkeypatch.setattr(intake.bringing, "bring", slow)
    asking = f"{studio.place}/bring"
    nothing = {"text": "", "share": None}
    assert studio.http.get(asking).json() == nothing
    body = {"path": str(dancer), "how": "copy", "name": "Ada"}
    thread = threading.Thread(target=lambda: studio.post("/bring", **body))
    thread.start()
    assert there.wait(30)
    assert studio.http.get(asking).json() == {"text": "250 bytes of 1 kB copied", "share": 0.25}
    assert "already" in studio.post("/bring", 400, path=str(dancer))["error"]
    go_on.set()
    thread.join()
    assert studio.http.get(asking).json() == nothing
    # Its poses were copied with it.
    [(done, total)] = ends
    assert done == total > dancer.stat().st_size
    other = tmp_path / "other.mp4"
    other.write_bytes(dancer.read_bytes())
    assert (
        "name of another"
        in studio.post("/bring", 400, path=str(other), name="ada", twice=True)["error"]
    )
    with pytest.raises(UserError, match="stopped"):
        real(studio.library, other, copy=True, copying=Copying(stopped=True))
    assert [film.name for film in studio.library.items("films")] == ["Ada"]
    assert [path.name for path in (studio.library.folder / "films").iterdir()] == ["ada"]

"""The studio's server: uploads, requests, what belongs to what, languages."""

import contextlib
import json
import re
import shutil
import time

import cv2
import numpy as np
import pytest
from studio_opened import made, send

from motion_jax.cli.completion import options_of
from motion_jax.config import config_names
from motion_jax.errors import UserError
from motion_jax.jobs import book
from motion_jax.jobs.record import recorded
from motion_jax.studio import guide, library, words
from motion_jax.studio.actions import film_of
from motion_jax.studio.adopt import adopt_demo
from motion_jax.studio.guide import Guide, hint
from motion_jax.studio.plans import plan_of
from motion_jax.studio.uploads import SUFFIXES


@pytest.fixture
def film(studio, dancer):
    return send(studio, dancer.read_bytes())


def test_every_page_opens_for_a_newcomer_and_later(studio, film):
    person = made(studio, "datasets", "Ben", [film])
    run = made(studio, "runs", "Ben learnt", [person.ref])
    result = made(studio, "results", "Ben dances", [run.ref, film], suffix=".mp4")
    made(studio, "results", "Another", [run.ref], suffix=".mp4")
    export = made(studio, "exports", "For others", [run.ref])
    studio.post("/do/transfer", values={"run": run.ref, "source": film})
    for place in (
        "/", "/film", f"/{film}", f"/{person.ref}", "/learn", f"/{run.ref}", "/dance", "/live",
        f"/{result.ref}", "/beside?a=ben-dances&b=another", f"/{export.ref}", "/more", "/jobs",
        *(f"/more/{verb}" for verb in ("compare", "import", "export", "evaluate", "distill")),
    ):  # fmt: skip
        page = studio.page(place)
        assert "<h1>" in page and "Traceback" not in page, place
        # Nothing is asked of another machine, and no script or style stands in the page.
        assert not re.search(r'(src|href)="(https?:)?//', page), place
        assert not re.search(r"<style|<script>| style=| on[a-z]+=", page), place
    assert studio.http.get("/?all").status_code == 200
    assert studio.http.get("/").headers["location"] == studio.place + "/"
    studio.page("/runs/absent", 404)
    studio.page("/films/..%2f..%2fetc", 404)
    assert studio.http.get("/p/absent/").status_code == 404


def test_the_demo_becomes_a_project_of_links(tmp_path, dancer):
    for name in ("ada", "ben"):
        (tmp_path / "videos" / name / "poses").mkdir(parents=True)
        shutil.copy(dancer, tmp_path / "videos" / name / "video.mp4")
        (tmp_path / "datasets" / name).mkdir(parents=True)
        (tmp_path / "datasets" / name / "metadata.json").write_text("{}")
    (tmp_path / "run").mkdir()
    (tmp_path / "transfer.mp4").write_bytes(b"film")
    root = adopt_demo(tmp_path)
    [project] = library.projects(root)
    items = {item.ref: item for item in project.items()}
    assert all(item.is_there and item.path.is_symlink() for item in items.values())
    below = {item.ref for item in project.descendants(items["films/ben"])}
    assert below == {"datasets/ben", "runs/ben-learnt", "results/ben-moves-like-ada"}
    assert film_of(items["films/ada"]) == "films/ada/video.mp4"
    assert adopt_demo(tmp_path) == root and len(library.projects(root)) == 1
    # Moved together, the links still lead there; deleting one leaves the demo whole.
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    [project] = library.projects(moved / "studio")
    project.delete(project.item("films", "ben"), together=True)
    assert (moved / "videos" / "ben" / "video.mp4").exists() and (moved / "run").is_dir()
    assert {item.ref for item in project.items()} == {"films/ada", "datasets/ada"}


def test_the_configs_are_those_that_are_shipped(studio):
    made(studio, "datasets", "Ben")
    page = studio.page("/learn")
    assert all(f'<option value="{name}">' in page for name in config_names())
    studio.page("/settings/..%2fsetup", 404)
    studio.page("/settings/absent", 404)


def test_an_empty_project_asks_for_a_film_and_promises_a_dance_without_learning(studio, dancer):
    films = 'href="/p/{}/film">'.format(re.search(r"/p/([^/]+)/film", studio.page("/"))[1])
    assert films + "Bring in your first film" in studio.page("/")
    page = studio.page("/dance")
    assert "real frames, without learning" in page and "nobody to learn" not in page
    send(studio, dancer.read_bytes(), "other.mp4")
    assert "Bring in your first" not in studio.page("/")


def test_anothers_dance_is_proposed(studio, dancer):
    other = send(studio, dancer.read_bytes(), "other.mp4")
    own = send(studio, dancer.read_bytes() + b"\0", "own.mp4")
    person = made(studio, "datasets", "Ben", [own])
    made(studio, "runs", "Ben", [person.ref])
    for place in ("/dance", f"/dance?who={person.ref}"):
        assert re.findall(r'value="(films/\w+)"[^>]* selected', studio.page(place)) == [other]
    assert re.findall(
        r'value="(films/\w+)"[^>]* selected', studio.page(f"/dance?source={own}")
    ) == [own]


def test_a_form_becomes_a_job_with_the_command_to_type(studio, film):
    answer = studio.post(
        "/do/prepare",
        values={"videos": [film], "size": "128x128", "start": "0.2", "smooth": False},
        name="Ben",
    )
    assert answer["item"] == "datasets/ben" and answer["go"] == f"{studio.place}/datasets/ben"
    [job] = studio.library.jobs()
    kind = options_of("prepare")
    from motion_jax.cli import parse

    options = parse(kind, "prepare", list(job.words[1:]))
    assert str(options.videos[0]) == f"{film}/dance.mp4" and str(options.out) == "datasets/ben"
    assert (options.size, options.start, options.smooth) == ("128x128", 0.2, False)
    assert job.about == ("datasets/ben", film) and job.lane == "main"
    told = studio.http.get(studio.place + "/state").json()["jobs"]
    assert told[0]["state"] == "waiting" and told[0]["place"] == 1
    assert told[0]["command"].startswith(f"motion-jax prepare {film}/dance.mp4 --out datasets/ben")
    # Real frames are shown beside whatever learns.
    person = made(studio, "datasets", "Ada")
    values = {"data": person.ref, "source": film, "method": "nearest"}
    studio.post("/do/transfer", values=values)
    assert studio.library.jobs()[-1].lane == "side"


def test_everybody_in_a_film_has_a_letter_to_choose(studio, film):
    answer = studio.post("/do/people", values={"video": film})
    [job] = studio.library.jobs()
    assert job.words[:2] == ("people", f"{film}/dance.mp4")
    cast = studio.library.of_ref(answer["item"])
    assert '<option value="B">' not in studio.page(f"/{film}")
    cast.path.mkdir()
    picture = np.zeros((9, 9, 3), np.uint8)
    (cast.path / "people.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    (cast.path / "people.json").write_text('{"people": [{"name": "A"}, {"name": "B"}]}')
    book.write(job, state="done")
    assert '<option value="B">' in studio.page(f"/{film}")
    assert "(A, B) can be chosen" in studio.page(f"/{cast.ref}")
    sheet = studio.http.get(f"{studio.place}/{cast.ref}/report/people.png")
    assert sheet.headers["content-type"] == "image/png"


def test_how_to_type_what_a_form_holds(studio, film):
    values = {"videos": [film], "size": "128x128"}
    said = studio.post("/do/prepare", values=values, name="Ben <3", spell=True)["command"]
    assert said == (f"motion-jax prepare {film}/dance.mp4 --out datasets/ben-3 --size 128x128")
    assert "is missing" in studio.post("/do/transfer", values={}, spell=True)["why"]
    # It is said, not done.
    assert studio.library.jobs() == [] and len(studio.library.items()) == 1
    assert studio.post("/do/prepare", values=values, name="Ben <3")["command"] == said


@pytest.mark.parametrize(
    ("verb", "values", "why"),
    [
        ("transfer", {}, "missing"),
        ("transfer", {"source": "films/absent"}, "no such thing"),
        ("transfer", {"source": "films/../../x"}, "no such thing"),
        ("transfer", {"source": ["films/dance"], "chunk": "many"}, "“Chunk” many is not a whole"),
        ("transfer", {"source": "films/dance", "out": "/etc/passwd"}, "no option out"),
        ("transfer", {"source": "films/dance", "audio": "--help"}, "cannot be a value"),
        ("fetch", {}, "no page"),
        ("prepare", {"videos": [{"a": 1}]}, "list"),
    ],
)
def test_wrong_requests_make_nothing(studio, film, verb, values, why):
    assert re.search(why, studio.post(f"/do/{verb}", 400, values=values)["error"])
    assert studio.library.jobs() == [] and studio.library.items("results", "datasets") == []


def test_settings_of_a_config_are_no_way_to_other_options(studio):
    person = made(studio, "datasets", "Ben")
    ask = {"values": {"data": person.ref}, "first": ["small"]}
    studio.post("/do/train", **ask, settings="--recipe.local-stage.steps 5 --seed 1")
    assert studio.library.jobs()[-1].words[-4:] == (
        "--recipe.local-stage.steps", "5", "--seed", "1"
    )  # fmt: skip
    assert studio.library.jobs()[-1].words[:2] == ("train", "small")
    for wrong in ("--run /tmp/x", "--help", "'", "-h"):
        studio.post("/do/train", 400, **ask, settings=wrong)
    studio.post("/do/train", 400, values={"data": person.ref}, first=["--help"])


def test_one_of_three_choices_is_learnt(studio):
    person = made(studio, "datasets", "Ben")
    studio.post("/plan", person=person.ref)
    studio.post("/plan", person=person.ref)  # a second tab
    [job] = studio.library.jobs()
    assert job.words == ("suggest", "datasets/ben", "--out", "plans/ben.json")
    assert "being measured" in studio.page("/learn?person=ben")
    time.sleep(0.01)
    choice = {
        "name": "look", "config": "two_cores", "size": "128x128", "minutes": 3, "seconds": 180.0,
        "time": "3 minutes", "words": ["train", "two_cores", "--data", "datasets/ben"],
    }  # fmt: skip
    plan = {"device": "2 cores", "frames": 9, "short": True, "text": [], "choices": [choice]}
    plan_of(person).write_text(json.dumps(plan))
    page = studio.page("/learn?person=ben")
    assert "A first look" in page and "about 3 minutes" in page and "too short" in page
    studio.post("/learn", 400, person=person.ref, choice="forever")
    answer = studio.post("/learn", person=person.ref, choice="look")
    job = studio.library.jobs()[-1]
    assert job.words[:6] == (
        "train",
        "two_cores",
        "--data",
        "datasets/ben",
        "--run",
        answer["item"],
    )
    assert studio.library.of_ref(answer["item"]).made_from == (person.ref,)


def test_pages_follow_a_job_from_its_events(studio, film):
    studio.post("/do/prepare", values={"videos": [film]}, name="Ben")
    [job] = studio.library.jobs()
    before = studio.http.get(studio.place + "/state").json()["version"]
    job = book.write(job, state="running", begun=time.time(), pid=1)
    from motion_jax.events import StageBegun, emit, watched
    from motion_jax.progress import Meter

    with recorded(job.events, lambda event: None) as recorder, watched(recorder):
        emit(StageBegun("poses"))
        with Meter("Estimating", 10) as meter:
            meter.advance(4)
    book.write(job, state="failed", status=2, error="It <b>failed</b>; mend it.")
    now = studio.http.get(studio.place + "/state").json()
    row = now["jobs"][0]
    assert (row["stage"], row["task"], row["done"], row["total"]) == ("poses", "Estimating", 4, 10)
    assert row["share"] == 0.4 and now["version"] != before
    page = studio.page("/datasets/ben")
    assert "It &lt;b&gt;failed&lt;/b&gt;; mend it." in page
    # From the list to what it makes; go on, stop, see what it said, take it off the list.
    assert f'href="{studio.place}/datasets/ben">' in studio.page("/jobs")
    job.log.write_text("It said this.")
    studio.post("/jobs/1/resume")
    assert book.read(job.folder).state == "waiting"
    studio.post("/jobs/1/stop")
    assert book.read(job.folder).stops == 1
    assert studio.http.get(studio.place + "/jobs/1/log").text == "It said this."
    studio.post("/jobs/1/hide", 400)
    studio.post("/jobs/9/stop", 400)
    studio.post("/jobs/..%2f1/stop", 404)


def test_what_was_made_from_a_film_is_found_and_deleted_together(studio, film):
    person = made(studio, "datasets", "Ben", [film])
    run = made(studio, "runs", "Ben learnt", [person.ref])
    result = made(studio, "results", "Ben dances", [run.ref], suffix=".mp4")
    other = made(studio, "runs", "Somebody else")
    page = studio.page(f"/{film}")
    assert all(name in page for name in ("Ben learnt", "Ben dances", "Delete all 4 together"))
    job = book.add(studio.library.folder, ["train"], about=[run.ref])
    assert "is using it" in studio.post("/delete", 400, item=film, together=True)["error"]
    assert result.is_there
    book.write(job, state="done")
    studio.post("/delete", item=film, together=True)
    assert [item.ref for item in studio.library.items()] == [other.ref]
    assert not person.path.exists() and not run.path.exists() and not result.path.exists()
    # What its jobs printed is gone with it.
    assert studio.library.jobs() == []


def test_a_job_that_only_uses_a_thing_does_not_make_it_unready(studio):
    """How long learning takes is measured with a dataset, and a run is shown live."""
    person, run = made(studio, "datasets", "Ben"), made(studio, "runs", "Ben learnt")
    studio.post("/plan", person=person.ref)
    studio.post("/live", run=run.ref)
    assert [job.verb for job in studio.library.jobs()] == ["suggest", "serve"]
    for page in (studio.page(f"/{person.ref}"), studio.page(f"/{run.ref}"), studio.page("/")):
        assert ">waiting<" not in page
    assert all(">waiting<" in studio.page(place) for place in ("/learn?person=ben", "/jobs"))


def test_an_error_shows_the_way_back_into_the_project(studio):
    page = studio.page("/films/none", 404)
    assert f'href="{studio.place}/">To “Test”' in page and f'href="{studio.place}/film"' in page
    page = studio.http.get("/p/none/film").text
    assert "no such project" in page and 'href="/?all"' in page and "/p/none/" not in page


def test_forms_say_where_to_begin_and_list_their_own_results(studio):
    made(studio, "results", "By another verb", suffix=".mp4")
    page = studio.page("/more/animate")
    assert f'href="{studio.place}/film">Begin under “Film”' in page
    learn = f'href="{studio.place}/learn">Begin under “Learn”'
    measure = studio.page("/more/evaluate")
    assert learn in measure and learn not in page
    assert "There is no trained person in this project yet." in measure
    assert "By another verb" not in page and "`" not in page + measure
    # Nothing can be begun before there is something to take, and what is shown at once has
    # people's words.
    assert '<button class="go" disabled>Begin' in measure
    made(studio, "runs", "Ben")
    measure = studio.page("/more/evaluate")
    assert '<button class="go">Begin' in measure and "Who is measured" in measure
    assert "motion-jax train" not in measure


def test_names_can_be_changed_and_repeat(studio):
    first, second = made(studio, "runs", "Jürgen"), made(studio, "runs", "Jürgen")
    assert (first.id, second.id) == ("jurgen", "jurgen-2")
    studio.post("/rename", item=first.ref, name="  A \n\t new\u200b name ")
    assert studio.library.of_ref(first.ref).name == "A new name"
    studio.post("/rename", 400, item=first.ref, name=" ")
    assert library.slug("日本") == "unnamed" and library.slug("../Ab c") == "ab-c"
    with pytest.raises(UserError):
        studio.library.item("runs", "../../etc")


def test_links_out_of_a_thing_are_not_followed(studio, tmp_path):
    (tmp_path / "secret.html").write_text("secret")
    person = made(studio, "datasets", "Ben")
    (person.path / "report").mkdir()
    (person.path / "report" / "index.html").write_text("<p>fine</p>")
    (person.path / "report" / "x.html").symlink_to(tmp_path / "secret.html")
    fine = studio.http.get(f"{studio.place}/{person.ref}/report/index.html")
    assert fine.text == "<p>fine</p>" and "sandbox" in fine.headers["content-security-policy"]
    assert "script" not in fine.headers["content-security-policy"]
    for name in ("x.html", "../metadata.json", "..%2fmetadata.json", ".hidden", "a//b"):
        answer = studio.http.get(f"{studio.place}/{person.ref}/report/{name}")
        assert answer.status_code in (400, 404) and "secret" not in answer.text, name


def standing(top, bottom, x=50.0, feet=True):
    """A pose in a picture of 100 x 100: nose, hips and ankles."""
    pose = np.zeros((137, 3), np.float32)
    pose[[0, 8], :] = [(x, top, 1), (x, (top + bottom) / 2, 1)]
    pose[[11, 14], :] = [(x, bottom, float(feet))] * 2
    return pose


@pytest.mark.parametrize(
    ("pose", "said"),
    [
        (None, "nobody"),
        (standing(15, 90), "good"),
        (standing(15, 90, feet=False), "step_back"),
        (standing(15, 99), "step_back"),
        (standing(3, 80), "step_back"),
        (standing(40, 70), "come_closer"),
        (standing(15, 90, x=90), "to_the_middle"),
    ],
)
def test_the_camera_page_says_how_to_stand(pose, said):
    assert hint(pose, 100, 100) == said


def test_who_is_in_a_frame_and_a_film_in_small_pictures(studio, film, monkeypatch):
    seen = []

    class Two(contextlib.nullcontext):
        def __enter__(self):
            return self

        def look_at_all(self, image, time, still):
            seen.append((image.shape, still, int((image == 127).all(-1).sum())))
            if len(seen) == 1:
                return [standing(15, 90, x=70)]
            # Who is found is painted over; the mirror shows one of two others, too.
            mirrored = len(seen) == 2
            more = [standing(20, 80, x=30)] if len(seen) == 3 else []
            return [standing(20, 80, x=66)] if mirrored else [*more, standing(40, 60, x=30)][:2]

    monkeypatch.setattr(guide, "_watcher", Two)
    found = studio.http.get(f"{studio.place}/{film}/people?time=0.5").json()
    assert seen[0][:2] == ((96, 96, 3), True) and found["width"] == 96
    assert seen[0][2] < 10 and seen[1][2] >= 85 and len(seen) == 5
    assert found["time"] == pytest.approx(0.52, abs=0.021)
    # From left to right, each a box around the joints and a place on the trunk, as --at takes it.
    left, right = found["people"]
    assert left["at"] == f"{found['time']:.3f}s,30,50" and right["at"].endswith("s,70,52")
    assert left["box"][0] < 30 / 96 < left["box"][2] and 80 / 96 < left["box"][3] <= 1
    studio.post("/do/prepare", values={"videos": [film], "at": [right["at"]]})
    words_ = studio.library.jobs()[-1].words
    assert words_[words_.index("--at") + 1] == right["at"]
    made(studio, "datasets", "Ben")
    assert f'value="{right["at"]}"' in studio.page(f"/dance?source={film}&at={right['at']}")
    strip = studio.http.get(f"{studio.place}/{film}/strip").content
    picture = cv2.imdecode(np.frombuffer(strip, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (72, 12 * 72, 3)
    # Without a pose model nobody is marked, and nothing is downloaded.
    monkeypatch.setattr(guide, "_watcher", absent)
    assert Guide().everybody(np.zeros((9, 9, 3), np.uint8)) is None


def absent():
    raise UserError("no model")


def test_the_guide_looks_at_pictures_alone(dancer):
    class Fixed(contextlib.nullcontext):
        def __enter__(self):
            return self

        def look(self, image, time):
            assert image.shape == (48, 64, 3)
            return standing(7, 43)

    looking = Guide(Fixed)
    picture = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    assert looking.look(picture) == "to_the_middle"
    # A size that would fill the memory is refused before the picture is made.
    huge = picture.replace(b"\x00\x30\x00\x40", b"\xff\xf0\xff\xf0")
    assert huge != picture and looking.look(huge) == ""
    for other in (b"", b"x" * 99, b"\xff\xd8", dancer.read_bytes()):
        assert looking.look(other) == ""
    looking.close()
    assert Guide(absent).look(picture) == ""


def test_every_language_has_every_text():
    first = words.texts("en")
    for language in words.languages():
        found = words.texts(language)
        assert set(found) == set(first), language
        for key, text in found.items():
            places = [re.sub(r"[^\d\w{}]", "", p) for p in re.findall(r"\{\w+\}", text)]
            assert sorted(places) == sorted(re.findall(r"\{\w+\}", first[key])), key
    assert words.wanted("", "fr-CH, de-AT;q=0.9, en;q=0.8") == "de"
    assert words.wanted("en", "de") == "en" and words.wanted("xx", "") == "en"


def test_the_page_speaks_the_browsers_language_or_the_chosen_one(studio):
    german = studio.http.get(studio.place + "/film", headers={"accept-language": "de-DE,de"})
    assert '<html lang="de">' in german.text and "Mit der Kamera" in german.text
    answer = studio.http.post("/language", json={"language": "de"})
    assert answer.json() == {"reload": True}
    assert "Filme" in studio.page("/film")
    assert studio.http.post("/language", json={"language": "xx"}).status_code in (400, 404)


def test_every_text_of_the_pages_is_there():
    """Keys in the templates and the script are those of the file, and none is left over."""
    from motion_jax.studio.web import HERE

    used = set()
    for path in (HERE / "templates").glob("*.html"):
        used |= set(re.findall(r"""\bt\(["']([\w.]+)["']""", path.read_text()))
        used |= set(re.findall(r"""["'](nav\.\w+)["']""", path.read_text()))
    for path in HERE.glob("*.py"):
        used |= set(re.findall(r"""\bwords(?:_of\(request\))?\(\s*"([\w.]+)\"""", path.read_text()))
        used |= set(re.findall(r"""self\("([\w.]+)\"""", path.read_text()))
    for path in (HERE / "static").glob("*.js"):
        used |= {
            f"js.{key}" for key in re.findall(r"""\bw\((?:[^()']*\? )?'(\w+)'""", path.read_text())
        }
    known = set(words.texts("en"))
    used = {key for key in used if not key.endswith(".")}
    assert used <= known
    assert ".mp4" in SUFFIXES

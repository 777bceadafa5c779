"""Where pages lead, and what they let one choose: after a trial with newcomers."""

import json
import time
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from studio_opened import Opened, made, send

from motion_jax.events import Expected, Said, StageBegun, Step, watched
from motion_jax.jobs import book
from motion_jax.jobs.record import recorded
from motion_jax.studio import short, state, uploads
from motion_jax.studio.library import new_project, slug


@pytest.fixture
def film(studio, dancer):
    return send(studio, dancer.read_bytes(), "ada.mp4")


@pytest.mark.parametrize(
    ("pictures", "first", "way"),
    [(200, "Dance at once, with real frames", "dance"), (2000, "Learn this person", "learn")],
)
def test_every_page_leads_to_what_suits_the_film(studio, monkeypatch, pictures, first, way):
    person = made(studio, "datasets", "Ben")
    (person.path / short.FILE).write_text("{}")
    read = []
    monkeypatch.setattr(
        short, "read_quality", lambda path: read.append(path) or {"records": pictures}
    )
    job = book.add(studio.library.folder, ["prepare"], about=[person.ref])
    book.write(job, state="done", status=0)
    for place in (f"/{person.ref}", "/jobs"):
        button = studio.page(place).split('<a class="button go" ')[1].split("</a>")[0]
        assert button.endswith(">" + first), place
    made(studio, "films", "ada", width=64, height=64, seconds=2.0, fps=25, file="ada.mp4")
    assert f'<li class="now"><a href="{studio.place}/{way}">' in studio.page("/")
    # The file of a long film is large.
    assert len(read) == 1


def test_a_job_is_told_as_it_is_now(studio):
    run = made(studio, "runs", "Ben")
    job = book.add(studio.library.folder, ["train"], title="Learn: Ben", about=[run.ref])
    with recorded(job.events, lambda event: None) as recorder, watched(recorder):
        recorder(StageBegun("global"))
        recorder(Said("Stopped after step 3."))
    book.write(job, state="stopped", status=130, begun=time.time() - 9)

    def row():
        return studio.http.get(studio.place + "/state").json()["jobs"][-1]

    assert (row()["line"], row()["said"]) == ("Stopped after step 3.", "stopped")
    assert row()["stage"] == "the whole picture"
    studio.post("/jobs/1/resume")
    book.write(book.read(job.folder), state="waiting")
    assert (row()["line"], row()["said"]) == ("", "waiting")


def test_the_measuring_of_the_machine_is_no_job_that_was_asked_for(studio):
    person = made(studio, "datasets", "Ben")
    job = book.add(
        studio.library.folder, ["suggest", person.relative], title="How long", about=[person.ref]
    )
    assert "How long" in studio.page("/jobs")
    book.write(job, state="done", status=0)
    assert "How long" not in studio.page("/jobs")


def test_what_was_refused_is_changed_before_it_is_tried_again(studio, film):
    studio.post("/do/prepare", values={"videos": [film]})
    [job] = studio.library.jobs()
    book.write(job, state="failed", status=2, error="Use --start 3.")
    page = studio.page("/jobs")
    assert page.index("Change it and try again") < page.index("Try once more")
    book.write(job, state="stopped", status=130, error="")
    page = studio.page("/jobs")
    assert page.index(">Go on<") < page.index("Change it and try again")


def test_a_drawn_dancer_is_seen_before_it_is_drawn(studio):
    page = studio.page("/film")
    for who in ("ada", "ben"):
        place = f"{studio.place}/dancers/{who}.png"
        assert place in page
        data = np.frombuffer(studio.http.get(place).content, np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert picture.shape == (224, 224, 3) and picture.std() > 10
    studio.page("/dancers/nobody.png", 404)
    answer = studio.post("/dancer", 400, who="ada", seconds=1, dance=None)
    assert answer["error"] == "A dance has a number, from 0."


def test_a_film_lends_its_dance(studio, film):
    assert f'href="{studio.place}/dance?source={film}">Dance like in this film' in (
        studio.page(f"/{film}")
    )


def test_what_was_exported_can_be_taken_home(studio, tmp_path):
    export = made(studio, "exports", "For others")
    (export.path / "generator.onnx").write_bytes(b"onnx")
    (export.path / "checkpoints" / "6").mkdir()
    (tmp_path / "secret").write_text("secret")
    (export.path / "link").symlink_to(tmp_path / "secret")
    page = studio.page(f"/{export.ref}")
    place = f"{studio.place}/{export.ref}/file/generator.onnx"
    assert f'<a href="{place}" download>generator.onnx</a>' in page
    answer = studio.http.get(place)
    assert answer.content == b"onnx"
    assert 'filename="generator.onnx"' in answer.headers["content-disposition"]
    for wrong in ("link", "none", "..%2f..%2fabout%2fexports", "checkpoints"):
        studio.page(f"/{export.ref}/file/{wrong}", 404)
    run = made(studio, "runs", "Ben")
    studio.page(f"/{run.ref}/file/metadata.json", 404)


def test_folders_of_this_machine_can_be_looked_through(studio, tmp_path):
    folder = tmp_path / "mine"
    (folder / "runs").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / "b.mp4").write_bytes(b"")
    (folder / "A.mp4").write_bytes(b"")

    def listed(path, status=200):
        answer = studio.http.get(
            studio.place + "/browse", params={"path": str(path)}, headers={"accept": "*/*"}
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    told = {"path": str(folder), "parent": str(tmp_path), "folders": ["runs"],
            "files": ["A.mp4", "b.mp4"]}  # fmt: skip
    assert listed(folder) == listed(folder / "b.mp4") == listed(folder / "runs" / "..") == told
    assert listed("/")["parent"] == "" and listed("~")["path"] == listed("")["path"]
    for wrong in (folder / "none", "a\0b"):
        assert "is no folder that can be read" in listed(wrong, 400)["error"]
    page = studio.page("/more/import")
    assert 'data-browse="bring-path"' in page and 'data-browse="field-source"' in page


def test_folders_of_a_server_are_not_shown(tmp_path, no_queue):
    studio = Opened(tmp_path, host="0.0.0.0", token="a-long-secret")
    try:
        headers = {"authorization": "Bearer a-long-secret", "accept": "*/*"}
        answer = studio.http.get(studio.place + "/browse?path=/", headers=headers)
        assert answer.status_code == 400 and "cannot be named here" in answer.json()["error"]
        assert (
            "data-browse"
            not in studio.http.get(
                studio.place + "/more/import", headers={**headers, "accept": "text/html"}
            ).text
        )
    finally:
        studio.close()


# --- what the second trial stumbled over --------------------------------------------------------


def test_a_preview_is_refused_for_what_all_of_it_is_refused_for(studio, film):
    person = made(studio, "datasets", "Ben")
    values = {"data": person.ref, "source": film, "method": "nearest", "end": "0.5"}
    error = studio.post("/do/transfer", 400, values=values, preview=True, end="99")["error"]
    assert error.startswith("“To” 99 lies after the end of ada") and not studio.library.jobs()


def test_a_character_is_its_own_drawing_where_nobody_draws_it(studio, film):
    studio.post("/do/animate-character", values={"source": film, "character": "7"})
    [job] = studio.library.jobs()
    assert job.words[job.words.index("--method") + 1] == "rig"
    assert studio.library.of_ref(job.about[0]).name == "7 – ada"
    book.write(job, state="failed", status=2, error="Use --run of another recipe.")
    assert "Use “Drawn by” of another recipe." in studio.page("/jobs")
    # A run that draws people draws no characters.
    made(studio, "runs", "Ben")
    page = studio.page("/more/animate-character")
    assert "Ben" not in page and "Drawn by" not in page


def test_a_run_that_knows_several_people_is_each_of_them(studio, film):
    run = made(studio, "runs", "Both")
    (run.path / "config.json").write_text('{"recipe": {"identities": 2}}')
    sources = [{"file": "ben.mp4"}, {"file": "anna.mp4"}]
    (run.path / "dataset.json").write_text(json.dumps({"info": {"sources": sources}}))
    each = ['value="runs/both:anna"', 'value="runs/both:ben"']
    # Whether a person must be chosen, may be, or cannot be.
    for page, persons, whole in (
        ("/dance", True, False),
        ("/live", True, False),
        ("/more/distill", True, False),
        ("/more/evaluate", True, True),
        ("/more/adapt", True, True),
        ("/more/export", True, False),
    ):
        text = studio.page(page)
        assert [one in text for one in each] == [persons] * 2, page
        assert ('value="runs/both"' in text) == whole, page
    assert "Both: anna" in studio.page("/dance")
    assert 'value="runs/both:ben" selected' in studio.page("/dance?who=runs/both:ben")
    studio.post("/do/transfer", values={"source": film, "run": "runs/both:anna"})
    [job] = studio.library.jobs()
    assert job.words[job.words.index("--run") + 1] == "runs/both:anna"
    result = studio.library.of_ref(job.about[0])
    assert result.name == "Both: anna – ada" and "runs/both" in result.made_from
    error = studio.post("/do/transfer", 400, values={"source": film, "run": "runs/both:carl"})
    assert error["error"] == "“Both” knows anna, ben, and not carl; choose from the list."


@pytest.mark.parametrize("format_", ["torch", "safetensors"])
def test_no_file_of_the_original_programs_has_a_matte(studio, format_):
    run = made(studio, "runs", "Ben")
    (run.path / "config.json").write_text('{"recipe": {"background": "plate"}}')
    asked = {"run": run.ref, "format": format_}
    assert "have no place" in studio.post("/do/export", 400, values=asked)["error"]


def test_configs_are_looked_up_before_a_job_is_made(studio):
    person = made(studio, "datasets", "Ben")
    body = {"values": {"data": person.ref}, "settings": ""}
    error = studio.post("/do/train", 400, **body, first=["twocores"])["error"]
    assert error.startswith("There is no config twocores; choose one of ")
    assert "two_cores" in error and not studio.library.jobs()
    studio.post("/do/train", **body, first=["two_cores"])


def test_a_run_that_failed_waits_for_no_pictures(studio):
    run = made(studio, "runs", "Ben")
    job = book.add(studio.library.folder, ["train"], about=[run.ref])
    assert "The first pictures come soon" in studio.page(f"/{run.ref}")
    book.write(job, state="failed", status=2, error="It is wrong.")
    page = studio.page(f"/{run.ref}")
    assert "The first pictures" not in page and "No pictures came of it." in page


def test_a_live_view_does_not_go_on_without_its_page(studio):
    job = book.add(studio.library.folder, ["serve", "--port", "1"], title="Live: Ben")
    book.write(job, state="stopped", status=130)
    assert ">Go on<" not in studio.page("/jobs")
    error = studio.post("/jobs/1/resume", 400)["error"]
    assert error == "The live view has ended; start it again."


def test_each_of_two_results_says_what_it_is(studio):
    person, run = made(studio, "datasets", "Ben"), made(studio, "runs", "Ben")
    made(studio, "results", "Real", [person.ref], suffix=".mp4")
    made(studio, "results", "Drawn", [run.ref, person.ref], suffix=".mp4")
    page = studio.page("/beside?a=real&b=drawn")
    assert page.index(">rearranged<") < page.index(">Drawn</a>") < page.index(">synthetic<")


def test_what_says_nothing_for_long_has_no_time_left(studio, monkeypatch):
    job = book.add(studio.library.folder, ["train"])
    with recorded(job.events, lambda event: None) as recorder:
        recorder(Expected(600.0))
        recorder(Step("global", 3, 9, 1, 1.0, 0.0, 0.1, None, {}, 3))
        book.write(job, state="running", begun=time.time(), pid=1)

        def row():
            return studio.http.get(studio.place + "/state").json()["jobs"][0]

        assert row()["left"] == "10 minutes" and row()["step"]
        # A new part is compiled before its first step.
        recorder(StageBegun("local"))
        assert row()["stage"] == "fine detail" and not row()["step"]
        monkeypatch.setattr(state, "QUIET", 0.0)
        assert row()["left"] is None


def test_a_clock_is_no_rate(tmp_path, monkeypatch, dancer):
    plain = uploads.probe(dancer)
    monkeypatch.setattr(uploads, "probe", lambda path: replace(plain, fps=Fraction(1000)))
    found = uploads.examined(dancer)
    assert found["fps"] == pytest.approx(25, abs=1) and found["seconds"] == pytest.approx(
        1, abs=0.1
    )
    assert slug("Größe") == "grosse"


def test_a_page_knows_of_which_moment_it_is(studio):
    def told():
        return studio.http.get(studio.place + "/state").json()["version"]

    assert f'data-state="{told()}"' in studio.page("/jobs")
    before = told()
    job = book.add(studio.library.folder, ["train"])
    assert told() != before and f'data-state="{told()}"' in studio.page("/jobs")
    before = told()
    with recorded(job.events, lambda event: None) as recorder:
        recorder(Said("It goes on."))
    assert told() == before


def test_projects_are_renamed_and_deleted(studio, tmp_path, film):
    def sent(what, status=200, project="test", **body):
        answer = studio.http.post(
            f"/p/{project}/project/{what}", json=body, headers={"accept": "*/*"}
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    other = new_project(studio.root, "Other")
    assert "“other” already" in sent("rename", 400, name="other")["error"]
    assert sent("rename", name=" Mine  now ") and sent("rename", name="Mine now")
    assert "Mine now" in studio.http.get("/?all").text and "Mine now" in studio.page("/")
    # Only by its name, and not under a job. What is linked stays.
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "weights").write_text("w")
    (other.folder / "runs").mkdir()
    (other.folder / "runs" / "linked").symlink_to(tmp_path / "elsewhere")
    job = book.add(other.folder, ["train"], title="Learn: Ben")
    for name in ("", "other", "Mine now"):
        assert "Type “Other”" in sent("delete", 400, "other", name=name)["error"]
    assert "“Learn: Ben” is using it" in sent("delete", 400, "other", name="Other")["error"]
    book.write(job, state="stopped", status=130)
    assert sent("delete", project="other", name="Other") == {"go": "/?all"}
    assert not other.folder.exists() and (tmp_path / "elsewhere" / "weights").exists()
    assert studio.library.of_ref(film).path.is_dir()
    assert "Other" not in studio.http.get("/?all").text

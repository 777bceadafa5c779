"""What comes into a project: uploads, things of the terminal, drawn dancers."""

import hashlib
import json
import re
import shutil

import cv2
import numpy as np
import pytest
from studio_opened import made, put, send

from motion_jax import files
from motion_jax.jobs import book
from motion_jax.studio.actions import film_of
from motion_jax.studio.uploads import file_name
from motion_jax.video.writer import VideoWriter


@pytest.fixture
def film(studio, dancer):
    return send(studio, dancer.read_bytes())


@pytest.fixture
def terminal(tmp_path, dancer):
    """What somebody made in a terminal: a drawn dancer's film, a dataset, a run and a result."""
    out = tmp_path / "out"
    (out / "ben").mkdir(parents=True)
    shutil.copytree(dancer.parent, out / "ben", dirs_exist_ok=True)
    (out / "data").mkdir()
    about = {"sources": [{"sha256": files.sha256(dancer), "width": 96, "height": 96}]}
    (out / "data" / "metadata.json").write_text(json.dumps(about))
    (out / "run" / "checkpoints" / "5").mkdir(parents=True)
    (out / "run" / "config.json").write_text("{}")
    text = json.dumps(about, sort_keys=True).encode()
    said = {"path": "../data", "fingerprint": hashlib.sha256(text).hexdigest()}
    (out / "run" / "dataset.json").write_text(json.dumps(said))
    tags = {"motion_jax_synthetic": "true", "motion_jax_run": "run"}
    with VideoWriter(out / "ben dances.mp4", 16, 16, metadata=tags) as film:
        film.write(np.zeros((16, 16, 3), np.uint8), 0.0)
    return out


@pytest.mark.parametrize("copy", [False, True])
def test_what_was_made_on_the_terminal_is_taken_in(studio, terminal, copy):
    how = "copy" if copy else "link"
    # A run brings its dataset along.
    answer = studio.post("/bring", path=str(terminal / "run"), how=how, name="Ben")
    assert answer["items"] == ["datasets/out-data", "runs/ben"]
    # The rest of the folder, and what belongs to what.
    answer = studio.post("/bring", path=str(terminal), how=how)
    assert answer["items"] == ["films/ben-video", "results/ben-dances"]
    assert "already" in studio.post("/bring", 400, path=str(terminal / "run"))["error"]
    said = json.loads((studio.library.folder / "runs/ben/dataset.json").read_text())["path"]
    assert said == ("../../datasets/out-data" if copy else "../data")
    items = {item.ref: item for item in studio.library.items()}
    film = items["films/ben-video"]
    below = {item.ref for item in studio.library.descendants(film)}
    assert below == {"datasets/out-data", "runs/ben", "results/ben-dances"}
    assert film.facts["seconds"] == pytest.approx(1, abs=0.1) and film.size() > 1000
    for place in (f"/{film.ref}", "/runs/ben", "/datasets/out-data", "/results/ben-dances", "/"):
        assert (str(terminal) in studio.page(place)) == (not copy and place != "/")
    assert studio.http.get(f"{studio.place}/{film.ref}/film").status_code == 200
    assert studio.http.get(f"{studio.place}/results/ben-dances/film").status_code == 200
    studio.post("/do/prepare", values={"videos": [film.ref]})
    words_ = studio.library.jobs()[-1].words
    assert f"{film.ref}/ben video.mp4" in words_ and f"{film.ref}/poses" in words_
    book.write(studio.library.jobs()[-1], state="done")
    # A link goes alone: what lies elsewhere stays there.
    studio.post("/delete", item=film.ref, together=True)
    assert (terminal / "run" / "config.json").is_file() and (terminal / "ben/video.mp4").is_file()
    assert not (studio.library.folder / "runs" / "ben").exists()


def test_what_the_terminal_made_in_the_project_is_seen(studio, terminal):
    project = studio.library.folder
    shutil.copytree(terminal / "data", project / "datasets" / "Anna_2")
    shutil.copytree(terminal / "run", project / "runs" / "second")
    (project / "runs" / "begun").mkdir()
    shutil.copy(terminal / "ben dances.mp4", project / "outside.mp4")
    assert "second" in studio.page("/")
    assert {i.ref for i in studio.library.items()} == {"datasets/Anna_2", "runs/second"}
    assert studio.library.of_ref("runs/second").made_from == ("datasets/Anna_2",)
    assert "Anna_2" in studio.page("/datasets/Anna_2")
    studio.page("/")
    assert len(studio.library.items()) == 2


@pytest.mark.parametrize(
    ("path", "why"), [("", "Give the path"), ("absent", "There is no"), ("empty", "holds no film")]
)
def test_what_cannot_be_taken_in(studio, tmp_path, path, why):
    (tmp_path / "empty").mkdir()
    place = str(tmp_path / path) if path else ""
    assert why in studio.post("/bring", 400, path=place)["error"]
    assert studio.library.items() == []


def test_an_upload_goes_on_where_it_broke_off(studio, dancer):
    data = dancer.read_bytes()
    begun = studio.post("/uploads", name="my dance.mp4", size=len(data), changed=1)
    put(studio, begun["upload"], 0, data[:1000])
    # A piece that is not the next changes nothing, and the answer says what is.
    for wrong in (0, 500, 2000):
        assert put(studio, begun["upload"], wrong, b"x" * 10).json() == {"received": 1000}
    assert "not whole" in studio.post(f"/uploads/{begun['upload']}/finish", 400)["error"]
    # After a break the same file is known by name, size and time.
    again = studio.post("/uploads", name="my dance.mp4", size=len(data), changed=1)
    assert again == {"upload": begun["upload"], "received": 1000}
    film = send(studio, data, "my dance.mp4")
    item = studio.library.of_ref(film)
    assert (item.path / "my dance.mp4").read_bytes() == data and item.name == "my dance"
    assert (item.facts["width"], item.facts["height"]) == (96, 96)
    assert item.facts["seconds"] == pytest.approx(1, abs=0.1)
    answer = studio.http.get(f"{studio.place}/{film}/film", headers={"range": "bytes=10-19"})
    assert answer.status_code == 206 and answer.content == data[10:20]
    for still in ("still", "still?time=0.5", "still?time=99", "still?time=-3"):
        shown = studio.http.get(f"{studio.place}/{film}/{still}")
        assert shown.content[:2] == b"\xff\xd8", still
    assert not list((studio.library.folder / "uploads").iterdir())


@pytest.mark.parametrize(
    ("name", "size", "why"),
    [
        ("a.mp4", 0, "empty"),
        ("a.mp4", "9", "empty"),
        ("a.mp4", True, "empty"),
        ("a.mp4", 10**12, "larger than"),
        ("a.sh", 10, "no film"),
        ("/", 10, "name|film"),
        ("\u202e\n", 10, "name"),
    ],
)
def test_hostile_uploads_are_refused_by_their_description(studio, name, size, why):
    assert re.search(why, studio.post("/uploads", 400, name=name, size=size)["error"])


def test_a_name_never_becomes_a_path(studio, dancer):
    name = "../../../../tmp/evil\\..\\" + "x" * 300 + " <script>.mp4"
    film = send(studio, dancer.read_bytes(), name[-60:].join(["../../", ""]))
    assert re.fullmatch(r"films/[a-z0-9-]+", film)
    assert all(studio.root in path.parents for path in studio.root.rglob("*"))
    page = studio.page(f"/{film}")
    assert "<script>." not in page and "&lt;script&gt;" in page


def test_what_is_no_film_is_thrown_away(studio):
    begun = studio.post("/uploads", name="a.mp4", size=1000, changed=1)
    put(studio, begun["upload"], 0, b"\0" * 1000)
    error = studio.post(f"/uploads/{begun['upload']}/finish", 400)["error"]
    assert "choose another film" in error and str(studio.root) not in error
    assert not list((studio.library.folder / "uploads").iterdir())
    assert studio.library.items() == []
    # More than was said.
    begun = studio.post("/uploads", name="a.mp4", size=10, changed=1)
    assert put(studio, begun["upload"], 0, b"x" * 11).status_code == 400
    assert put(studio, "../../about", 0, b"x").status_code in (400, 404)
    assert put(studio, begun["upload"], 0, b"x" * (9 * 2**20)).status_code == 413


def test_a_picture_is_taken_for_a_photo(studio, film):
    clear = np.zeros((30, 20, 4), np.uint8)
    clear[10:20, 5:15] = (0, 0, 255, 255)
    picture = send(studio, cv2.imencode(".png", clear)[1].tobytes(), "Some one.PNG")
    item = studio.library.of_ref(picture)
    assert picture == "pictures/some-one" and item.facts["width"] == 20
    assert studio.http.get(f"{studio.place}/{picture}/still").content[:2] == b"\xff\xd8"
    assert "Some one" in studio.page("/film") and "Some one" in studio.page(f"/{picture}")
    run = made(studio, "runs", "Anybody")
    values = {"run": run.ref, "photo": picture, "driving": film}
    studio.post("/do/animate", values=values)
    words_ = studio.library.jobs()[-1].words
    assert words_[words_.index("--photo") + 1] == "pictures/some-one/picture.png"
    # A drawn character is the same verb with other options.
    studio.post("/do/animate-character", values={"source": film, "method": "rig"})
    assert studio.library.jobs()[-1].words[0] == "animate"
    begun = studio.post("/uploads", name="a.png", size=9, changed=1)
    put(studio, begun["upload"], 0, b"\x89PNG\r\n\x1a\n0")
    assert "no picture" in studio.post(f"/uploads/{begun['upload']}/finish", 400)["error"]


def test_a_drawn_dancer_brings_its_poses(studio):
    answer = studio.post("/dancer", who="ada", seconds=1, dance=3)
    item = studio.library.of_ref(answer["item"])
    assert (item.path / "poses").is_dir() and item.facts["seconds"] == pytest.approx(1, abs=0.1)
    studio.post("/do/prepare", values={"videos": [item.ref]})
    words_ = studio.library.jobs()[-1].words
    assert words_[words_.index("--poses") + 1] == f"{item.ref}/poses"
    for wrong in ({"who": "eve"}, {"seconds": 0}, {"seconds": 10**9}, {"dance": -1}):
        studio.post("/dancer", 400, **{"who": "ada", "seconds": 1, "dance": 0, **wrong})


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("My dance, 2nd try", "My dance, 2nd try.mp4"),
        ("Jürgen", "Jürgen.mp4"),
        ("日本の踊り", "日本の踊り.mp4"),
        ("../../etc/passwd", "etc-passwd.mp4"),
        ("-rf", "rf.mp4"),
        ("a:b%d*?", "a-b-d.mp4"),
        ("...", "film.mp4"),
        ("💃" * 80, "film.mp4"),
        ("é" * 80, "é" * 80 + ".mp4"),
        ("踊" * 80, "踊" * 60 + ".mp4"),
    ],
)
def test_a_films_file_is_called_like_the_film(name, file):
    assert file_name(name, ".mp4") == file
    assert len(file.encode()) < 255 and "/" not in file


def test_a_films_own_name_stands_in_what_is_made_of_it(studio, dancer):
    film = send(studio, dancer.read_bytes(), "Anna tanzt.mp4")
    person = made(studio, "datasets", "Ben")
    values = {"data": person.ref, "source": film, "method": "nearest"}
    studio.post("/do/transfer", values=values)
    [job] = studio.library.jobs()
    assert job.title == "Dance: Ben – Anna tanzt"
    assert job.words[job.words.index("--source") + 1] == f"{film}/Anna tanzt.mp4"
    # A job that is still to come finds the file where it was.
    studio.post("/rename", item=film, name="Eva")
    assert film_of(studio.library.of_ref(film)) == f"{film}/Anna tanzt.mp4"
    book.write(job, state="done")
    studio.post("/rename", item=film, name="Eva tanzt")
    assert film_of(studio.library.of_ref(film)) == f"{film}/Eva tanzt.mp4"
    assert studio.http.get(f"{studio.place}/{film}/film").status_code == 200
    drawn = studio.library.of_ref(studio.post("/dancer", who="ada", seconds=1, dance=3)["item"])
    assert film_of(drawn) == f"{drawn.ref}/Ada 3.mp4"


def test_a_film_of_an_older_version_is_called_like_itself_once_it_is_opened(studio, film):
    item = studio.library.of_ref(film)
    (item.path / "dance.mp4").rename(item.path / "film.mp4")
    studio.library.save(item, facts={**item.facts, "file": "film.mp4"})
    studio.page(f"/{film}")
    assert film_of(studio.library.of_ref(film)) == f"{film}/dance.mp4"


# --- what is there already, and what cannot be read -----------------------------------------------


def test_the_same_film_twice_is_asked_about(studio, dancer, film):
    data = dancer.read_bytes()
    begun = studio.post("/uploads", name="again.mp4", size=len(data), changed=1)
    put(studio, begun["upload"], 0, data)
    asked = studio.post(f"/uploads/{begun['upload']}/finish")
    assert asked["ask"] == (
        "“again.mp4” is in this project already, as “dance”: both have the same content."
    )
    assert len(studio.library.items("films")) == 1
    taken = studio.post(f"/uploads/{begun['upload']}/finish", twice=True)
    assert studio.library.of_ref(taken["item"]).name == "again"
    # Left out, nothing is left of it, and one is led to the one that is there.
    begun = studio.post("/uploads", name="third.mp4", size=len(data), changed=1)
    put(studio, begun["upload"], 0, data)
    answer = studio.post(f"/uploads/{begun['upload']}/finish", drop=True)
    assert answer["item"] in (film, taken["item"])
    assert len(studio.library.items("films")) == 2
    assert not list((studio.library.folder / "uploads").iterdir())
    # Of the same size, and another film.
    send(studio, data[:-1] + b"\1", "other.mp4")


def test_a_folder_with_a_film_that_is_there_already(studio, dancer, film, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    shutil.copy(dancer, folder / "same.mp4")
    (folder / "new.mp4").write_bytes(dancer.read_bytes() + b"\0")
    asked = studio.post("/bring", path=str(folder))
    assert "“same.mp4” is in this project already, as “dance”" in asked["ask"]
    assert len(studio.library.items("films")) == 1
    assert studio.post("/bring", path=str(folder), drop=True)["items"] == ["films/new"]
    assert studio.post("/bring", path=str(folder), twice=True)["items"] == ["films/same"]


@pytest.mark.parametrize("how", ["link", "copy"])
def test_of_a_folder_what_can_be_read_is_taken(studio, dancer, tmp_path, how):
    folder = tmp_path / "films"
    folder.mkdir()
    shutil.copy(dancer, folder / "good.mp4")
    (folder / "bad.mp4").write_bytes(b"This is text.\n" * 9)
    answer = studio.post("/bring", path=str(folder), how=how)
    assert answer["items"] == ["films/good"]
    assert answer["note"].startswith("Taken in: 1. Left out, since it cannot be read: “bad.mp4” (")
    assert str(tmp_path) not in answer["note"]
    assert [item.name for item in studio.library.items()] == ["good"]
    # Where nothing can be read, that is an error.
    error = studio.post("/bring", 400, path=str(folder / "bad.mp4"))["error"]
    assert error.startswith("bad.mp4")
    (folder / "worse.mp4").write_bytes(b"")
    error = studio.post("/bring", 400, path=str(folder))["error"]
    assert "No film in" in error and "bad.mp4" in error
    assert [item.name for item in studio.library.items()] == ["good"]

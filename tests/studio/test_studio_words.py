"""What the pages say: the page's words in the place of the command line's, in the page's
language."""

import ast
import re
from pathlib import Path

import pytest
from studio_opened import made

import motion_jax
from motion_jax.cli import VERBS
from motion_jax.cli.completion import options_of
from motion_jax.data.advice import Advice
from motion_jax.errors import option
from motion_jax.events import Said, emit, watched
from motion_jax.jobs import book
from motion_jax.jobs.record import recorded
from motion_jax.studio import pages, words
from motion_jax.studio.actions import Desk
from motion_jax.studio.labels import in_labels
from motion_jax.studio.words import Words

DESK = Desk(options_of, VERBS, paths=True)


@pytest.mark.parametrize(
    ("verb", "text", "shown"),
    [
        (
            "prepare",
            "Faces were not looked for (--detail body): prepare again with --detail holistic.",
            "Faces were not looked for (“What is looked for” “the body alone (twice as fast)”): "
            "prepare again with “What is looked for” “body, face and hands”.",
        ),
        (
            "prepare",
            "Prepare with --size 80x144, or crop tighter (--margin 0, in another folder).",
            "Prepare with “Size of the pictures” 80x144, or crop tighter (“Margin” 0, as another "
            "person, with a new name).",
        ),
        (
            "prepare",
            f"Give {option('merge')}, or another folder with {option('out')}.",
            "Give “Merge”, or choose another “Name”.",
        ),
        (
            "prepare",
            "Until then show real frames chosen by pose (transfer --method nearest): so few.",
            "Until then show real frames chosen by pose (“Dance at once, with real frames”): so "
            "few.",
        ),
        (
            "train",
            f"The folder holds another run; choose another {option('run')} folder.",
            "The folder holds another run; choose another “Name”.",
        ),
        (
            "transfer",
            "No dataset; make it with motion-jax prepare.",
            "No dataset; make it with “Prepare”.",
        ),
        (
            "evaluate",
            "It is best of `motion-jax evaluate --run runs/a --step all`, or train with more.",
            "It is best of “Measure”, or train with more.",
        ),
        (
            "train",
            "Show them: `motion-jax transfer --method nearest --data datasets/a --source VIDEO "
            "--out OUT.mp4`; or film more.",
            "Show them: “Dance at once, with real frames”; or film more.",
        ),
        (
            "train",
            "Stopped by Ctrl-C after step 5 of the main stage; saved. The same command goes on.",
            "Stopped by “Stop” after step 5 of the main stage; saved. “Go on” goes on.",
        ),
        (
            "train",
            "The disk is full; free some space and run the same command again.",
            "The disk is full; free some space and press “Go on”.",
        ),
        (
            "prepare",
            "No person in films/anna-2/Anna tanzt.mp4; choose another one.",
            "No person in Anna tanzt.mp4; choose another one.",
        ),
        # There is no page for it.
        ("train", "Weights: motion-jax fetch vgg19.", "Weights: motion-jax fetch vgg19."),
    ],
)  # fmt: skip
def test_pages_say_what_to_press_there(verb, text, shown):
    assert in_labels(text, Words("en"), DESK, verb) == shown


def test_the_advice_of_a_page_has_its_words(studio, monkeypatch):
    person = made(studio, "datasets", "Ben")
    quality = {"records": 9, "frames": 9}
    monkeypatch.setattr(pages, "read_quality", lambda path: quality)
    told = [Advice("Prepare again with --detail holistic, in another folder.")]
    monkeypatch.setattr(pages.advice, "advise", lambda found: told)
    page = studio.page(f"/{person.ref}")
    assert "“What is looked for” “body, face and hands”, as another person" in page
    assert "--detail" not in page and "another folder" not in page


@pytest.mark.parametrize(
    ("verb", "kind", "page", "doing"),
    [
        ("prepare", "datasets", "learn?person=ben", "Learn this person"),
        ("train", "runs", "dance?who=runs/ben", "Dance"),
        ("transfer", "results", "results/ben", "Look at it"),
        ("compare", "comparisons", "comparisons/ben", "Look at it"),
    ],
)
def test_what_is_done_leads_on_by_a_link(studio, verb, kind, page, doing):
    item = studio.library.new(kind, "Ben")
    job = book.add(studio.library.folder, [verb], about=[item.ref])
    with recorded(job.events, lambda event: None) as recorder, watched(recorder):
        emit(Said("It is made; --max-gap was 3."))
        emit(Said("Next: motion-jax train CONFIG --data datasets/ben"))
    link = f'<a class="button go" href="{studio.place}/{page}">{doing}</a>'
    assert link not in studio.page("/jobs")
    book.write(job, state="done", status=0)
    shown = studio.page("/jobs")
    assert link in shown and "Next: motion-jax" not in shown
    [row] = studio.http.get(studio.place + "/state").json()["jobs"]
    # Times to learn are said by Learn alone, for its own choices.
    told = "" if verb in ("prepare", "train") else "It is made; "
    assert row["line"] in shown and row["line"].startswith(told)
    if verb in ("prepare", "transfer"):
        assert row["line"] == ("It is made; “Max gap” was 3." if told else "")


def test_a_comparison_says_how_long_it_takes_before_it_begins(studio):
    page = studio.page("/more/compare")
    # Five methods learn ten minutes each, and all else besides.
    assert re.search(r"data-takes[^>]*>All together about [\d.]+ (minutes|hours) on this", page)
    assert "5 of 7 methods learn for 10 minutes each" in page and "compiling" in page
    assert page.index("data-takes") < page.index('<button class="go" disabled>Begin')
    asked = {"budget": "60s", "methods": "nearest,pose2pics"}
    said = studio.post("/do/compare", values=asked, takes=True)["takes"]
    assert "1 of 2 methods learn for 60 seconds each" in said
    said = studio.post("/do/compare", values={"methods": "nearest"}, takes=True)["takes"]
    assert "nothing is learnt" in said
    error = studio.post("/do/compare", values={"budget": "soon"}, takes=True)["why"]
    assert error.startswith("“Time to learn, each method” soon is no time to train")
    assert studio.library.jobs() == []


# --- languages ------------------------------------------------------------------------------------


def test_sentences_of_the_program_are_those_that_it_says():
    """Texts that are translated are found by what they are in English: so they must be the
    program's, word for word."""
    said = set()
    for path in Path(motion_jax.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [v.value if isinstance(v, ast.Constant) else "{}" for v in node.values]
                said.add("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                said.add(node.value)
    known = "\n".join(said)
    for key, text in words.texts("en").items():
        if key.startswith("say.") and key not in MADE_UP:
            assert re.sub(r"\{\w+\}", "{}", text) in known, key


# Put together of several: those of tyro's boxes, and figures with an ending of the plural.
MADE_UP = ("say.number", "say.whole", "say.cores", "say.core", "say.bars", "say.few_frames",
           "say.no_pose")  # fmt: skip


def test_errors_are_in_the_pages_language(studio):
    german = {"accept-language": "de", "accept": "*/*"}

    def error(path, **body):
        return studio.http.post(studio.place + path, json=body, headers=german).json()["error"]

    assert error("/do/transfer", values={}) == "„Wessen Tanz“ fehlt; wähle es zuerst."
    assert error("/rename", item="runs/absent") == (
        "Das gibt es in diesem Projekt nicht; vielleicht wurde es gelöscht."
    )
    assert error("/uploads", name="a.mp4", size=0) == "a.mp4 ist leer; wähle eine andere Datei."
    said = Words("de").said
    assert said("2 CPU cores") == "2 CPU-Kerne" and said("1 CPU core") == "1 CPU-Kern"
    assert said("NVIDIA H100") == "NVIDIA H100"
    assert said("310 frames are few: few poses can be learnt from them; film longer for a better "
                "result.").startswith("310 Bilder sind wenig")  # fmt: skip
    assert said(
        "No person found in a.mp4 (the detector saw nobody); choose a stretch that shows one "
        "with „Von“ and „Bis“, or give poses of your own with „Poses“."
    ).startswith(
        "In a.mp4 wurde niemand gefunden (es war niemand zu sehen); wähle mit „Von“ und „Bis“"
    )
    assert Words("de").duration(1.0) == "1 Sekunde" and Words("en").duration(1.0) == "1 second"
    assert Words("en").said("2 CPU cores") == "2 CPU cores"

"""The pages of a project's things; those on which something is done with people are in ways.py."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from motion_jax import puppet
from motion_jax.data import advice
from motion_jax.data.quality_json import read_quality
from motion_jax.errors import UserError
from motion_jax.plan import accelerator
from motion_jax.studio import bring, cards, checkpoints, media, state, uploads
from motion_jax.studio import library as libraries
from motion_jax.studio.actions import ACTIONS, OWN_PAGES
from motion_jax.studio.labels import in_labels
from motion_jax.studio.library import Item, Library
from motion_jax.studio.settings import configs, explained
from motion_jax.studio.short import too_little
from motion_jax.studio.takes import takes
from motion_jax.studio.web import Studio, studio_of, words_of

router = APIRouter()
FILM_OWN = ("videos", "start", "end", "person", "size", "detail")
SIZES = ("128x128", "256x256", "512x512")
# The one that fits a machine without and with a graphics card.
FITTING = ("128x128", "256x256")
# Of runs that a verb takes, those of a recipe.
RECIPES = {"animate": "first_order", "animate-character": "pose_stylegan"}


def _shown(studio: Studio, request: Request, name: str, library: Library, **values: Any) -> Any:
    return studio.page(request, name, library=library, **values)


@router.get("/enter")
def enter(request: Request) -> Response:
    studio = studio_of(request)
    if studio.accounts is None:
        return RedirectResponse("/", 303)
    return studio.page(request, "enter.html", library=None)


@router.get("/")
def home(request: Request) -> Response:
    studio = studio_of(request)
    found = libraries.projects(studio.root)
    if len(found) == 1 and "all" not in request.query_params:
        return RedirectResponse(f"/p/{found[0].id}/", 303)
    return studio.page(request, "projects.html", projects=found, library=None)


@router.get("/p/{project}/")
def project(request: Request, project: str) -> Response:
    studio = studio_of(request)
    library = studio.project(project)
    bring.take_strays(library)
    # A comparison takes hours, and whoever waited for it looks for it here.
    items = [*library.shown(), *library.failed("comparisons")]
    by_kind = {kind: [i for i in items if i.kind == kind] for kind in libraries.KINDS}
    preparing = cards.being_prepared(library)
    return _shown(
        studio,
        request,
        "project.html",
        library,
        by_kind=by_kind,
        step=_next_step(by_kind, bool(preparing)),
        preparing=preparing,
        covers=cards.covers(library, items),
        notes=cards.notes(request, library, items),
        origins=cards.origins(items),
    )


def _next_step(by_kind: dict[str, list[Item]], preparing: bool) -> str:
    """What a newcomer does next: "film", "prepare", "wait", "learn", "dance" or ""."""
    if not by_kind["films"]:
        return "film"
    people = [person for person in by_kind["datasets"] if person.is_there]
    if not people:
        return "wait" if preparing else "prepare"
    if not by_kind["runs"] and not all(too_little(person) for person in people):
        return "learn"
    return "" if any(not i.facts.get("preview") for i in by_kind["results"]) else "dance"


@router.get("/p/{project}/film")
def film_page(request: Request, project: str) -> Response:
    studio = studio_of(request)
    library = studio.project(project)
    return _shown(
        studio,
        request,
        "film.html",
        library,
        films=library.items("films"),
        pictures=library.items("pictures"),
        covers=cards.covers(library, library.items("films", "pictures")),
        dancers=sorted(puppet.CHARACTERS),
        most=studio.most,
    )


@router.get("/p/{project}/films/{id_}")
def film(request: Request, project: str, id_: str, again: str = "") -> Response:
    studio = studio_of(request)
    library = studio.project(project)
    # Films of older versions were all called film.mp4.
    item = uploads.name_as_called(library, library.item("films", id_))
    people = [i for i in library.items("datasets") if item.ref in i.made_from]
    casts = [i for i in library.items("casts") if item.ref in i.made_from]
    more = [f for f in studio.desk.fields("prepare") if f.name not in FILM_OWN]
    pictures = round(float(item.facts["seconds"]) * float(item.facts["fps"]))
    return _shown(
        studio,
        request,
        "one_film.html",
        library,
        item=item,
        people=people,
        jobs=cards.jobs_of(studio, library, people),
        sizes=[size for one in SIZES for size in dict.fromkeys((_shaped(one, item), one))],
        fitting=_shaped(FITTING[accelerator.is_likely()], item),
        pictures=pictures,
        length=advice.length(pictures),
        # Its limits, for the sliders.
        few=advice.FEW_FRAMES,
        some=advice.SOME_FRAMES,
        letters=next((cards.letters(cast) for cast in casts if cast.is_there), []),
        more=more,
        again=studio.again(request, library, again, "prepare"),
        together=library.descendants(item),
    )


def _shaped(size: str, film: Item) -> str:
    """A size for a film that is higher than wide: in its shape, for in a square most of it would be
    bars. Others are cut around the person."""
    width, height = film.facts.get("width") or 1, film.facts.get("height") or 1
    if height <= width:
        return size
    across, down = (int(side) for side in size.split("x"))
    tall, wide = advice.shaped(down, across, height, width)
    return f"{wide}x{tall}"


@router.get("/p/{project}/datasets/{id_}")
def person(request: Request, project: str, id_: str) -> Response:
    studio = studio_of(request)
    library = studio.project(project)
    item = library.item("datasets", id_)
    found: list[advice.Advice] = []
    quality = None
    if item.is_there:
        try:
            quality = read_quality(item.path)
            found = advice.advise(quality)
        except UserError:
            quality = None  # Imported: nobody measured it.
    words = words_of(request)
    found = [replace(one, text=in_labels(one.text, words, studio.desk, "prepare")) for one in found]
    return _shown(
        studio,
        request,
        "person.html",
        library,
        item=item,
        job=cards.job_of(studio, library, item),
        advice=found,
        quality=quality,
        short=item.is_there and too_little(item),
        report=(item.path / "report" / "index.html").is_file(),
        runs=[i for i in library.shown("runs") if item.ref in i.made_from],
        together=library.descendants(item),
    )


@router.get("/p/{project}/runs/{id_}")
def run(request: Request, project: str, id_: str) -> Response:
    studio = studio_of(request)
    library = studio.project(project)
    item = library.item("runs", id_)
    steps = state.samples(item)
    films = [s for s in steps if (item.path / "samples" / f"step-{s:07d}.mp4").is_file()]
    return _shown(
        studio,
        request,
        "run.html",
        library,
        item=item,
        job=cards.job_of(studio, library, item),
        learned=checkpoints.newest(item) > 0,
        steps=steps,
        films=films,
        report=(item.path / "report" / "index.html").is_file(),
        people=[library.of_ref(r) for r in item.made_from if r.startswith("datasets/")],
        together=library.descendants(item),
    )


@router.get("/p/{project}/results/{id_}")
def result(request: Request, project: str, id_: str) -> Response:
    studio = studio_of(request)
    library = studio.project(project)
    item = library.item("results", id_)
    others = [i for i in library.items("results") if i.is_there and i.ref != item.ref]
    return _shown(
        studio,
        request,
        "result.html",
        library,
        item=item,
        job=cards.job_of(studio, library, item),
        others=others,
        rearranged=cards.is_rearranged(item),
        made_from=[cards.named(library, ref) for ref in item.made_from],
        together=library.descendants(item),
    )


@router.get("/p/{project}/beside")
def beside(request: Request, project: str, a: str, b: str) -> Response:
    studio = studio_of(request)
    library = studio.project(project)
    pair = [library.item("results", a), library.item("results", b)]
    rearranged = {item.ref: cards.is_rearranged(item) for item in pair}
    return _shown(studio, request, "beside.html", library, pair=pair, rearranged=rearranged)


@router.get("/p/{project}/more")
def more(request: Request, project: str) -> Response:
    studio = studio_of(request)
    library = studio.project(project)
    verbs = [verb for verb in ACTIONS if verb not in OWN_PAGES]
    return _shown(
        studio,
        request,
        "more.html",
        library,
        verbs=verbs,
        about={verb: studio.desk.about(verb) for verb in verbs},
    )


@router.get("/p/{project}/more/{verb}")
def form(request: Request, project: str, verb: str, again: str = "") -> Response:
    studio = studio_of(request)
    library = studio.project(project)
    action = studio.desk.action(verb)
    kinds = {kind for kinds in action.takes.values() for kind in kinds}
    choices = {kind: [i for i in library.items(kind) if i.is_there] for kind in kinds}
    choices["runs"], unready = cards.learned(library)
    if action.people:
        choices["runs"] = cards.each_person(choices["runs"], whole=action.people == "all")
    if recipe := RECIPES.get(verb):
        choices["runs"] = [i for i in choices["runs"] if checkpoints.recipe_of(i) == recipe]
        unready = [i for i in unready if checkpoints.recipe_of(i) == recipe]
    made = library.shown(action.kind) if action.kind else []
    if action.kind in ("runs", "results"):
        # Several verbs make them.
        own = action.verb or verb
        made = [i for i in made if (job := library.job_of(i)) and job.verb == own]
    if action.kind == "comparisons":
        made += library.failed("comparisons")
    return _shown(
        studio,
        request,
        "form.html",
        library,
        verb=verb,
        about=studio.desk.about(verb),
        fields=studio.desk.fields(verb),
        action=action,
        choices=choices,
        unready=unready,
        made=made,
        notes=cards.notes(request, library, made),
        again=studio.again(request, library, again, verb),
        takes=takes(words_of(request), {}) if verb == "compare" else "",
    )


@router.get("/p/{project}/settings/{config}")
def settings(request: Request, project: str, config: str) -> Response:
    """What a config's settings mean, as the command line explains them."""
    studio_of(request).project(project)
    if config not in configs():
        raise UserError("There is no such config.")
    return Response(explained(config), media_type="text/plain; charset=utf-8")


@router.get("/p/{project}/{kind}/{id_}")
def other(request: Request, project: str, kind: str, id_: str) -> Response:
    """Comparisons, evaluations and exports: what a verb wrote."""
    studio = studio_of(request)
    library = studio.project(project)
    item = library.item(kind, id_)
    names = sorted(p.name for p in item.path.iterdir()) if item.path.is_dir() else []
    files = [n for n in names if (item.path / n).is_file() and media.is_named_safely(n)]
    return _shown(
        studio,
        request,
        "other.html",
        library,
        item=item,
        job=cards.job_of(studio, library, item),
        report=(item.path / "index.html").is_file(),
        sheet=(item.path / "people.png").is_file(),
        letters=cards.letters(item),
        names=names,
        files=files,
        made_from=[cards.named(library, ref) for ref in item.made_from],
        together=library.descendants(item),
    )


@router.get("/p/{project}/jobs")
def jobs(request: Request, project: str) -> Response:
    studio = studio_of(request)
    library = studio.project(project)
    # Nobody asked for the measuring of the machine; it is there while it lasts.
    asked = [job for job in library.jobs() if not (job.verb == "suggest" and job.state == "done")]
    rows = [studio.watch.row(job) for job in reversed(asked)]
    return _shown(studio, request, "jobs.html", library, rows=rows)

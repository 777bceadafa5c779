"""What the pages can have done: verbs of the command line, with things of the project in place of
paths.

`plan` makes of a verb and a form a job: it looks up the things that are named, makes a place for
the result, and has the words checked by the verb's own options. Nothing here names a verb's options
but those that are things (`TAKES`, `MAKES`).
"""

import json
import math
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Formatter
from typing import Any, Literal

from motion_jax.compare.duration import parse_budget
from motion_jax.errors import UserError, option
from motion_jax.files import parted
from motion_jax.jobs import book
from motion_jax.jobs.book import Job, Lane
from motion_jax.plan.methods import choose
from motion_jax.studio import forms
from motion_jax.studio.checkpoints import check_weights, newest, people_of
from motion_jax.studio.library import Item, Library, called, slug
from motion_jax.studio.settings import configs
from motion_jax.video.reader import check_choice

OptionsOf = Callable[[str], type]


@dataclass(frozen=True)
class Action:
    """A verb on the pages.

    Attributes:
      takes: by option, the kinds of things that it can be.
      option, kind, suffix: which option is the result, of which kind, and its files' ending.
      named: what the result is called, where nobody names it; {} are names of what was taken.
      lane: see jobs.book. again: see there.
      verb: of the command, where the page has another name. needs: options that the page cannot do
        without, though the command can. first: options that are shown at once.
      otherwise: by option, what stands for it in the name where it is not given.
      instead: by option, what is asked for where it is not given: another option and its value.
      files: options that can name files, or open this machine to others, though they are no paths
        by their type. casts: options that name several runs.
      people: how a run that knows several people is taken: "" as a whole, "one" as one of them,
        "all" as either.
    """

    takes: Mapping[str, tuple[str, ...]]
    option: str = ""
    kind: str = ""
    suffix: str = ""
    named: str = ""
    lane: Lane = "main"
    again: bool = True
    verb: str = ""
    needs: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    otherwise: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    casts: tuple[str, ...] = ()
    people: Literal["", "one", "all"] = ""


_FILM, _PERSON, _RUN, _PICTURE = ("films",), ("datasets",), ("runs",), ("pictures",)
ACTIONS: Mapping[str, Action] = {
    "prepare": Action({"videos": _FILM}, "out", "datasets", named="{videos}"),
    "train": Action({"data": _PERSON}, "run", "runs", named="{data}"),
    "suggest": Action({"data": _PERSON}, lane="side"),
    "transfer": Action(
        {"source": _FILM, "run": _RUN, "data": _PERSON},
        "out",
        "results",
        ".mp4",
        "{run}{data} – {source}",
        casts=("cast",),
        people="one",
    ),
    "people": Action({"video": _FILM}, "out", "casts", named="{video}"),
    "evaluate": Action({"run": _RUN, "data": _PERSON, "source": _FILM}, "out", "evaluations",
                       named="{run}", people="all"),
    "compare": Action({"target": _PERSON, "source": _FILM, "truth": _FILM}, "out", "comparisons",
                      named="{target} – {source}", first=("budget",)),
    "animate": Action(
        {"run": _RUN, "photo": _PICTURE, "driving": _FILM},
        "out",
        "results",
        ".mp4",
        "{photo} – {driving}",
    ),
    "animate-character": Action(
        {"source": _FILM, "run": _RUN},
        "out",
        "results",
        ".mp4",
        "{character} – {source}",
        verb="animate",
        first=("character",),
        otherwise={"character": "0"},
        # Where nobody draws the character, the drawing itself moves.
        instead={"run": ("method", "rig")},
        files=("character",),
    ),
    "adapt": Action({"base": _RUN, "data": _PERSON}, "run", "runs", named="{data}", people="all"),
    "distill": Action({"teacher": _RUN, "data": _PERSON}, "run", "runs", named="{teacher} (small)",
                      people="one"),
    "import": Action({"data": _PERSON, "source": _RUN}, "run", "runs"),
    "export": Action({"run": _RUN}, "out", "exports", named="{run}", needs=("run",),
                     first=("format",), people="one"),
    "serve": Action({"run": _RUN}, again=False, people="one",
                    files=("host", "token", "allow_host", "allow_origin")),
}  # fmt: skip
# Of those on the pages made by hand; the others have the page of their form alone.
OWN_PAGES = ("prepare", "train", "suggest", "transfer", "serve")
# Files of poses that a film brought along (drawn dancers); the option that takes them.
POSES = "poses"
# Seconds that a cut may reach beyond a film's end: browsers' recordings are not that exact.
BEYOND = 0.5


@dataclass(frozen=True)
class _Plan:
    """A request that can be done: its options with paths in place of things, those things, what the
    result is called, further words."""

    values: Mapping[str, Any]
    taken: Sequence[Item]
    line: str
    more: Sequence[str]


# What a form shows at first where that is not the option's own: a person before a plate, whom the
# pages teach, has no place in the original programs' files.
_FIRST_CHOICE = {("export", "format"): "onnx"}


class Desk:
    """Takes requests for one studio.

    Args:
      options_of: the dataclass of a verb's options.
      verbs: what each verb does, for titles.
      paths: whether options may name files anywhere on this machine: on one's own machine yes, on a
        server for others no.
    """

    def __init__(self, options_of: OptionsOf, verbs: Mapping[str, str], paths: bool):
        self._options_of, self.verbs, self.paths = options_of, verbs, paths

    def fields(self, verb: str) -> tuple[forms.Field, ...]:
        """Of the verb's form: without the result's place, and without paths where there are none.
        Raises UserError for a verb that the pages do not have."""
        action = self.action(verb)
        shown = []
        for each in forms.fields(self._options_of(verb)):
            if each.name in (action.option, "json"):
                continue
            names_files = each.is_path or each.name in action.files
            if names_files and each.name not in action.takes and not self.paths:
                if not each.choices:
                    continue
                # What it may be besides a path.
                each = replace(each, kind="choice", is_path=False)
            if (verb, each.name) in _FIRST_CHOICE:
                each = replace(each, default=_FIRST_CHOICE[verb, each.name])
            shown.append(replace(each, required=each.required or each.name in action.needs))
        return tuple(shown)

    def about(self, verb: str) -> str:
        """What it does, in a line."""
        return self.verbs[self.action(verb).verb or verb]

    def action(self, verb: str) -> Action:
        if verb not in ACTIONS:
            raise UserError(f"There is no page for {verb}; use the command line.")
        return ACTIONS[verb]

    def ask(
        self,
        library: Library,
        verb: str,
        values: Mapping[str, Any],
        name: object = "",
        first: Sequence[str] = (),
        settings: str = "",
        what: str = "",
        preview: str = "",
    ) -> tuple[Job, Item | None]:
        """Puts a job into the queue; returns it and the place of its result.

        Args:
          values: of the form, see forms.words; things as KIND/ID.
          name: of the result. first: words before all others (a config).
          settings: further words of a config, as one would type them.
          what: is done, for the job's title (default: the verb).
          preview: the result is one, and this stands before its name; "": it is none.
        Raises UserError for everything that a person can mend; then nothing is made.
        """
        action = self.action(verb)
        plan = self._planned(library, verb, values, name, first, settings)
        if action.option and str(name).strip() and not preview:
            library.check_name(action.kind, plan.line)
        made_from = [item.ref for item in plan.taken]
        line, values = plan.line, plan.values
        if preview:
            line = called(f"{preview}: {line}")
        made = None
        if action.option:
            kept: dict[str, Any] = {"preview": True} if preview else {}
            kept |= {"suffix": action.suffix} if action.suffix else {}
            made = library.new(action.kind, line, made_from, kept)
            line, values = made.name, {**values, action.option: made.relative}
        kind = self._options_of(verb)
        words = [action.verb or verb, *first, *forms.words(kind, values), *plan.more]
        about = [*([made.ref] if made else []), *made_from]
        what = what or words[0]
        title = f"{what}: {line}" if line else what
        job = book.add(
            library.folder, words, title=title, about=about, lane=_lane(action, values),
            again=action.again,
        )  # fmt: skip
        return job, made

    def spelled(
        self,
        library: Library,
        verb: str,
        values: Mapping[str, Any],
        name: object = "",
        first: Sequence[str] = (),
        settings: str = "",
    ) -> str:
        """What one would type for it in the project's folder; nothing is made. Args and raises: as
        for ask."""
        action = self.action(verb)
        plan = self._planned(library, verb, values, name, first, settings)
        values = plan.values
        if action.option:
            name = slug(library.free_name(action.kind, plan.line))
            values = {**values, action.option: f"{action.kind}/{name}{action.suffix}"}
        words = forms.words(self._options_of(verb), values)
        return shlex.join(["motion-jax", action.verb or verb, *first, *words, *plan.more])

    def _planned(
        self,
        library: Library,
        verb: str,
        values: Mapping[str, Any],
        name: object,
        first: Sequence[str],
        settings: str,
    ) -> "_Plan":
        """What is asked for, checked by the verb's own options."""
        action = self.action(verb)
        values, taken = self._looked_up(library, verb, action, values)
        for name_, (other, value) in action.instead.items():
            if name_ not in values:
                values.setdefault(other, value)
        for needed in action.needs:
            if needed not in values:
                raise UserError(f"{option(needed)} is missing; choose it first.")
        more = _settings(settings)
        line = called(name) if str(name).strip() else self._name(action, taken, values)
        trial = dict(values)
        if action.option:
            # Checked with a place that is not made yet.
            trial[action.option] = f"{action.kind}/new{action.suffix}"
        kind = self._options_of(verb)
        options = forms.checked(kind, verb, forms.words(kind, trial))
        _check_times(options, taken)
        if verb == "import":
            check_weights(library.folder / options.source)
        if verb == "compare":
            # Otherwise it would be found out when the jobs before it have ended.
            parse_budget(options.budget)
            choose(options.methods)
        if verb == "train":
            _check_config(first)
        if verb == "export":
            folder, _ = parted(library.folder / options.run)
            _check_format(folder, options.format)
        return _Plan(values, taken, line, more)

    def _looked_up(
        self, library: Library, verb: str, action: Action, values: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[Item]]:
        """The values with the things' paths in place of their names, and the things."""
        known = {each.name: each for each in self.fields(verb)}
        found: dict[str, Any] = {}
        taken: list[Item] = []
        for name, value in values.items():
            if name not in known:
                raise UserError(f"There is no option {name} on this page.")
            if value in ("", None, []):
                continue
            if name in action.casts and not self.paths:
                _check_cast(library, str(value))
            if name in action.takes:
                items = self._items(library, action.takes[name], value)
                if items is not None:
                    taken += items
                    paths = [film_of(item) for item in items]
                    found[name] = paths if known[name].kind == "list" else paths[0]
                    continue
                _check_there(library, name, value)
            if (choices := known[name].choices) and not self.paths and value not in choices:
                raise UserError(f"{option(name)} is one of {', '.join(choices)}.")
            # As a shell does it, which is not between here and the command.
            home = known[name].is_path and isinstance(value, str)
            value = os.path.expanduser(value) if home else value
            found[name] = _in_seconds(value) if known[name].kind == "number" else value
        films = [item for item in taken if item.kind == "films"]
        if POSES in known and POSES not in found and len(films) == 1 and _has_poses(films[0]):
            # Drawn dancers know their joints, and no estimator does.
            found[POSES] = str(Path(films[0].relative) / "poses")
        return found, taken

    def _items(self, library: Library, kinds: Sequence[str], value: Any) -> list[Item] | None:
        """The things of KIND/ID; None where the value is a path, which is allowed here."""
        given = value if isinstance(value, list) else [value]
        if not all(isinstance(ref, str) for ref in given):
            raise UserError("Choose from the list.")
        if all(ref.partition("/")[0] in kinds for ref in given):
            items = [_chosen(library, ref) for ref in given]
            for item in items:
                if not item.is_there:
                    raise UserError(f"“{item.name}” is not made yet.")
                if item.kind == "runs" and not newest(item):
                    raise UserError(f"“{item.name}” has learnt nothing yet.")
            return items
        if not self.paths:
            raise UserError("Choose from the list.")
        return None

    def _name(self, action: Action, taken: Sequence[Item], values: Mapping[str, Any]) -> str:
        if not action.named:
            if not action.option:
                return ", ".join(item.name for item in taken)
            source = values.get("source", "")
            return called(Path(str(source)).name or action.kind)
        found: dict[str, str] = {}
        for name in (each[1] for each in Formatter().parse(action.named) if each[1]):
            items = [item.name for item in taken if item.kind in action.takes.get(name, ())]
            given = values.get(name, action.otherwise.get(name, ""))
            path = Path(str(given[0] if isinstance(given, list) else given)).stem
            found[name] = items[0] if items and name in values else path
        return called(action.named.format(**found))


def film_of(item: Item) -> str:
    """The path that a command takes for a thing, from the project's folder."""
    if item.kind in ("films", "pictures"):
        return str(Path(item.relative) / str(item.facts["file"]))
    return f"{item.relative}:{item.who}" if item.who else item.relative


def _chosen(library: Library, choice: str) -> Item:
    """The thing of KIND/ID, or one of a run's people of runs/ID:WHO."""
    ref, _, who = choice.partition(":")
    item = library.of_ref(ref)
    if not who:
        return item
    people = people_of(item) if item.kind == "runs" else []
    if who not in people:
        known = ", ".join(people) or "nobody by name"
        raise UserError(f"“{item.name}” knows {known}, and not {who}; choose from the list.")
    return item.person(who)


def _check_there(library: Library, name: str, value: Any) -> None:
    """Raises UserError for a path in the place of a thing at which nothing lies."""
    for each in value if isinstance(value, list) else [value]:
        path = os.path.expanduser(str(each))
        if not (library.folder / path).exists():
            raise UserError(f"{option(name)} {path} is not there; check the path.")


def _in_seconds(value: Any) -> Any:
    """A time as players show it, "1:02.5", in seconds; anything else as it is."""
    if not isinstance(value, str) or not re.fullmatch(
        r"(\d+:)?\d{1,3}:\d{1,2}(\.\d*)?", value.strip()
    ):
        return value
    seconds = 0.0
    for part in value.strip().split(":"):
        seconds = 60.0 * seconds + float(part)
    return f"{seconds:g}"


def _check_config(words: Sequence[str]) -> None:
    """Raises UserError for a config that is none of those that come along, and no file."""
    name = words[0] if words else ""
    if name not in configs() and not Path(os.path.expanduser(name)).is_file():
        raise UserError(
            f"There is no config {name or 'without a name'}; choose one of {', '.join(configs())}."
        )


def _check_format(run: Path, chosen: str) -> None:
    """Raises UserError for a run that the files of the original programs cannot hold: now, and not
    when the job's turn comes."""
    try:
        recipe = json.loads((run / "config.json").read_text())["recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # The command says what is wrong with it.
    if chosen in ("torch", "safetensors") and recipe.get("background") == "plate":
        raise UserError(
            "This run draws the person and a matte, for which the files of the original programs "
            f"have no place; choose {option('format')} onnx, stablehlo or orbax."
        )


def _check_times(options: Any, taken: Sequence[Item]) -> None:
    """Raises UserError for a stretch that a film does not have, and for no time to learn in: now,
    and not when the job's turn comes."""
    minutes = getattr(options, "minutes", None)
    if minutes is not None and not 0 < minutes < math.inf:
        raise UserError(
            f"{option('minutes')} {minutes:g} is no time to learn in; give more than 0."
        )
    if not hasattr(options, "start"):
        return
    films = [item for item in taken if item.kind == "films"]
    for film in films:
        seconds = float(film.facts.get("seconds") or 0.0)
        for name, beyond in (("start", 0.0), ("end", BEYOND)):
            at = getattr(options, name)
            if seconds and at is not None and at >= seconds + beyond:
                raise UserError(
                    f"{option(name)} {at:g} lies after the end of {film.name}, which has "
                    f"{seconds:.1f} seconds."
                )
    for place in [film.name for film in films] or ["the film"]:
        check_choice(Path(place), options.start, options.end, options.fps)


def _check_cast(library: Library, text: str) -> None:
    """A=runs/anna,B=keep: on a server for others, with runs of this project alone."""
    for piece in text.split(","):
        who = piece.partition("=")[2].strip()
        if who in ("keep", "remove"):
            continue
        run, _, person = who.partition(":")
        if not run.startswith("runs/") or "/" in person:
            raise UserError("A cast names runs of this project, as in A=runs/anna,B=keep.")
        library.of_ref(run)


def _has_poses(item: Item) -> bool:
    return item.kind == "films" and (item.path / "poses").is_dir()


def _lane(action: Action, values: Mapping[str, Any]) -> Lane:
    """Real frames chosen by pose need no accelerator: they come at once, while something learns."""
    return "side" if values.get("method") else action.lane


def _settings(text: str) -> list[str]:
    """Settings of a config as one types them: "--recipe.local-stage.steps 100"."""
    try:
        found = shlex.split(text)
    except ValueError as error:
        raise UserError(f"The settings cannot be read: {error}.") from error
    for word in found:
        if word.startswith("-") and not word.startswith(("--recipe.", "--record.", "--guard.",
                                                         "--data.augment.", "--data.holdout",
                                                         "--seed")):  # fmt: skip
            raise UserError(
                f"{word} is no setting of a config; those begin with --recipe., --record. or "
                "--guard."
            )
    return found


def command(job: Job) -> str:
    """What one would type in the project's folder."""
    return shlex.join(["motion-jax", *job.words])

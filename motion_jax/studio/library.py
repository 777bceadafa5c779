"""What a project holds, and what belongs to what.

A project is a folder under the studio's own; in it films/, datasets/ (people who can be learnt),
runs/, results/ and others hold one thing each under a name that the studio chose. about/ holds a
small file for each thing: what people call it, and from which others it was made, so that
everything made from a film can be found and deleted together.
"""

import json
import re
import shutil
import time
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from motion_jax import files
from motion_jax.errors import UserError
from motion_jax.jobs import book
from motion_jax.jobs.book import PROJECT, Job

KINDS = (
    "films", "pictures", "casts", "datasets", "runs", "results", "comparisons", "exports",
    "evaluations",
)  # fmt: skip
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
# Of things: the terminal's folders may have large letters, too.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
LONGEST = 80
# Verbs whose jobs are about a thing that was there before them.
MAKE_NOTHING = ("suggest", "serve")


def slug(text: str) -> str:
    """A name for files of what people call a thing: "Jürgen, 2nd try" -> "jurgen-2nd-try"."""
    plain = (
        unicodedata.normalize("NFKD", text.replace("ß", "ss"))
        .encode("ascii", "ignore")
        .decode()
        .lower()
    )
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-")
    return words or "unnamed"


def called(text: object) -> str:
    """A name for people: one line, not too long. Raises UserError where nothing is left of it."""
    line = " ".join(str(text).split())
    line = "".join(sign for sign in line if unicodedata.category(sign)[0] != "C")[:LONGEST].strip()
    if not line:
        raise UserError("Give it a name.")
    return line


@dataclass(frozen=True)
class Item:
    """A thing of a project.

    Attributes:
      kind: one of KINDS; id: its name there; name: what people call it.
      made_from: the things that it was made from, as KIND/ID.
      facts: more that is known of it (a film's length, a result's options).
      made: seconds since 1970.
      who: of a run that knows several people, the one who is meant; "": the whole run.
    """

    project: Path
    kind: str
    id: str
    name: str
    made_from: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    made: float = 0.0
    who: str = ""

    @property
    def ref(self) -> str:
        return f"{self.kind}/{self.id}"

    @property
    def choice(self) -> str:
        """`ref`, and who of a run is meant: what a list's entry sends."""
        return f"{self.ref}:{self.who}" if self.who else self.ref

    def person(self, who: str) -> "Item":
        """One of the people whom a run knows."""
        return replace(self, who=who, name=f"{self.name}: {who}")

    @property
    def path(self) -> Path:
        """Its folder; of a result its file."""
        place = self.project / self.kind / self.id
        suffix = self.facts.get("suffix", "")
        return place.with_name(self.id + suffix) if suffix else place

    @property
    def relative(self) -> str:
        """Its path in the project, for a command."""
        return str(self.path.relative_to(self.project))

    @property
    def is_there(self) -> bool:
        """Whether its job has made it: whole, or at least begun, as a run is."""
        if self.kind == "datasets":
            return (self.path / "metadata.json").is_file()
        return self.path.exists()

    @property
    def linked(self) -> str:
        """Where it lies, if not in the project's folder; "" for most."""
        if self.path.is_symlink():
            return str(self.path.resolve())
        return str(self.facts.get("linked", ""))

    def size(self) -> int:
        """Bytes on the disk; of a link those of what it leads to."""
        if self.path.is_file():
            return self.path.stat().st_size
        return sum(p.stat().st_size for p in self.path.rglob("*") if p.is_file())


class Library:
    """A project's folder. Raises UserError where it is none.

    once: whether it answers one request alone, in which the list of jobs is read once.
    """

    def __init__(self, folder: Path, once: bool = False):
        self.folder, self._once = folder, once
        self._makers: dict[str, Job] | None = None
        try:
            self.facts: dict[str, Any] = json.loads((folder / PROJECT).read_text())
        except (OSError, ValueError) as error:
            raise UserError("There is no such project; go back to the list.") from error

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def name(self) -> str:
        return str(self.facts.get("name", self.id))

    # --- things -----------------------------------------------------------------------------------

    def items(self, *kinds: str) -> list[Item]:
        """Of these kinds (default: all), the newest first."""
        found = []
        for path in (self.folder / "about").glob("*.json"):
            item = self._read(path)
            if item is not None and (not kinds or item.kind in kinds):
                found.append(item)
        return sorted(found, key=lambda item: (-item.made, item.ref))

    def item(self, kind: str, id_: str) -> Item:
        """Raises UserError where there is none."""
        if kind in KINDS and ID.fullmatch(id_):
            item = self._read(self._about(kind, id_))
            if item is not None:
                return item
        raise UserError("There is no such thing in this project; perhaps it was deleted.")

    def of_ref(self, ref: str) -> Item:
        kind, _, id_ = ref.partition("/")
        return self.item(kind, id_)

    def shown(self, *kinds: str) -> list[Item]:
        """`items` without those whose job failed before there was anything of them: these stand in
        the list of jobs alone."""
        makers = self.makers()
        failed = {ref for ref, job in makers.items() if job.state == "failed"}
        return [item for item in self.items(*kinds) if item.ref not in failed or item.is_there]

    def failed(self, *kinds: str) -> list[Item]:
        """Those that `shown` leaves out."""
        shown = {item.ref for item in self.shown(*kinds)}
        return [item for item in self.items(*kinds) if item.ref not in shown]

    def free_name(self, kind: str, name: object, but: str = "") -> str:
        """A name for people, with a number behind it where another thing of the kind has it
        already. but: KIND/ID of a thing that may have it."""
        line = called(name)
        taken = {item.name.casefold() for item in self.shown(kind) if item.ref != but}
        free, number = line, 1
        while free.casefold() in taken:
            number += 1
            free = f"{line[: LONGEST - 5]} {number}"
        return free

    def check_name(self, kind: str, name: object, but: str = "") -> None:
        """Raises UserError where another thing of the kind has the name, with one that is free."""
        line, free = called(name), self.free_name(kind, name, but)
        if line != free:
            raise UserError(
                f"“{line}” is the name of another one already; take another name, for example "
                f"“{free}”."
            )

    def new(
        self,
        kind: str,
        name: object,
        made_from: Sequence[str] = (),
        facts: dict[str, Any] | None = None,
    ) -> Item:
        """Makes a place for a thing, under a name that is free: see free_name."""
        line = self.free_name(kind, name)
        stem, number = slug(line), 1
        (self.folder / "about").mkdir(parents=True, exist_ok=True)
        (self.folder / kind).mkdir(parents=True, exist_ok=True)
        while True:
            id_ = stem if number == 1 else f"{stem}-{number}"
            taken = any(p.stem == id_ for p in (self.folder / kind).iterdir())
            try:
                if not taken:
                    # Who makes the file has the name.
                    self._about(kind, id_).open("x").close()
                    break
            except FileExistsError:
                pass
            number += 1
        item = Item(
            self.folder, kind, id_, line, tuple(made_from), dict(facts or {}), made=time.time()
        )
        return self.save(item)

    def save(self, item: Item, **changes: Any) -> Item:
        """The item, changed and written down."""
        item = replace(item, **changes)
        value = {
            "kind": item.kind,
            "id": item.id,
            "name": item.name,
            "made_from": list(item.made_from),
            "facts": item.facts,
            "made": item.made,
        }
        files.write_json(self._about(item.kind, item.id), value)
        return item

    def is_known(self, kind: str, id_: str) -> bool:
        """Whether something is written about a thing."""
        return self._about(kind, id_).exists()

    def note(self, kind: str, id_: str, name: str, facts: dict[str, Any]) -> Item:
        """Writes about a thing that lies in its place already."""
        (self.folder / "about").mkdir(parents=True, exist_ok=True)
        return self.save(Item(self.folder, kind, id_, name, (), facts, made=time.time()))

    def descendants(self, item: Item) -> list[Item]:
        """What was made from it, and from that, and so on; in no order."""
        everything, found = self.items(), {item.ref: item}
        grown = True
        while grown:
            new = [
                other
                for other in everything
                if other.ref not in found and any(ref in found for ref in other.made_from)
            ]
            found |= {other.ref: other for other in new}
            grown = bool(new)
        return [other for ref, other in found.items() if ref != item.ref]

    def delete(self, item: Item, together: bool) -> list[str]:
        """Deletes a thing and, together, everything made from it; returns what is gone.

        Raises UserError while a job that waits or runs works on one of them.
        """
        gone = [item, *(self.descendants(item) if together else [])]
        refs = {each.ref for each in gone}
        for job in self.jobs():
            if not job.is_over and refs & set(job.about):
                raise UserError(f"The job “{job.title}” is using it; stop that first.")
        for each in gone:
            path = each.path
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path)
            self._about(each.kind, each.id).unlink(missing_ok=True)
        # What jobs printed may tell of the film, too.
        for job in self.jobs():
            if refs & set(job.about):
                files.remove_tree(job.folder)
        return sorted(refs)

    def forget(self, job: Job) -> None:
        """Takes a job that is over off the list, and with it the place of what it was to make,
        where that never came to be."""
        for ref, maker in self.makers().items():
            kind, _, id_ = ref.partition("/")
            if maker.number == job.number and self.is_known(kind, id_):
                item = self.item(kind, id_)
                if not item.is_there:
                    self.delete(item, together=False)
        if job.folder.is_dir():
            files.remove_tree(job.folder)

    def jobs(self) -> list[Job]:
        return book.of_project(self.folder)

    def job_of(self, item: Item) -> Job | None:
        """The newest job that makes it."""
        return self.makers().get(item.ref)

    def makers(self) -> dict[str, Job]:
        """By KIND/ID, the newest job that makes it; not one that only uses it."""
        if self._makers is None or not self._once:
            made = [job for job in self.jobs() if job.verb not in MAKE_NOTHING]
            self._makers = {job.about[0]: job for job in made if job.about}
        return self._makers

    def _about(self, kind: str, id_: str) -> Path:
        return self.folder / "about" / f"{kind}-{id_}.json"

    def _read(self, path: Path) -> Item | None:
        try:
            value = json.loads(path.read_text())
            value["made_from"] = tuple(value["made_from"])
            return Item(self.folder, **value)
        except (OSError, ValueError, TypeError, KeyError):
            return None


def projects(root: Path) -> list[Library]:
    """Those directly in a folder, by name."""
    found = [Library(path.parent) for path in root.glob(f"*/{PROJECT}")]
    return sorted(found, key=lambda library: library.name.lower())


def new_project(root: Path, name: object) -> Library:
    """Makes one. Raises UserError where the folder cannot be written, and where another one has the
    name."""
    line = called(name)
    if line.casefold() in {one.name.casefold() for one in projects(root)}:
        raise UserError(f"There is a project “{line}” already; take another name.")
    for id_ in _free(slug(line)):
        with files.writing(root):
            try:
                (root / id_).mkdir(parents=True)
            except FileExistsError:
                continue
        files.write_json(root / id_ / PROJECT, {"name": line, "made": time.time()})
        return Library(root / id_)
    raise AssertionError("numbers do not end")


def rename_project(library: Library, name: object) -> None:
    """Raises UserError for no name, and where another project has it. Its folder stays."""
    line = called(name)
    others = [one for one in projects(library.folder.parent) if one.id != library.id]
    if line.casefold() in {one.name.casefold() for one in others}:
        raise UserError(f"There is a project “{line}” already; take another name.")
    files.write_json(library.folder / PROJECT, {**library.facts, "name": line})


def delete_project(library: Library, name: object) -> None:
    """With everything in it; what is linked stays where it lies. name: the project's own, so that
    nobody does it by mistake. Raises UserError for another one, and while a job goes on."""
    if str(name).strip() != library.name:
        raise UserError(f"Type “{library.name}”, the name of the project, to delete it.")
    for job in library.jobs():
        if not job.is_over:
            raise UserError(f"The job “{job.title}” is using it; stop that first.")
    shutil.rmtree(library.folder)


def open_project(root: Path, id_: str) -> Library:
    """A project, to answer one request. Raises UserError where there is none of that name."""
    if not NAME.fullmatch(id_):
        raise UserError("There is no such project; go back to the list.")
    return Library(root / id_, once=True)


def _free(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1

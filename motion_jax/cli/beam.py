"""`prepare` as an Apache Beam pipeline, for a cluster: Dataflow, Flink, or this machine.

    python -m motion_jax.cli.beam VIDEO [VIDEO ...] --out DATASET [options] -- [Beam's options]

It runs the functions that `motion-jax prepare` runs, one element a video for the poses and one a
shard of a clip for the frames, and the dataset is the same byte for byte. Videos and DATASET may be
paths that every worker sees, or addresses that Beam's file systems know (gs://bucket/...). Beam
wants older libraries than the rest: install the extra `beam` into an environment of its own
(docs/data.md). Without Beam's options the direct runner does it with one worker.
"""

import dataclasses
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from motion_jax import files
from motion_jax.data import assemble, making, records, shards
from motion_jax.data.prepare_options import PrepareOptions
from motion_jax.errors import UserError, option, worded
from motion_jax.events import lines, watched
from motion_jax.parsing import one_sentence
from motion_jax.plan.words import advise
from motion_jax.progress import say

if TYPE_CHECKING:
    import apache_beam

PROGRAM = "python -m motion_jax.cli.beam"
# A runner may give several threads of a process work at once; each would start all processes.
_ONE_AT_A_TIME = threading.Lock()
# Remote videos that lie on this worker: {address: path}, at most _MOST_FETCHED.
_FETCHED: dict[str, Path] = {}
_MOST_FETCHED = 2


@dataclass(frozen=True, kw_only=True)
class BeamOptions(PrepareOptions):
    """Turn videos of one person into a dataset to train on, with Apache Beam. Beam's own options
    follow after --."""

    videos: Annotated[  # type: ignore[assignment]  # Addresses, in the place of paths.
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="VIDEO [VIDEO ...]", help_behavior_hint="(required)"),
    ]
    """Videos of the person: paths that every worker sees, or addresses such as gs://bucket/a.mp4."""
    out: str  # type: ignore[assignment]  # An address too.
    """Folder of the dataset, new: a path that every worker sees, or an address."""
    workers: Annotated[
        int, tyro.conf.arg(help="Processes that estimate poses, on each worker.")
    ] = 1
    shard: tyro.conf.Suppress[None] = None
    merge: tyro.conf.Suppress[bool] = False
    # Workers elsewhere read each video by its default track.
    video_track: tyro.conf.Suppress[None] = dataclasses.field(default=None, kw_only=True)


@dataclass(frozen=True)
class _Video:
    """A video on its way: its number among them all, where it is, and the options for it alone."""

    number: int
    address: str
    options: PrepareOptions


@dataclass(frozen=True)
class _Measured:
    """What is known of a video with its poses: figures without sharpness, and its part of the
    options in the metadata."""

    number: int
    figures: assemble.VideoFigures
    resolved: dict


@dataclass(frozen=True)
class _Write:
    """The writing of one shard; clips are numbered from 0 in the video."""

    number: int
    address: str
    job: shards.WriteJob


@dataclass(frozen=True)
class _Written:
    """A shard in DATASET/.partial: sharpness of its frames from frame `first` of the video on."""

    number: int
    first: int
    blur: list[float]
    name: str
    size: int


def run(options: BeamOptions, beam_options: Sequence[str]) -> None:
    """Runs the pipeline and waits for it.

    Args:
      beam_options: as on a command line, for instance ["--runner=DataflowRunner", ...].
    Raises UserError for what a user can mend, also where a worker found it.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise UserError(
            "Apache Beam is not installed here; install motion-jax with the extra beam into an "
            "environment of its own (see docs/data.md)."
        ) from error
    videos = _tasks(options)
    _check_out(options.out)
    try:
        with beam.Pipeline(options=PipelineOptions(list(beam_options))) as pipeline:
            _build(pipeline, videos, _alone(options), options.out)
    except Exception as error:
        # A worker's error arrives as the text of its traceback.
        found = re.search(
            r"motion_jax\.errors\.UserError: ([^\n]*?)(?: \[while running|\n|$)", str(error)
        )
        if found is None:
            raise
        raise UserError(found[1]) from error
    if _is_remote(options.out):
        say(f"{options.out} is complete. Its quality report is made where it lies as a folder.")
    else:
        making.write_report(Path(options.out), advise)


def _build(
    pipeline: "apache_beam.Pipeline",
    videos: Sequence[_Video],
    options: PrepareOptions,
    out: str,
) -> None:
    import apache_beam as beam

    found = (
        pipeline
        | "Videos" >> beam.Create(videos)
        | "A worker each" >> beam.Reshuffle()
        | "Poses" >> beam.FlatMap(estimate).with_outputs("measured", main="shards")
    )
    clips = found.measured | "Clips" >> beam.Map(_clips_of)
    written = (
        found.shards
        | "Spread" >> beam.Reshuffle()
        | "Frames" >> beam.Map(write, beam.pvalue.AsDict(clips), out)
    )
    _ = (
        pipeline
        | "Once" >> beam.Create([None])
        | "Metadata"
        >> beam.Map(
            _finish,
            beam.pvalue.AsList(found.measured),
            beam.pvalue.AsList(written),
            options,
            out,
        )
    )


def estimate(video: _Video) -> Iterator[Any]:
    """Poses, clips and region of one video; gives a `_Write` for each shard and, with the tag
    "measured", a `_Measured`."""
    from apache_beam.pvalue import TaggedOutput

    from motion_jax.video.reader import probe

    with _ONE_AT_A_TIME:
        path = _local(video.address)
        options = dataclasses.replace(video.options, videos=(path,))
        digest = files.sha256(path)
        prepared = making.prepare_video(options, probe(path), digest)
    for shard in shards.plan(Path(), prepared.clips, 0):
        job = making.write_job(options, prepared, (shard,))
        yield _Write(video.number, video.address, job)
    figures = assemble.figures(prepared, options.fit, {})
    resolved = making.resolved_options(options, [digest])
    yield TaggedOutput("measured", _Measured(video.number, figures, resolved))


def _clips_of(video: _Measured) -> tuple[int, int]:
    return video.number, len(video.figures.clips)


def write(item: _Write, clips: dict[int, int], out: str) -> _Written:
    """Writes one shard into DATASET/.partial; clips: their number in each video."""
    offset = sum(count for number, count in clips.items() if number < item.number)
    (shard,) = item.job.shards
    with tempfile.TemporaryDirectory() as folder, _ONE_AT_A_TIME:
        name = f"video-{item.number:05d}-{shard.path.name}"
        path = Path(folder) / name
        shard = dataclasses.replace(shard, path=path, clip=shard.clip + offset)
        source = dataclasses.replace(item.job.source, path=_local(item.address))
        shards.write_job(dataclasses.replace(item.job, source=source, shards=(shard,)))
        measures = shards.measured(shard)
        assert measures is not None  # They are written with the shard.
        blur = measures["blur"]
        _put(path, _join(out, ".partial", name))
        return _Written(item.number, shard.first, blur, name, path.stat().st_size)


def _finish(
    _: None,
    videos: Iterable[_Measured],
    written: Iterable[_Written],
    options: PrepareOptions,
    out: str,
) -> None:
    """Shards to their final names, then what describes them, metadata.json last. A runner may do it
    again where it failed."""
    videos = sorted(videos, key=lambda video: video.number)
    written = sorted(written, key=lambda shard: (shard.number, shard.first))
    names = [records.shard_path(Path(), i, len(written)).name for i in range(len(written))]
    for name, shard in zip(names, written, strict=True):
        _move(_join(out, ".partial", shard.name), _join(out, name))
    figures = [_with_sharpness(video, written) for video in videos]
    resolved = assemble.join_options([video.resolved for video in videos])
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            # TFDS takes the number of shards from their names.
            (Path(folder) / name).touch()
        lengths = [len(shard.blur) for shard in written]
        size = sum(shard.size for shard in written)
        assemble.finish(Path(folder), options, resolved, figures, lengths, size)
        made = sorted(path.name for path in Path(folder).iterdir() if path.name not in names)
        for name in sorted(made, key=lambda name: name == records.METADATA):
            _put(Path(folder) / name, _join(out, name))
    _remove(_join(out, ".partial"))


def _with_sharpness(video: _Measured, written: Sequence[_Written]) -> assemble.VideoFigures:
    blur = list(video.figures.entry["blur"])
    for shard in written:
        if shard.number == video.number:
            blur[shard.first : shard.first + len(shard.blur)] = shard.blur
    return dataclasses.replace(video.figures, entry={**video.figures.entry, "blur": blur})


def _alone(options: BeamOptions) -> PrepareOptions:
    """The options in the form that `prepare` has."""
    values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    values |= {"videos": tuple(map(Path, options.videos)), "out": Path(options.out)}
    return PrepareOptions(**values)


def _tasks(options: BeamOptions) -> list[_Video]:
    for name in ("poses", "pose_model"):
        if ":/" in str(getattr(options, name) or ""):
            raise UserError(
                f"{option(name)} {getattr(options, name)} must be a path that every worker sees "
                "(a mounted bucket, for instance), not an address."
            )
    for address in options.videos:
        if not _is_remote(address) and not Path(address).is_file():
            raise UserError(f"There is no file {address}.")
    plain = _alone(options)
    files.check_outputs(plain, "out")
    making.check_options(plain)
    tasks = []
    for number, address in enumerate(options.videos):
        path = Path(address)
        poses = None if plain.poses is None else making.poses_folder(plain, path)
        tasks.append(_Video(number, address, dataclasses.replace(plain, videos=(), poses=poses)))
    return tasks


def _check_out(out: str) -> None:
    from apache_beam.io.filesystems import FileSystems

    if not _is_remote(out):
        files.check_writable(Path(out))
        # What an earlier attempt left is of no use to this one.
        files.remove_tree(Path(out) / ".partial")
        taken = any(Path(out).iterdir())
    else:
        found = FileSystems.match([_join(out, "*")])[0].metadata_list
        taken = any(f"{out.rstrip('/')}/.partial/" not in entry.path for entry in found)
    if taken:
        raise UserError(f"{option('out')} {out} is not empty; name a new folder for the dataset.")


def _is_remote(address: str) -> bool:
    return "://" in address


def _join(folder: str, *names: str) -> str:
    return "/".join((folder.rstrip("/"), *names))


def _local(address: str) -> Path:
    """The video on this machine, under its own name; fetched where it is remote."""
    from apache_beam.io.filesystems import FileSystems

    if not _is_remote(address):
        return Path(address)
    if address not in _FETCHED:
        while len(_FETCHED) >= _MOST_FETCHED:
            files.remove_tree(_FETCHED.pop(next(iter(_FETCHED))).parent)
        path = Path(tempfile.mkdtemp(prefix="motion_jax-video-")) / address.rsplit("/", 1)[-1]
        try:
            with FileSystems.open(address) as source, open(path, "wb") as target:
                while block := source.read(1 << 24):
                    target.write(block)
        except Exception as error:  # Each file system has errors of its own.
            files.remove_tree(path.parent)
            raise UserError(f"{address} cannot be read ({error}).") from error
        _FETCHED[address] = path
    return _FETCHED[address]


def _put(path: Path, address: str) -> None:
    """Copies a file to its place; there it appears whole or, on a local file system, not at all."""
    from apache_beam.io.filesystems import FileSystems

    if not _is_remote(address):
        files.write_bytes(Path(address), path.read_bytes())
        return
    with FileSystems.create(address) as target, open(path, "rb") as source:
        while block := source.read(1 << 24):
            target.write(block)


def _move(source: str, target: str) -> None:
    from apache_beam.io.filesystems import FileSystems

    if not _is_remote(source):
        if Path(source).is_file():
            os.replace(source, target)
    elif FileSystems.exists(source):
        FileSystems.rename([source], [target])


def _remove(address: str) -> None:
    from apache_beam.io.filesystems import FileSystems

    if not _is_remote(address):
        files.remove_tree(Path(address))
    elif FileSystems.match([_join(address, "*")])[0].metadata_list:
        FileSystems.delete([_join(address, "*")])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exit status 2 for bad input."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    at = arguments.index("--") if "--" in arguments else len(arguments)
    try:
        with one_sentence("prepare", arguments[:at]):
            options = tyro.cli(BeamOptions, prog=PROGRAM, args=arguments[:at])
        with watched(lines(sys.stderr.write)):
            run(options, arguments[at + 1 :])
    except UserError as error:
        print(f"motion-jax: error: {worded(error.marked)}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    # Under its own name: workers find what they are sent by the module that it is from.
    from motion_jax.cli import beam

    beam.main()

"""What all protocols ask: from what a client sends to a picture."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from motion_jax.errors import UserError, option
from motion_jax.pose.pose_pictures import READY
from motion_jax.pose.watcher import Watcher
from motion_jax.serve import pictures
from motion_jax.serve.engine import Engine
from motion_jax.serve.figures import Figures
from motion_jax.serve.options import ServeOptions
from motion_jax.serve.pictures import Limits, Refused, refusing
from motion_jax.transfer.fit import Body, RunningFit
from motion_jax.transfer.options import Method
from motion_jax.transfer.resident import Resident, Seen

# What RunwayML's clients call a picture that they send, and the answer that they then read.
ANSWERS = {
    "image": "image",
    "input": "output",
    "input_image": "output_image",
    "semantic_map": "output",
    "contentImage": "stylizedImage",
    "photo": "output",
}
# Pictures are decoded and encoded by so many threads at once.
HANDS = 4


@dataclass
class Service:
    """The runs, and how clients' pictures reach them.

    Attributes:
      residents: by name, the default one first.
      watcher: estimates poses of people in pictures; None where no run needs it.
      last: the answer of the last RunwayML query; error: its error, or None.
      listeners: are told each picture that is made, by the event loop's thread.
    """

    options: ServeOptions
    residents: Mapping[str, Resident]
    engine: Engine
    figures: Figures
    watcher: Watcher | None = None
    last: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    listeners: set[Callable[[str, np.ndarray], None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        options = self.options
        self.limits = Limits(round(options.max_megapixels * 1e6))
        self._hands = asyncio.Semaphore(HANDS)
        first = self.resident(None)
        grey = np.full((*first.size, 3), 127, np.uint8)
        self.last = self._answer(pictures.uri(grey, "jpeg", options.jpeg_quality), None)

    def resident(self, name: str | None) -> Resident:
        """The run of that name, or the first. Raises Refused (404)."""
        if name is None:
            return next(iter(self.residents.values()))
        # In the query of an address a + stands for a blank, and mixtures of people have some.
        name = name if name in self.residents else name.replace(" ", "+")
        if name not in self.residents:
            raise Refused(
                f"There is no run of that name here; there is {', '.join(self.residents)}.", 404
            )
        return self.residents[name]

    def wants_person(self, resident: Resident) -> bool:
        """Whether pictures for it show people, whose poses are estimated."""
        return shows_person(self.options, resident)

    def seen(
        self,
        resident: Resident,
        image: UInt8[np.ndarray, "_ _ 3"],
        fit: RunningFit | None = None,
        at: float = 0.0,
    ) -> Seen | None:
        """What the run is shown of a picture; None where nobody is in it. Takes its time.

        fit, at: of a stream of pictures, see `fit.RunningFit`. Poses are looked for in each
        picture by itself: streams share the estimator.
        """
        if not self.wants_person(resident):
            return resident.picture(image)
        assert self.watcher is not None, "made where it is needed"
        found = self.watcher.look(image, at, still=True)
        if found is None:
            return None
        fit = fit or self.fit(resident, image.shape[:2])
        laid = fit.next(at, found)
        return None if laid is None else resident.pose(laid)

    def fit(
        self, resident: Resident, size: tuple[int, int], method: Method | None = None
    ) -> RunningFit:
        """Fits poses in pictures of `size` to the run's body."""
        body, bend = Body.of_run(resident.run), self.options.joints
        return RunningFit(size, body, method or self.options.normalize, bend=bend)

    def posed(
        self,
        resident: Resident,
        keypoints: Float[np.ndarray, "137 3"],
        size: tuple[int, int],
        method: Method,
    ) -> Seen:
        """What the run is shown of keypoints in pixels of a picture of `size`."""
        as_it_is = method == "none" and self.options.joints == "free"
        if as_it_is and size == resident.size:
            return resident.pose(keypoints)
        laid = self.fit(resident, size, method).next(0.0, keypoints)
        if laid is None:
            raise Refused("The pose shows no joint of the body; give one that does.")
        return resident.pose(laid)

    async def of_image(self, resident: Resident, read: Callable[[], np.ndarray]) -> np.ndarray:
        """The picture that a run makes of one that stands alone; read: decodes it, in a thread.
        Raises Refused."""

        def shown() -> Seen:
            with refusing():
                found = self.seen(resident, read())
            if found is None:
                raise Refused(
                    "Nobody was found in the picture; send one that shows a person from head to "
                    "foot.",
                    422,
                )
            return found

        return await self.made(resident, await self.threaded(shown))

    async def made(self, resident: Resident, seen: Seen) -> np.ndarray:
        """The picture of what a run is shown. Raises Refused (503, 504)."""
        future = asyncio.wrap_future(self.engine.submit(resident, seen))
        try:
            picture = await asyncio.wait_for(future, self.options.timeout)
        except TimeoutError as error:
            raise Refused(
                f"The picture was not ready after {self.options.timeout:g} seconds; ask again.",
                503,
                1,
            ) from error
        self.tell(resident, picture)
        return picture

    def tell(self, resident: Resident, picture: np.ndarray) -> None:
        """Whoever watches sees a picture."""
        for listener in list(self.listeners):
            listener(resident.name, picture)

    async def threaded(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Work in a thread, of a few at a time."""
        async with self._hands:
            return await asyncio.to_thread(work, *arguments)

    # --- RunwayML's form of queries ------------------------------------------------------------

    async def query(self, inputs: Any, form: str = "jpeg") -> dict[str, Any]:
        """Answers an object whose picture (or "keypoints", or "poses") is under the configured key
        or any other; keeps the answer and the error. Raises Refused."""
        try:
            resident, picture, key = await self._queried(inputs)
            text = await self.threaded(pictures.uri, picture, form, self.options.jpeg_quality)
        except Refused as error:
            self.error = str(error)
            raise
        self.error = None
        self.last = self._answer(text, key)
        return self.last

    async def _queried(self, inputs: Any) -> tuple[Resident, np.ndarray, str | None]:
        if not isinstance(inputs, dict):
            raise Refused("A query is a JSON object with a picture in it.")
        name = inputs.get("run")
        if name is not None and not isinstance(name, str):
            raise Refused('"run" is the name of a run.')
        resident = self.resident(name)
        for key in ("keypoints", "people", "poses"):
            if key in inputs:
                value = inputs if key == "poses" or key == "people" else inputs[key]
                keypoints = pictures.keypoints_of(value, resident.size)
                with refusing():
                    seen = self.posed(resident, keypoints, resident.size, "none")
                return resident, await self.made(resident, seen), None
        key = self._picture_key(inputs)
        text, limits = inputs[key], self.limits
        picture = await self.of_image(resident, lambda: pictures.of_uri(text, limits))
        return resident, picture, key

    def _picture_key(self, inputs: Mapping[str, Any]) -> str:
        wanted = self.options.input_key
        if wanted in inputs:
            return wanted
        found = [
            key
            for key, value in inputs.items()
            if isinstance(value, str) and (key in ANSWERS or value.startswith("data:image"))
        ]
        if len(found) == 1:
            return found[0]
        has = ", ".join(repr(str(key)[:40]) for key in list(inputs)[:8]) or "nothing"
        raise Refused(
            f"The query has no picture under {wanted!r} (it has {has}); send one there, or start "
            f"the server with {option('input_key')}."
        )

    def _answer(self, text: str, key: str | None) -> dict[str, Any]:
        """A picture under the configured key, and under the one that goes with the query's."""
        wanted = self.options.output_key
        alias = ANSWERS.get(key or "image", wanted)
        return {wanted: text} if alias == wanted else {wanted: text, alias: text}


def shows_person(options: ServeOptions, resident: Resident) -> bool:
    """Whether clients' pictures for a run show people, whose poses are estimated.

    Raises UserError where that cannot be.
    """
    if options.input == "ready" or resident.takes == "frames":
        if resident.takes == "poses":
            resident.run.config.recipe.check_seen({READY: None})
        return False
    ready = resident.densepose or bool(resident.run.dataset.get("info", {}).get("pose_pictures"))
    if options.input == "auto" and ready:
        return False
    if options.input == "person" and resident.densepose:
        raise UserError(
            f"The run {resident.name} is driven by DensePose, which is not estimated here; send "
            f"DensePose pictures, with {option('input')} ready."
        )
    return True

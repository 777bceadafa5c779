"""What a server counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from motion_jax.serve.engine import Engine

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Figures:
    """Counts of one server."""

    def __init__(self, engine: Engine):
        self._registry = CollectorRegistry()
        self._engine = engine
        self._answers = Counter(
            "motion_jax_answers", "Answers, by protocol and status.", ("protocol", "status"),
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "motion_jax_answer_seconds", "From the whole request to the answer.", ("protocol",),
            registry=self._registry, buckets=BUCKETS,
        )  # fmt: skip
        self._registry.register(self)

    def answered(self, protocol: str, status: int, seconds: float) -> None:
        """One answer; protocol: "http", "runway", "sdk", "socket.io", "osc" or "stream"."""
        self._answers.labels(protocol, str(status)).inc()
        self._seconds.labels(protocol).observe(seconds)

    def collect(self) -> list[Metric]:
        """The engine's figures, as a collector of prometheus_client gives them."""
        engine = self._engine
        counts = {
            "pictures": ("Pictures made.", engine.made),
            "dropped_frames": (
                "Frames of streams passed over for newer ones.",
                engine.dropped,
            ),
            "refused": ("Requests for which there was no room.", engine.refused),
            "busy_seconds": ("Time spent making pictures.", engine.busy),
        }
        states = {
            "waiting": ("Requests that wait.", engine.depth),
            "streams": ("Streams that are open.", engine.streams),
        }
        return [
            *(CounterMetricFamily(f"motion_jax_{name}", *about) for name, about in counts.items()),
            *(GaugeMetricFamily(f"motion_jax_{name}", *about) for name, about in states.items()),
        ]

    def text(self) -> bytes:
        """In Prometheus' text form."""
        return generate_latest(self._registry)

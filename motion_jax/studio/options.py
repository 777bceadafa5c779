"""Options of `motion-jax studio`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StudioOptions:
    """All of it on a page in the browser: films, learning, dances, and the jobs that do the work
    (see docs/studio.md). Needs no network."""

    port: int = 7860
    """Port of the page; 0: any free one."""
    browser: bool = True
    """Open the page in the browser; --no-browser only prints its address."""
    projects: Path | None = None
    """Folder of the projects: films, datasets, runs, results and jobs (default:
    $MOTION_JAX_PROJECTS, else ~/motion-jax). It may grow large."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0: all of this machine's. Others than 127.0.0.1 let other
    machines use the studio and see its films, with a token."""
    token: str | None = None
    """A secret that the page's address carries once; 8 characters or more. Where other machines are
    let in and none is given, one is made at each start."""
    allow_host: tuple[str, ...] = ()
    """Further names by which browsers may call this machine, as NAME or NAME:PORT. With --host its
    own addresses and host name are known."""
    max_gigabytes: float = 20.0
    """Largest film that is taken."""
    multi_user: bool = False
    """Several people on one server: each makes an account, with --token as the invitation, and sees
    projects of their own alone."""
    quota_gigabytes: float = 0.0
    """With --multi-user: what each may have on the disk; 0: no limit."""

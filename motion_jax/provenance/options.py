"""How films say that they are synthetic: the options that verbs share."""

import os
from dataclasses import dataclass
from pathlib import Path

import tyro

KEY, CERTIFICATE = "MOTION_JAX_SIGN_KEY", "MOTION_JAX_SIGN_CERT"


@dataclass(frozen=True)
class Provenance:
    """What goes into a film besides its metadata, which is always there.

    Attributes:
      mark: whether its pictures carry the invisible mark.
      key, certificate: PEM files, with which a C2PA manifest is signed; None: there is none.
    """

    mark: bool = True
    key: Path | None = None
    certificate: Path | None = None

    @classmethod
    def of(
        cls, mark: bool = True, key: Path | None = None, certificate: Path | None = None
    ) -> "Provenance":
        """With the files that the environment names where none are given."""
        if key is None and certificate is None:
            named = os.environ.get(KEY), os.environ.get(CERTIFICATE)
            key, certificate = (Path(name) if name else None for name in named)
        return cls(mark, key, certificate)


@dataclass(frozen=True, kw_only=True)
class HonestFilm:
    """Options of a verb that writes a film."""

    mark: bool = True
    """Put the invisible mark into the film's pictures, which says that they are synthetic and by
    which run (motion-jax check finds it again; docs/honest.md)."""
    sign_key: Path | None = None
    """Sign a C2PA manifest in the film with this private key (PEM; default: what the environment
    variable MOTION_JAX_SIGN_KEY names); needs the extra c2pa."""
    sign_cert: Path | None = None
    """The certificate of that key, and those that vouch for it (PEM; default: what
    MOTION_JAX_SIGN_CERT names)."""

    @property
    def provenance(self) -> Provenance:
        """What they ask for."""
        return Provenance.of(self.mark, self.sign_key, self.sign_cert)


@dataclass(frozen=True)
class CheckOptions:
    """Say what a film or picture tells of where it comes from: metadata, a C2PA manifest, the
    invisible mark of motion_jax. Exit status: 0 something says that it is synthetic, 1 nothing does
    (which does not prove that it is real)."""

    file: tyro.conf.Positional[Path]
    """A film of any kind that FFmpeg reads, or a PNG, JPEG or WebP."""
    json: bool = False
    """Print everything as JSON."""
    start: float = 0.0
    """Look for the mark from this second of the film on."""
    seconds: float = 60.0
    """Look for the mark in so many seconds of the film."""
    detector: Path | None = None
    """Also ask this run of fake_detector how likely the pictures are synthetic: a guess, which does
    not change the exit status (docs/honest.md says what it is worth)."""

"""C2PA manifests (Content Credentials, C2PA Technical Specification 2): signed, inside the file.

The package c2pa-python (extra `c2pa`) signs and checks them; the key and the certificate are the
user's own.
"""

import contextlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from motion_jax import __version__
from motion_jax.errors import UserError, option
from motion_jax.provenance.xmp import SYNTHETIC

KINDS = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
# The label of our own assertion: which run made it.
_OWN = "org.motion-jax.provenance"


_TRY = {"title": "A try", "comment": "", "digital_source_type": SYNTHETIC}


class Signer:
    """Signs films with a key.

    Args:
      key: PEM, unencrypted: an elliptic curve (P-256, P-384, P-521), Ed25519 or RSA.
      certificate: PEM of the key's certificate, followed by those that vouch for it.
    Raises UserError: only one of them, a file that is none, a package that is missing, a
    certificate that C2PA does not take.
    """

    def __init__(self, key: Path | None, certificate: Path | None):
        for name, path in (("sign_key", key), ("sign_cert", certificate)):
            if path is None:
                raise UserError(
                    f"A manifest is signed with a key and its certificate: give {option(name)} too."
                )
            if not path.is_file():
                raise UserError(f"There is no file {path}; check {option(name)}.")
        assert key is not None and certificate is not None, "checked"
        c2pa = library()
        if c2pa is None:
            raise UserError(
                f"{option('sign_key')} needs the package c2pa-python: pip install "
                "'motion-jax[c2pa]'."
            )
        private = key.read_bytes()
        info = c2pa.C2paSignerInfo(
            _algorithm(key, private), certificate.read_bytes(), private, None
        )
        try:
            self._signer = c2pa.Signer.from_info(info)
            # What is wrong with a certificate is only said when something is signed.
            builder = c2pa.Builder(json.dumps(claim(_TRY)))
            builder.sign(self._signer, "image/png", _pixel(), io.BytesIO())
        except c2pa.C2paError as error:
            raise UserError(
                f"The certificate {certificate} cannot sign with the key {key} ({error}); "
                "docs/honest.md says how both are made."
            ) from error
        self._c2pa, self._certificate = c2pa, certificate

    def sign(self, path: Path, tags: Mapping[str, str], kind: str) -> None:
        """Puts a signed manifest into a finished file, in place. tags: those of the film; kind: of
        KINDS. Raises UserError where C2PA refuses, and leaves the file as it was."""
        signed = path.with_name(f".{path.name}.signed")
        try:
            builder = self._c2pa.Builder(json.dumps(claim(tags)))
            with open(path, "rb") as source, open(signed, "w+b") as target:
                builder.sign(self._signer, kind, source, target)
            os.replace(signed, path)
        except self._c2pa.C2paError as error:
            raise UserError(
                f"{path.name} could not be signed with {self._certificate} ({error}); "
                "docs/honest.md says which certificates C2PA takes."
            ) from error
        finally:
            with contextlib.suppress(OSError):
                signed.unlink(missing_ok=True)


def _pixel() -> io.BytesIO:
    """A picture of one pixel, as a PNG."""
    data = io.BytesIO()
    Image.new("RGB", (1, 1)).save(data, "PNG")
    data.seek(0)
    return data


def library() -> Any:
    """The package c2pa, or None where it is not installed."""
    try:
        import c2pa
    except ImportError:
        return None
    return c2pa


def claim(tags: Mapping[str, str]) -> dict[str, Any]:
    """What a manifest says, as c2pa-python takes it."""
    action = {
        "action": "c2pa.created",
        "digitalSourceType": tags["digital_source_type"],
        "softwareAgent": {"name": "motion_jax", "version": __version__},
        "description": tags["comment"],
    }
    own = {name: value for name, value in tags.items() if name.startswith("motion_jax_")}
    return {
        "claim_generator_info": [{"name": "motion_jax", "version": __version__}],
        "title": tags["title"],
        "assertions": [
            {"label": "c2pa.actions", "data": {"actions": [action]}},
            {"label": _OWN, "data": own},
        ],
    }


def read(path: Path) -> dict[str, Any] | None:
    """What a file's manifest says, None where there is none (or the package is missing, or the file
    is of another kind).

    Has "state" ("Valid": whole and signed, by whomever; "Trusted": by someone on a list that is
    trusted; "Invalid": changed since), "signer", "generator", "sources" (digital source types) and
    "problems" (codes of C2PA).
    """
    c2pa, kind = library(), KINDS.get(path.suffix.lower())
    if c2pa is None or kind is None:
        return None
    with open(path, "rb") as file:
        try:
            reader = c2pa.Reader(kind, file)
        except c2pa.C2paError as error:
            if "ManifestNotFound" in f"{type(error).__name__} {error}":
                return None
            return {"state": "Invalid", "problems": [str(error)]}
        with contextlib.closing(reader):
            whole = json.loads(reader.json())
    manifest = whole["manifests"][whole["active_manifest"]]
    signature = manifest.get("signature_info", {})
    actions = [
        action
        for each in manifest.get("assertions", ())
        if each["label"].startswith("c2pa.actions")
        for action in each["data"]["actions"]
    ]
    generators = manifest.get("claim_generator_info") or [{}]
    return {
        "state": whole.get("validation_state", "Invalid"),
        "signer": signature.get("common_name") or signature.get("issuer"),
        "generator": " ".join(
            str(generators[0][part]) for part in ("name", "version") if part in generators[0]
        ),
        "title": manifest.get("title"),
        "sources": [a["digitalSourceType"] for a in actions if "digitalSourceType" in a],
        "problems": sorted({each["code"] for each in whole.get("validation_status", ())}),
    }


def _algorithm(path: Path, pem: bytes) -> bytes:
    """C2PA's name of how a key signs. Raises UserError for files that are no such key."""
    # Comes with c2pa-python.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UserError(
            f"{option('sign_key')} {path} is no private key in PEM without a password; "
            "docs/honest.md says how one is made."
        ) from error
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size in (256, 384, 521):
        return {256: b"es256", 384: b"es384", 521: b"es512"}[key.curve.key_size]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return b"ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return b"ps256"
    raise UserError(
        f"{option('sign_key')} {path} is a key that C2PA does not sign with; make one of the curve "
        "P-256 (docs/honest.md)."
    )

"""Fetches one published file, with progress, checked, whole or not at all."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from motion_jax import files
from motion_jax.errors import UserError
from motion_jax.progress import Meter, say


def download(
    address: str, target: Path, sha256_prefix: str = "", opener: Callable = urllib.request.urlopen
) -> str:
    """Downloads `address` to `target`; returns the file's SHA-256.

    sha256_prefix: what the SHA-256 must begin with, where the publisher says so.
    Raises UserError: no connection, a file cut short, another checksum. Nothing is left then.
    """
    files.check_writable(target.parent)
    say(f"Downloading {address} to {target} (once).")
    digest, done, total = hashlib.sha256(), 0, None
    try:
        with files.atomic_path(target) as temporary:
            with opener(address, timeout=30) as answer, open(temporary, "wb") as file:
                total = int(answer.headers.get("Content-Length") or 0) or None
                with Meter(f"{target.name} (MB)", total and total >> 20) as meter:
                    while block := answer.read(1 << 20):
                        file.write(block)
                        digest.update(block)
                        done += len(block)
                        meter.advance()
            if total is not None and done != total:
                raise UserError(
                    f"The download of {address} was cut short ({done} of {total} bytes); run the "
                    "same command again."
                )
            if not digest.hexdigest().startswith(sha256_prefix):
                raise UserError(
                    f"The file from {address} has another checksum ({digest.hexdigest()[:8]}…) "
                    f"than published ({sha256_prefix}…); try again later or from another network."
                )
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"{address} could not be downloaded ({reason}); get that file on a machine with a "
            f"network and put it at {target}."
        ) from error
    return digest.hexdigest()

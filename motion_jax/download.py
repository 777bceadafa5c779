"""Fetches one published file: with progress, checked, whole or not at all."""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from motion_jax import files
from motion_jax.errors import UserError
from motion_jax.progress import Meter, say


class DownloadError(Exception):
    """Why a file did not come, in a few words."""


def stream(
    address: str, target: Path, opener: Callable = urllib.request.urlopen
) -> tuple[str, int]:
    """Writes what an address sends to `target`, which the caller renames or removes.

    opener: opens an address for reading (replaced in tests). Returns the SHA-256, hexadecimal, and
    the number of bytes. Raises DownloadError: no connection, cut short.
    """
    digest, done = hashlib.sha256(), 0
    try:
        with opener(address, timeout=30) as answer, open(target, "wb") as file:
            total = int(answer.headers.get("Content-Length") or 0) or None
            with Meter(address.rsplit("/", 1)[1] + " (bytes)", total) as meter:
                while block := answer.read(1 << 18):
                    file.write(block)
                    digest.update(block)
                    done += len(block)
                    meter.advance(len(block))
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        TimeoutError,
        ConnectionError,
    ) as error:
        raise DownloadError(str(getattr(error, "reason", None) or error)) from error
    if total is not None and done != total:
        raise DownloadError(f"{done} of {total} bytes came")
    return digest.hexdigest(), done


def download(
    address: str, target: Path, sha256_prefix: str = "", opener: Callable = urllib.request.urlopen
) -> str:
    """Downloads `address` to `target`; returns the file's SHA-256.

    sha256_prefix: what the SHA-256 must begin with, where the publisher says so.
    Raises UserError: no connection, a file cut short, another checksum. Nothing is left then.
    """
    files.check_writable(target.parent)
    say(f"Downloading {address} to {target} (once).")
    try:
        with files.atomic_path(target) as temporary:
            digest, _ = stream(address, temporary, opener)
            if not digest.startswith(sha256_prefix):
                raise DownloadError(
                    f"its checksum is {digest[:8]}…, not {sha256_prefix}… as published"
                )
    except DownloadError as error:
        raise UserError(
            f"{address} could not be downloaded ({error}); get that file on a machine with a "
            f"network and put it at {target}."
        ) from error
    return digest

"""What is wrong with a film that cannot be read, in one sentence each."""

from pathlib import Path

from motion_jax.errors import UserError, option


def ends_early(path: Path, name: str) -> bool:
    """Whether a file whose kind says where it ends is shorter than that."""
    if not path.is_file():
        return False
    size = path.stat().st_size
    with open(path, "rb") as file:
        if name == "avi":
            head = file.read(8)
            return head[:4] == b"RIFF" and int.from_bytes(head[4:8], "little") + 8 > size
        if name == "gif":
            file.seek(max(0, size - 64))
            return not file.read().rstrip(b"\0").endswith(b";")
    return False


def damaged(path: Path, seconds: float | None, count: int) -> UserError:
    if not count or seconds is None:
        return UserError(
            f"{path} is damaged or cut short: no frame of it can be read; copy it again from its "
            "source."
        )
    return UserError(
        f"{path} is damaged or cut short after {seconds:.2f} s ({count} frames can be read before "
        f"that); copy or re-encode it again, or use its good part with {option('end')} "
        f"{max(0.0, seconds - 0.1):.1f}."
    )


def unreadable(path: Path) -> UserError:
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError:
        head = b""
    if not head:
        return UserError(f"{path} is empty or cannot be read; name a video file.")
    if head[4:8] == b"ftyp":
        return UserError(
            f"{path} is cut short: it begins as an MP4 but its index, which should follow the "
            "frames, is missing; copy or record it again."
        )
    return UserError(
        f"{path} is not a video that can be read; name a video file (MP4, MOV, MKV, WebM, AVI, "
        "GIF), or convert it to MP4 first."
    )


def no_frames(path: Path) -> UserError:
    return UserError(f"{path} has a video track but no frame in it; record or export it again.")

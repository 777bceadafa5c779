"""A puppet's dance as files, as a user would bring them: a video and OpenPose JSON poses."""

from pathlib import Path

from motion_jax.pose.files import write_openpose
from motion_jax.progress import track
from motion_jax.puppet.characters import Puppet
from motion_jax.puppet.draw import draw_frame
from motion_jax.puppet.figure import joints, keypoints
from motion_jax.puppet.motion import Motion

VIDEO, POSES = "video.mp4", "poses"


def make_video(
    folder: Path, puppet: Puppet, motion: Motion, height: int, width: int
) -> tuple[Path, Path]:
    """Writes folder/video.mp4 (H.264 at motion.fps) and folder/poses/*.json (a file a frame).

    Returns the two paths. Raises UserError where the folder cannot be written.
    """
    from motion_jax.video.writer import VideoWriter

    folder = Path(folder)
    body = joints(puppet, motion)
    with VideoWriter(
        folder / VIDEO, height, width, metadata={"comment": f"The drawn dancer {puppet.name}"}
    ) as video:
        for frame in track(range(len(motion)), f"Drawing {puppet.name}"):
            video.write(draw_frame(puppet, body, frame, height, width), float(motion.times[frame]))
    write_openpose(folder / POSES, keypoints(puppet, motion, height, width))
    return folder / VIDEO, folder / POSES

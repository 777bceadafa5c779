"""The pose_frames dataset in TFDS's folder convention."""

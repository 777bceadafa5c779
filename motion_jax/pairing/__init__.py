"""Frames of two people paired by their poses: the data of pose2pics and pics2pics."""

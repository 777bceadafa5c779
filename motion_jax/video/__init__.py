"""Video files in and out: frames with their times, rotation, audio."""

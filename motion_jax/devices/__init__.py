"""Devices and processes: meshes, how work is laid over them, how processes find each other."""

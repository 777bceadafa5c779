"""Weight files of other programs: read without running their code, named, taken apart."""

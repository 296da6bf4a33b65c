"""Independent implementations to compare the library with."""

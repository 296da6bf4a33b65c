"""Writes what batch transform scored: joined records, result files and resumable state."""

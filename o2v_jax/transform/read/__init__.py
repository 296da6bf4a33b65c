"""Reads what batch transform scores: JSON Lines, JSON, CSV text and Parquet, part by part."""

"""Reads tables to prepare: delimited text, JSON Lines and Parquet."""

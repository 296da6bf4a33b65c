"""The server under load: single pairs, large requests, overload, a soak, and compilations."""

"""The minimal Flask shim around `o2v_jax.server.http`, for `flask --app serving.app run`."""

"""The minimal Flask app around `o2v_jax.server`, for `flask --app serving.app run`."""

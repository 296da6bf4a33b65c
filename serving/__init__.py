"""The SageMaker container contract around `o2v_jax`: a thin Flask app and its production server.

`contract`, `settings`, `capacity`, `health` and `service` know no Flask; `app` is the only module
that does, and `run` (with `worker`) starts it under Granian.
"""

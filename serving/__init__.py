"""The SageMaker container contract around `o2v_jax`: a thin Flask app and its production server.

A request passes `refusal` (if the server is full), `app`, `service`, `batcher` and the scorer. Only
`app` knows Flask; `run` (with `worker`) starts it under Granian.
"""

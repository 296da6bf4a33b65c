"""The SageMaker container contract around `o2v_jax`: a thin Flask app and its production server.

A request passes `front` (an event loop) or `app` (Flask), `service`, `batcher` and the scorer.
`run` (with `worker`) starts `front` under Granian, with `app` behind it for all but invocations;
`flask run` starts `app` alone.
"""

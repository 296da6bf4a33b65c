"""The SageMaker container contract around a model, and its production server.

A request passes a shim (`asgi` on an event loop, or `serving.app` under Flask), `http` (the
contract), `service`, `batcher` and the scorer. `run` starts `asgi` under Granian.
"""

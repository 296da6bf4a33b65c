"""The SageMaker container contract around a model, and its production server.

A request passes `asgi` (an event loop) or `serving.app` (Flask), `service`, `batcher` and the
scorer. `run` starts `asgi` under Granian; `flask run` starts the Flask app alone.
"""

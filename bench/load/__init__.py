"""A load generator of HTTP/1.1 on raw sockets, in a process of its own. Imports no JAX.

It speaks just enough HTTP to send a request and to see the end of its answer, so that two cores
are left to the server. `python -m bench.load JOB` does one job and prints what it saw.
"""

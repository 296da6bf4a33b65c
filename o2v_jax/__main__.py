"""`python -m o2v_jax` is the command `o2v`."""

from o2v_jax.cli import main

main()

"""The training step: gradients, optimizers, row-sparse tables and sharding."""

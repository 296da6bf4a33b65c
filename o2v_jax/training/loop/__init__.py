"""The training loop: epochs, evaluation, early stopping, saved state, several hosts."""

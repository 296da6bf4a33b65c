"""All that is wrong with a model, gathered before anything is said about it."""

from collections.abc import Iterator
from contextlib import contextmanager

from o2v_jax.errors import HyperparameterError, InputError


class Problems(list[str]):
    """Sentences, each about one thing that is wrong."""

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keeps what the block raises as problems and goes on after it."""
        try:
            yield
        except HyperparameterError as error:
            self.extend(f"config.json: {problem}" for problem in error.problems)
        except InputError as error:
            self.append(str(error))

"""Every documented hyperparameter as an option of a command, in the documentation's spelling."""

from typing import Any

import click

from o2v_jax.hyperparameters import TableRow, hyperparameter_table


class HyperparameterCommand(click.Command):
    """A command with an option for every hyperparameter, such as `--enc_dim 512`.

    Those that are given reach its function as `settings`, texts by name, which
    `Hyperparameters.from_strings` reads, checks and explains.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = [
            click.Option([f"--{row.name}"], metavar="VALUE", help=_write_help(row))
            for row in hyperparameter_table()
        ]
        self.params.extend(self._table)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the function, with the hyperparameters gathered into one argument."""
        given = {str(option.name): ctx.params.pop(str(option.name)) for option in self._table}
        settings = {name: value for name, value in given.items() if value is not None}
        ctx.params["settings"] = settings
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options into the help text, the hyperparameters below the others."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": [], "Hyperparameters": []}
        for option in self.get_params(ctx):
            title = "Hyperparameters" if option in self._table else "Options"
            if record := option.get_help_record(ctx):
                sections[title].append(record)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def _write_help(row: TableRow) -> str:
    default = row.default if row.default.startswith("required") else f"default {row.default}"
    return f"{row.rule}; {default}"

"""The reference tables hold what the code has."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import o2v_jax
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import hyperparameter_table
from o2v_jax.server import http, metrics, settings
from o2v_jax.server.errors import STATUS
from o2v_jax.server.media_types import MEDIA_TYPES

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tables():
    """The module that makes them, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("tables", REPOSITORY / "docs/_ext/tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def first_column(table):
    return re.findall(r"^\| `?([^|`]+?)`? \|", table, re.MULTILINE)[2:]


def test_every_hyperparameter_has_a_row(tables):
    names = [row.name for row in hyperparameter_table()]
    assert first_column(tables.hyperparameters()) == names


def test_every_route_has_a_row(tables):
    assert first_column(tables.routes()) == list(http.ROUTES) == list(tables.ROUTES)


def test_every_status_has_a_row(tables):
    codes = [int(row.split()[0]) for row in first_column(tables.statuses())]
    assert set(codes) == {*STATUS.values(), 500}
    assert codes == sorted(codes)


def test_every_variable_has_a_row_and_is_read(tables):
    variables = first_column(tables.environment())
    names = re.findall(r'"((?:O2V|SAGEMAKER|INFERENCE)_[A-Z_]+)"', inspect.getsource(settings))
    assert set(variables) == set(names)
    for name in variables:
        with pytest.raises(InputError):
            settings.ServerSettings.from_environment({name: "s3://no"})


def test_every_media_type_and_limit_has_a_row(tables):
    assert first_column(tables.media_types()) == list(MEDIA_TYPES)
    assert f"| {settings.MAX_PAYLOAD_IN_MB} |" in tables.server_limits()


def test_every_metric_is_listed(tables):
    live = metrics.Live(*[0] * len(metrics.Live._fields))
    served = metrics.Metrics(lambda: live).render().decode()
    names = set(re.findall(r"^# TYPE (\w+) (?:counter|gauge|histogram)$", served, re.MULTILINE))
    listed = set(re.findall(r"`(o2v_\w+)", tables.metric_names()))
    assert listed == {name for name in names if not name.endswith("_created")}


def test_every_public_name_is_on_the_page():
    page = (REPOSITORY / "docs/reference/api.md").read_text()
    assert sorted(re.findall(r"auto\w+:: (\w+)", page)) == sorted(o2v_jax.__all__)


def test_the_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)", (REPOSITORY / "README.md").read_text())
    assert links
    for link in links:
        assert (REPOSITORY / link).exists(), link

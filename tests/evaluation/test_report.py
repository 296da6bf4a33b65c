"""The report: its files, what the page says, and where it is written."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import orjson
import pytest

from o2v_jax import InBatchObjective, InputError, Ragged, evaluate_ranking
from o2v_jax.data.records import Pairs
from o2v_jax.evaluation import Evaluation, check_report_target
from o2v_jax.evaluation.page import render_page
from o2v_jax.evaluation.plots import plot_confusion, plot_found, plot_predictions

CLASSES = ["a & b", "<i>c</i>", "d"]
PNG = b"\x89PNG\r\n\x1a\n"


class Text(HTMLParser):
    """The texts of a page, and what it refers to."""

    def __init__(self, page):
        super().__init__()
        self.parts, self.addresses, self.open = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)
        self.addresses += [value for name, value in attrs if name in {"src", "href"}]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.parts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.parts).split())


@pytest.fixture(scope="module")
def evaluation_of(config_of, model_of):
    """A function of labels and scores: their Evaluation, which nothing has to be computed for."""

    def make(labels, scores, names=(), **overrides):
        model = model_of(config_of(**overrides))
        object.__setattr__(model, "class_names", tuple(names))
        ids = Ragged.of([[2, 3]] * len(labels))
        scores = np.array(scores, np.float32).reshape(len(labels), -1)
        return Evaluation(model, Pairs(ids, ids, np.array(labels, np.float64)), scores)

    return make


@pytest.fixture(scope="module")
def classified(evaluation_of, tmp_path_factory):
    scores = np.random.default_rng(0).dirichlet([1, 1, 1], 60)
    found = evaluation_of(np.arange(60) % 3, scores, CLASSES)
    folder = tmp_path_factory.mktemp("reports") / "new" / "classified"
    return found, found.write(folder, about={"data": "some <file>"})


@pytest.fixture(scope="module")
def regressed(evaluation_of, tmp_path_factory):
    labels = np.arange(50.0)
    scores = labels + np.random.default_rng(0).normal(0, 3, 50)
    found = evaluation_of(labels, scores, output_layer="mean_squared_error")
    return found, found.write(tmp_path_factory.mktemp("reports") / "regressed")


@pytest.fixture(scope="module")
def ranked(config_of, model_of, tmp_path_factory):
    objective = InBatchObjective(similarity="inner_product")
    config = config_of(enc0_network="pooled_embedding", enc0_max_seq_len=3, objective=objective)
    in0, in1 = [[2 + n % 9] for n in range(30)], [[1 + n % 13, 4] for n in range(30)]
    labels = [n % 9 != 5 for n in range(30)]
    found = evaluate_ranking(model_of(config), in0, in1, labels)
    folder = tmp_path_factory.mktemp("reports") / "ranked"
    return found, found.write(folder, about={"data": "pairs"})


def names_in(page):
    return sorted(path.name for path in page.parent.iterdir())


def test_the_files_of_a_classifier(classified):
    assert names_in(classified[1]) == [
        *("calibration.png", "confusion_matrix.png", "report.html", "report.json")
    ]


def test_the_files_of_a_regression(regressed):
    assert names_in(regressed[1]) == [
        *("predictions.png", "report.html", "report.json", "residuals.png")
    ]


def test_the_files_of_a_ranking(ranked):
    assert names_in(ranked[1]) == ["found_by_rank.png", "report.html", "report.json"]


@pytest.mark.parametrize("task", ["classified", "regressed", "ranked"])
def test_the_page_holds_its_plots_and_needs_nothing_else(task, request):
    _, page = request.getfixturevalue(task)
    text = page.read_text()
    addresses = Text(text).addresses
    images = [base64.b64decode(each.removeprefix("data:image/png;base64,")) for each in addresses]
    assert sorted(images) == sorted(path.read_bytes() for path in page.parent.glob("*.png"))
    assert all(image.startswith(PNG) for image in images)
    assert not re.search(r"https?:|<script|@import|url\(", text)


def test_the_page_says_what_the_json_holds(classified):
    found, page = classified
    said, figures = (
        Text(page.read_text()).text,
        json.loads(page.with_name("report.json").read_text()),
    )
    assert f"{figures['metrics']['accuracy']['value']:.4f}" in said
    assert {name: each["value"] for name, each in figures["metrics"].items()} == found.metrics
    assert (figures["records"], figures["task"]) == (60, "classification")
    assert figures["about"]["data"] == "some <file>"
    assert "some <file>" in said
    assert np.sum(figures["confusion"]) == 60
    assert [each["name"] for each in figures["classes"]] == CLASSES
    for name in CLASSES:
        assert name in said, "it is escaped"
    assert len(figures["worst"]) == 20
    assert figures["worst"][0]["in0"] == "2 3"


def test_a_regression_says_its_figures(regressed):
    found, page = regressed
    said = Text(page.read_text()).text
    for name in ("RMSE", "MAE", "Pearson's r", "Spearman's rho", "residual"):
        assert name in said
    assert f"{found.metrics['mean_absolute_error']:.3f}" in said


def test_a_ranking_says_what_the_json_holds(ranked):
    found, page = ranked
    said = Text(page.read_text()).text
    figures = json.loads(page.with_name("report.json").read_text())
    assert (figures["task"], figures["queries"], figures["candidates"]) == ("ranking", 8, 13)
    assert {name: each["value"] for name, each in figures["metrics"].items()} == {
        name: found.metrics[name] for name in found.figures
    }
    assert "8 queries among 13 candidates. Left out, without a relevant candidate: 1." in said
    assert f"{found.metrics['mrr']:.4f}" in said
    assert f"{figures['baseline']['mean_rank']:.3f}" in said
    worst = figures["worst"][0]
    assert worst["rank"] == found.make_contents({}).best_ranks.max()
    assert f"{worst['query']} {worst['relevant']}" in said
    for name in ("MRR", "Hits@20", "Recall@1", "nDCG@10", "Mean rank", "Wilson", "Student"):
        assert name in said
    assert figures["about"]["head"] == "compared by inner_product, trained in batches"


def test_the_mean_rank_of_random_order_is_that_of_shuffled_lists(ranked):
    found, _ = ranked
    contents, counts = found.make_contents({}), found.lists.relevance.counts
    rng = np.random.default_rng(0)
    draws = [
        np.mean([1 + rng.permutation(13)[:count].min() for count in counts[counts > 0]])
        for _ in range(2000)
    ]
    assert contents.random_rank == pytest.approx(np.mean(draws), rel=0.02)


def test_the_plot_rises_to_one_over_ranks():
    (axes,) = plot_found(np.array([1.0, 3.0, 3.0, 40.0]), 100).axes
    (line,) = axes.lines
    assert line.get_xdata().tolist() == [1, 1, 3, 3, 40, 100]
    assert line.get_ydata().tolist() == [0, 0.25, 0.5, 0.75, 1, 1]
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize(
    ("labels", "scores", "regression", "said"),
    [
        ([2.0] * 3, [1.0, 2.0, 3.0], True, "not defined: all labels are equal"),
        ([1.0, 2.0, 3.0], [0.5] * 3, True, "not defined: all predictions are equal"),
        ([1.0], [0.5], True, "not defined: there is only one record"),
        ([1], [[0.2, 0.5, 0.3]], False, "not defined: no record has this label"),
        ([0, 1, 1], [[0.2, 0.5, 0.3]] * 3, False, "not defined: the class is never predicted"),
    ],
)
def test_what_is_not_defined_is_null_and_said(labels, scores, regression, said, evaluation_of):
    settings = {"output_layer": "mean_squared_error"} if regression else {}
    contents = evaluation_of(labels, scores, **settings).make_contents({})
    names = [name for name, _ in contents.draw_plots()]
    page = render_page(contents.as_json(), dict.fromkeys(names, PNG))
    assert said in Text(page).text
    assert "nan" not in Text(page).text.lower()
    text = orjson.dumps(contents.as_json()).decode()
    assert said.removeprefix("not defined: ") in text
    assert "NaN" not in text


def test_cells_of_many_classes_hold_their_counts_alone(evaluation_of):
    scores = np.random.default_rng(0).dirichlet(np.ones(16), 100)
    names = [f"a class of a long name, {number}" for number in range(16)]
    found = evaluation_of(np.arange(100) % 16, scores, names, num_classes=16)
    figure = plot_confusion(found.figures)
    cells = [text.get_text() for text in figure.axes[0].texts]
    assert cells == [str(count) for row in found.figures.confusion for count in row]
    assert figure.axes[0].get_xticklabels()[0].get_text() == "a class of a long…"


def test_many_records_are_counted_in_cells_and_few_are_points():
    labels = np.random.default_rng(0).normal(0, 1, 2500)
    (cells,) = plot_predictions(labels, labels).axes[0].collections
    assert cells.get_array().sum() == 2500
    (points,) = plot_predictions(labels[:50], labels[:50]).axes[0].collections
    assert len(points.get_offsets()) == 50


@pytest.fixture
def former(tmp_path):
    """An earlier report, of a regression."""
    folder = tmp_path / "report"
    folder.mkdir()
    for name in ("report.html", "report.json", "predictions.png", "residuals.png"):
        (folder / name).write_text("former")
    return folder


def test_an_earlier_report_is_replaced_by_a_whole_one(former, regressed, tmp_path):
    for name in ("confusion_matrix.png", "found_by_rank.png"):
        (former / name).write_text("former")
    page = regressed[0].write(former)
    assert names_in(page) == names_in(regressed[1])
    assert page.read_text() != "former"
    assert [*tmp_path.iterdir()] == [former]


def test_a_report_that_fails_leaves_the_former_one(former, classified, tmp_path):
    with pytest.raises(TypeError):
        classified[0].write(former, about={"data": object()})
    assert {path.read_text() for path in former.iterdir()} == {"former"}
    assert len([*former.iterdir()]) == 4
    assert [*tmp_path.iterdir()] == [former]


def test_a_folder_that_holds_other_things_is_refused(regressed, tmp_path):
    (tmp_path / "thesis.txt").touch()
    (tmp_path / "report.html").touch()
    with pytest.raises(InputError, match=r"holds other things than a report \(thesis.txt\)"):
        regressed[0].write(tmp_path)
    assert len([*tmp_path.iterdir()]) == 2


def test_a_file_and_what_is_no_place_are_refused(regressed, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: is a file, but a report is a folder"):
        check_report_target(tmp_path / "file")
    with pytest.raises(InputError, match="report: cannot be made"):
        check_report_target(tmp_path / "file" / "report")
    with pytest.raises(InputError, match="s3"):
        regressed[0].write("s3://bucket/report")

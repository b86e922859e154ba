"""The README's table is the published data's, made by scripts/readme-table and never typed."""

import subprocess

import conftest
import pytest
from conftest import ROOT, publish_synthetic
from heapgauge import readme
from heapgauge.errors import Trouble

MARKED = "# Title\n\n<!-- results:begin run -->\n<!-- results:end -->\n\nEnd.\n"


@pytest.fixture
def results(tmp_path):
    publish_synthetic(tmp_path / "results/run", workloads=("w", "v"), detail="SIGSEGV", crash=("v", "core"))
    return tmp_path / "results"


def run(*words):
    done = subprocess.run([ROOT / "scripts/readme-table", *map(str, words)], capture_output=True, text=True)
    return done.returncode, done.stderr


def test_the_readme_is_what_the_results_say():
    document = ROOT / "README.md"
    blocks = readme.BLOCK.findall(document.read_text()) if document.exists() else []
    if not any(body.strip() or (ROOT / "results" / name).exists() for _, name, _, body, _ in blocks):
        pytest.skip("README.md shows no published results yet")
    assert run("--check") == (0, "")


def test_a_table_is_written_and_then_agrees(results, tmp_path):
    document = tmp_path / "README.md"
    document.write_text(MARKED)
    assert run(document, "--results", results, "--check")[0] == 1
    assert run(document, "--results", results)[0] == 0
    text = document.read_text()
    assert text.startswith("# Title\n\n<!-- results:begin run -->\nTime relative to system") and text.endswith("<!-- results:end -->\n\nEnd.\n")
    assert run(document, "--results", results, "--check") == (0, "")
    assert run(document, "--results", results)[0] == 0 and document.read_text() == text
    assert "| v " in text and "crashed" in text and "1.20" in text


def test_one_class_is_shown_with_the_means_of_all(tmp_path, monkeypatch):
    plan_of = conftest.synthetic_plan

    def two_classes(*words):
        plan = plan_of(*words)
        plan["workloads"][1]["class"] = "micro"
        return plan
    monkeypatch.setattr(conftest, "synthetic_plan", two_classes)
    publish_synthetic(tmp_path / "results/run", workloads=("w", "v"))
    text = readme.rewritten(MARKED.replace("begin run", "begin run trace"), tmp_path / "results")
    assert "| w " in text and "| v " not in text
    assert "*geometric mean, 1 trace*" in text and "*geometric mean, 1 micro*" in text
    with pytest.raises(Trouble, match="no workload of class threaded; there are: trace, micro"):
        readme.rewritten(MARKED.replace("begin run", "begin run threaded"), tmp_path / "results")


def test_a_typed_number_is_noticed(results, tmp_path):
    document = tmp_path / "README.md"
    document.write_text(MARKED)
    run(document, "--results", results)
    document.write_text(document.read_text().replace("1.20", "1.19", 1))
    status, said = run(document, "--results", results, "--check")
    assert status == 1 and "scripts/readme-table" in said


@pytest.mark.parametrize("text, says", [
    ("nothing here", "no markers"),
    ("<!-- results:begin run -->\n", "results:end"),
    ("<!-- results:begin -->\n<!-- results:end -->", "needs a NAME"),
    ("<!-- results:begin other -->\n<!-- results:end -->", "no such results folder; there are: run"),
])
def test_bad_markers_are_told(results, text, says):
    with pytest.raises(Trouble, match=says):
        readme.rewritten(text, results)


def test_damaged_results_are_told(results, tmp_path):
    (results / "run/rounds/003.json").write_text("{")
    document = tmp_path / "README.md"
    document.write_text(MARKED)
    status, said = run(document, "--results", results)
    assert status == 2 and "003.json" in said and said.count("\n") == 1 and document.read_text() == MARKED


def test_no_document_is_told(results, tmp_path):
    status, said = run(tmp_path / "none.md", "--results", results)
    assert status == 2 and "none.md" in said

"""The picture holds the numbers of `stat --json`."""

import json
import re
import xml.etree.ElementTree as tree


from conftest import heapgauge

SVG = "{http://www.w3.org/2000/svg}"


def test_picture_holds_the_numbers(recorded, tmp_path):
    facts = json.loads(heapgauge("stat", "--json", recorded).stdout)
    heapgauge("stat", f"--plot={tmp_path / 'p.svg'}", recorded)
    root = tree.parse(tmp_path / "p.svg").getroot()
    said = [title.text for title in root.iter(SVG + "title")]
    assert (f"at most {facts['live_bytes_peak']} bytes, at operation "
            f"{facts['live_bytes_peak_operation']}") in said
    counts = [int(n) for n in re.findall(r"from [^:]*: (\d+) \(", "\n".join(said))]
    expected = [c["count"] for name in ("sizes_bytes", "lifetimes_operations") for c in facts[name]]
    assert [n for n in counts if n] == expected
    (area,) = root.iter(SVG + "polygon")
    points = [tuple(map(float, p.split(","))) for p in area.get("points").split()]
    assert len(points) > 400
    floor, top = max(y for _, y in points), min(y for _, y in points)
    assert 190 < floor - top <= 200, "the peak is as high as the panel, give or take a point"


def test_title_is_escaped_and_empty_trace_drawn(tmp_path):
    (tmp_path / "t.txt").write_text("# program: <&>\nt0 free(NULL)\n")
    heapgauge("show", "--parse", tmp_path / "t.txt", "-o", tmp_path / "t.hgt")
    heapgauge("stat", f"--plot={tmp_path / 'p.svg'}", tmp_path / "t.hgt")
    texts = [text.text for text in tree.parse(tmp_path / "p.svg").getroot().iter(SVG + "text")]
    assert "<&>" in texts and texts.count("none") == 2


def test_cut_trace_and_bad_path_are_told(recorded, tmp_path):
    (tmp_path / "cut.hgt").write_bytes(recorded.read_bytes()[:-100])
    heapgauge("stat", f"--plot={tmp_path / 'p.svg'}", tmp_path / "cut.hgt", status=2)
    assert not (tmp_path / "p.svg").exists()
    assert "cannot write" in heapgauge("stat", "--plot=/nonexistent/p.svg", recorded, status=2).stderr

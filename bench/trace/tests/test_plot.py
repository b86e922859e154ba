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
    labels = [text.text for text in root.iter(SVG + "text") if text.get("class") == "end"][:5]
    number, unit = labels[4].split()
    axis_top = float(number) * 1024 ** ("  KM".index(unit[0]) - 1)
    assert axis_top >= facts["live_bytes_peak"]
    assert abs((floor - top) - 200 * facts["live_bytes_peak"] / axis_top) < 10, "drawn to scale"
    assert all(len(label.split()[0]) <= 4 for label in labels), "the lines stand at round numbers"


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

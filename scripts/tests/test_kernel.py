"""Heapgauge in a real kernel: the driver's parts by hand, then guests, where their packages can be had."""

import json
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest
from conftest import ROOT
from heapgauge.errors import Trouble
from heapgauge.kernel import build, guest, run, story

RUN = ROOT / "scripts/kernel-run"


# ---- parts ----

def test_a_file_system_image_is_what_cpio_reads(tmp_path):
    image = build.cpio([("dev", 0o40755, b""), ("jobs", 0o100644, b"info\n"), ("odd name", 0o100600, b"x" * 4097)])
    assert len(image) % 4 == 0 and image.count(b"070701") == 4 and b"TRAILER!!!" in image
    at, seen = 0, {}
    while at < len(image):  # by the format's description: 13 numbers of 8 hex digits, name, bytes, each padded to 4
        numbers = [int(image[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        name_end = at + 110 + numbers[11]
        name = image[at + 110:name_end - 1].decode()
        begin = name_end + -name_end % 4
        seen[name] = (numbers[1], image[begin:begin + numbers[6]])
        at = begin + numbers[6] + -numbers[6] % 4
    assert seen["jobs"] == (0o100644, b"info\n") and len(seen["odd name"][1]) == 4097
    if shutil.which("cpio"):
        listed = subprocess.run(["cpio", "-t", "--quiet"], input=image, capture_output=True)
        assert listed.stdout.split(b"\n")[:3] == [b"dev", b"jobs", b"odd name"]


def test_answers_and_alarms_are_read_from_a_console():
    jobs = ["info", "generate krealloc 0 1 10 4 64", "survey krealloc 96 64 0 64"]
    text = ("boot\r\nHG 1 500 release=6.1.0 kmalloc_min=8\r\n"
            "HG 2 9000 verdict=broken ops=2 digest=00ab item=C65 at=1 op=t0 s1 = alloc(96, 64) text=alignment 64 is owed\r\n"
            "[    1.2] BUG kmalloc-64 (Tainted: G): Right Redzone overwritten\r\nHG 3 70 blocks=64 less=31 least=32\r\nHG end\r\n")
    answers, alarms, ended = guest.parse_log(text, jobs)
    assert ended and [a.ns for a in answers] == [500, 9000, 70]
    assert answers[1].fields == {"verdict": "broken", "ops": 2, "digest": "00ab", "item": "C65", "at": 1,
                                 "op": "t0 s1 = alloc(96, 64)", "text": "alignment 64 is owed"}
    assert alarms == ["BUG kmalloc-64 (Tainted: G): Right Redzone overwritten"]
    assert guest.parse_log("HG 1 5 x=1\nHG 99 5 x=1\n", jobs)[2] is False
    assert guest.parse_log("[ 3.1] Kernel panic - not syncing: Fatal exception", jobs)[1]
    assert guest.parse_log("HG error cannot load the module: Exec format error", jobs)[1]


def test_vectors_are_read_from_a_console():
    text = "[    2.1] heapgauge_vectors: 96/32 0 of 64\r\n[    2.2] heapgauge_vectors: 4096/4096 3 of 64\r\nHG end"
    assert guest.parse_vectors(text) == [(96, 32, 0, 64), (4096, 4096, 3, 64)]


def test_classes_are_summed_up():
    runs = [(1, 8, 8), (9, 16, 16), (65, 96, 32), (97, 128, 128), (129, 8200, 64)]
    least = story.least_by_class(runs)
    assert (least[8], least[16], least[96], least[128], least[192], least[8192]) == (8, 16, 32, 128, 64, 64)
    assert 32 not in least  # nothing was seen there


def test_promises_by_release():
    assert story.owed(96, "6.1.0-56-cloud-amd64") == 8 and story.owed(96, "6.12.117+deb12-cloud-amd64") == 32
    assert story.owed(128, "6.1.176") == 128 and story.owed(40, "6.11") == 8 and story.owed(4096, "5.4") == 4096

    def answers(release, least):
        return [guest.Answer("info", 1, "", {"release": release}),
                guest.Answer(f"survey kmalloc 96 1 0 {story.PROMISE_BLOCKS}", 1, "", {"blocks": 17, "least": least})]
    assert story.broken_promises(answers("6.1.176", 8)) == []
    assert story.broken_promises(answers("6.12.0", 8)) == [("kmalloc", 96, 8, 32)]
    assert story.broken_promises(answers("6.12.0", 32)) == []


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in build.KERNELS:
        with pytest.raises(Trouble, match="scripts/setup kernel"):
            build.require_tools(build.KERNELS[name])


def test_a_processor_that_a_kernel_cannot_run_on_is_said():
    with pytest.raises(Trouble, match="AMX.*--kernel=6.1"):
        build.require_processor(build.KERNELS["uml"], ["fpu", "amx_tile"])
    build.require_processor(build.KERNELS["uml"], ["fpu", "avx512f"])
    build.require_processor(build.KERNELS["6.1"], ["fpu", "amx_tile"])


def test_usage(tmp_path):
    def ends(*words):
        return subprocess.run([RUN, *words], capture_output=True, text=True, timeout=60)
    shown = ends("--help")
    assert shown.returncode == 0 and "Exit status" in shown.stdout
    assert ends("--kernel=5.0").returncode == 2
    missing = ends("no-such.hgt")
    assert missing.returncode == 2 and "no-such.hgt" in missing.stderr and missing.stderr.count("\n") == 1
    (tmp_path / "text").write_text("hello")
    assert "neither a trace" in ends(tmp_path / "text").stderr


def test_a_cache_that_cannot_be_written():
    done = subprocess.run([RUN], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "HEAPGAUGE_KERNEL_CACHE": "/proc/nowhere"})
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "/proc/nowhere" in done.stderr


# ---- guests ----

def booted(name, *words, timeout=280):
    """scripts/kernel-run on that kernel; skips where packages can't be had."""
    try:
        build.require_tools(build.KERNELS[name])
        build.require_processor(build.KERNELS[name])
        build.fetch(build.KERNELS[name], print)
    except Trouble as trouble:
        pytest.skip(f"{trouble}")
    environment = {**os.environ}
    if os.environ.get("HEAPGAUGE_REAL"):
        environment["HEAPGAUGE"] = os.environ["HEAPGAUGE_REAL"]
    return subprocess.run([RUN, f"--kernel={name}", *map(str, words)], capture_output=True, text=True, timeout=timeout,
                          env=environment)


@pytest.fixture(scope="module")
def uml(tmp_path_factory):
    """One boot of user-mode Linux with everything asked: its output folder."""
    folder = tmp_path_factory.mktemp("uml")
    done = booted("uml", "--survey", "--faults", "--ops=1M", f"--output={folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done


def test_a_million_operations_find_what_is_broken_and_nothing_else(uml):
    record = json.loads((uml[0] / "uml.json").read_text())
    campaign = record["campaign"]
    assert campaign["krealloc_aligned"]["verdict"] == "clean" and campaign["krealloc_aligned"]["ops"] == 1000000
    assert campaign["krealloc"]["item"] in ("C65", "C68") and "alignment" in campaign["krealloc"]["text"]
    found = {name: verdict.get("item") for name, verdict in campaign.items() if name.startswith("fault-")}
    assert set(found) == {"fault-unpadded", "fault-prefix", "fault-dirty", "fault-twice"}
    assert found["fault-prefix"] == "C68" and found["fault-dirty"] == "C67" and found["fault-twice"] == "C4"


def test_the_story_holds_in_this_kernel(uml):
    """Never a count: which slots are free is random. None or some of 128."""
    record = json.loads((uml[0] / "uml.json").read_text())
    cells = record["story"]
    for size, align in story.LAYOUTS:
        assert cells[f"krealloc_aligned {size}/{align}"] == [0, 0]
    for layout in ("96/64", "192/128", "20/4096", "8/64"):
        assert all(cells[f"krealloc {layout}"])
    assert all(cells["fault-unpadded 8/64"]) and cells["krealloc_padded 96/64"] == [0, 0]
    assert record["broken_promises"] == []
    assert record["classes"]["kmalloc"]["96"] == 32 and record["classes"]["kmalloc"]["128"] == 128


def test_the_same_stream_is_the_same_in_user_space(uml):
    """The digest of a clean stream, from the kernel and from `heapgauge check`."""
    program = Path(os.environ.get("HEAPGAUGE_REAL") or run.program() or "/nonexistent")
    if not program.exists():
        pytest.skip("needs the program: cmake --workflow --preset dev")
    verdict = uml[0] / "user.json"
    subprocess.run([program, "check", "--layout", "--backend=core", "--seed=1", "--ops=1000000", f"--live={run.LIVE}",
                    f"--size-max={run.SIZE_MAX}", f"--json={verdict}"], check=True, capture_output=True, timeout=120)
    record = json.loads((uml[0] / "uml.json").read_text())
    assert json.loads(verdict.read_text())["digest"] == record["campaign"]["krealloc_aligned"]["digest"]


def test_a_recorded_trace_and_a_bad_backend():
    """A program asks malloc for at most 16: more than plain krealloc gives only where debugging moves it."""
    done = booted("uml", ROOT / "results/traces/xz.hgt", "--backend=krealloc_aligned,krealloc")
    if done.returncode == 2:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout
    assert "krealloc_aligned  clean" in done.stdout and "user space" not in done.stdout
    wrong = booted("uml", "--backend=nonsense")
    assert wrong.returncode == 1 and "no such backend" in wrong.stdout


def test_a_red_zone_overwritten_is_a_finding():
    """The overflow as a backend under test, not as a planted fault: the guest's own report is the finding."""
    done = booted("uml", "--debug", "--backend=fault-overflow", "--ops=2000")
    assert done.returncode == 1 and "FINDING in the guest" in done.stdout
    assert "edzone overwritten" in done.stdout and ".log" in done.stdout


def test_an_oops_is_a_finding():
    done = booted("uml", "--backend=fault-oops", "--ops=2000")
    assert done.returncode == 1 and "FINDING in the guest: Kernel panic" in done.stdout, done.stdout


@pytest.mark.parametrize("count, size", [(400, 4 << 20), (100000, 16 << 10)])
def test_a_stream_that_wants_more_than_the_guest_has_is_refused(count, size, tmp_path):
    """NULL, not a kernel that kills its only process: a guest has 768 MB."""
    ops = b"".join(struct.pack("<BBHIQQ", 13, 0, 0, slot, size, 8) for slot in range(count))
    (tmp_path / "full.flat").write_bytes(b"HGFLAT1\n" + struct.pack("<Q", count) + ops)
    done = booted("uml", tmp_path / "full.flat", "--backend=krealloc_aligned")
    if done.returncode == 2:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0 and " clean " in done.stdout, done.stdout
    assert int(done.stdout.split(" ops, ")[1].split()[0]) > 0


def test_a_hang_is_a_finding():
    done = booted("uml", "--ops=4000M", "--backend=krealloc_aligned", "--timeout=5", timeout=60)
    assert done.returncode == 1 and "the guest hung or died after" in done.stdout


def test_a_run_that_is_ended_ends_its_guest(tmp_path):
    booted("uml", "--ops=1k")  # built
    child = subprocess.Popen([RUN, "--ops=4000M", "--backend=krealloc_aligned"], stderr=subprocess.PIPE, text=True)
    if "booting" not in child.stderr.readline():
        child.wait()
        pytest.skip("user-mode Linux can't be had here: scripts/kernel-run says why")
    guests = []
    for _ in range(100):
        guests = subprocess.run(["pgrep", "-P", str(child.pid)], capture_output=True, text=True).stdout.split()
        if guests:
            break
        time.sleep(0.05)
    child.terminate()
    assert child.wait(timeout=20) == 2 and guests
    assert not any(Path(f"/proc/{pid}").exists() for pid in guests)


def test_an_emulated_kernel():
    done = booted("6.1", "--debug", "--faults", "--ops=20k")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "emulated" in done.stdout and "found by the kernel's red zone" in done.stdout


@pytest.mark.skipif(not os.environ.get("HG_LONG"), reason="minutes of emulation: HG_LONG=1")
@pytest.mark.parametrize("name", ["6.1", "6.12"])
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_the_story_in_emulated_kernels(name, debug, tmp_path):
    """What 6.1 breaks with slub debugging and 6.12 keeps; what holds in both."""
    done = booted(name, *debug, "--survey", "--faults", "--ops=200k", f"--output={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    cells = json.loads(next(tmp_path.glob("*.json")).read_text())["story"]
    padding_fails = name == "6.1" and bool(debug)
    for size, align in story.LAYOUTS:
        assert cells[f"krealloc_aligned {size}/{align}"] == [0, 0]
        wanted = padding_fails and (size, align) in ((96, 32), (160, 32), (192, 64))
        assert all(cells[f"krealloc_padded {size}/{align}"]) == wanted
    assert all(cells["krealloc 96/64"])


@pytest.mark.skipif(not (os.environ.get("HG_LONG") or (build.KERNELS["rust"].folder / "source/built").exists()),
                    reason="builds a kernel, ten minutes of CPU: HG_LONG=1, or once scripts/kernel-run --rust")
def test_the_kernels_own_rust_allocator():
    try:
        build.require_tools(build.KERNELS["rust"])
    except Trouble as trouble:
        pytest.skip(f"{trouble}")
    done = subprocess.run([RUN, "--rust", "--debug", "--faults", "--ops=10k"], capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rust_alloc        clean" in done.stdout and "rg_alloc          broken" in done.stdout
    assert done.stdout.count(" 0 of 64 less aligned than their type") == 5


def test_a_guest_that_stays():
    """Commands over a socket pair: what a fuzzer outside the guest uses."""
    try:
        built = build.build("uml", print)
    except Trouble as trouble:
        pytest.skip(f"{trouble}")
    head = b"HGFLAT1\n" + struct.pack("<Q", 2)
    ops = struct.pack("<BBHIQQ", 13, 0, 0, 0, 96, 64) + struct.pack("<BBHIQQ", 16, 0, 0, 0, 0, 0)
    with guest.Server(built) as server:
        assert server.ask("info").fields["release"].startswith("6.")
        for _ in range(50):
            assert server.ask("play krealloc_aligned 0", head + ops).fields["verdict"] == "clean"
        assert server.ask("play krealloc_aligned 0", head + ops[:-1]).text == "error=no flat stream"
        assert server.ask("nonsense").text.startswith("error=")


def test_fuzzing_a_guest_finds_plain_krealloc_and_nothing_on_the_mended_one():
    """User space guides, the kernel judges."""
    if not Path(os.environ.get("HEAPGAUGE_REAL") or run.program() or "/nonexistent").exists():
        pytest.skip("needs the program: cmake --workflow --preset dev")
    sound = booted("uml", "--fuzz=3")
    assert sound.returncode == 0 and "nothing found" in sound.stdout, sound.stdout + sound.stderr
    inputs = next(line.split() for line in sound.stdout.splitlines() if line.split()[1:2] == ["kernel"])
    assert int(inputs[2]) > 10 and int(inputs[4]) >= 0
    plain = booted("uml", "--fuzz=3", "--backend=krealloc")
    assert plain.returncode == 1 and "C65: krealloc:" in plain.stdout


def test_inputs_of_the_fuzz_targets_become_flat_streams(tmp_path):
    program = Path(os.environ.get("HEAPGAUGE_REAL") or run.program() or "/nonexistent").with_name("fuzz_flat")
    if not program.exists():
        pytest.skip("needs fuzz_flat: cmake --workflow --preset dev")
    seeds = sorted((ROOT / "fuzz/corpus/layout").iterdir())[:5]
    subprocess.run([program, "layout", tmp_path, *seeds], check=True)
    assert subprocess.run([program, "no-such-target", tmp_path, seeds[0]], capture_output=True).returncode == 2
    assert subprocess.run([program, "layout", "/dev/full", seeds[0]], capture_output=True).returncode == 2
    done = booted("uml", *sorted(tmp_path.glob("*.flat")), "--backend=krealloc_aligned")
    if done.returncode == 2:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0 and done.stdout.count("krealloc_aligned  clean") == 5, done.stdout


def test_the_published_page_is_made_of_its_records():
    folder = ROOT / "results/kernel"
    assert story.page(folder) == (folder / "README.md").read_text(), "scripts/kernel-run --page=results/kernel"
    for record in map(json.loads, (path.read_text() for path in folder.glob("*.json"))):
        assert record["ended"] or record["alarms"]
        if record["kernel"] == "rust":
            assert record["campaign"]["rust_alloc"]["verdict"] == "clean" and record["campaign"]["rg_alloc"]["item"] == "C65"
            assert len(record["vectors"]) == 5 and not any(bad for _, _, bad, _ in record["vectors"])
            continue
        for (size, align) in story.LAYOUTS:
            assert record["story"][f"krealloc_aligned {size}/{align}"] == [0, 0]
        assert record["campaign"]["krealloc_aligned"]["verdict"] == "clean"

"""`scripts/kernel-run`: boots a real kernel, has streams played in it by the module, brings the verdicts back."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from . import build, guest, story
from ..errors import EXIT_FINDING, EXIT_TROUBLE, EXIT_WELL, Trouble
from ..plan import is_trace

SOUND = ["krealloc_aligned", "kmem_cache"]  # those that promise a layout's alignment
FAULTS = ["krealloc", "fault-unpadded", "fault-prefix", "fault-dirty", "fault-twice"]
DEBUG_FAULTS = ["fault-overflow"]           # without red zones it only breaks the guest
LIVE, SIZE_MAX = 400, 4096
LOG_LINES = 200


def say(line):
    print(line, file=sys.stderr, flush=True)


def program():
    """The heapgauge program of this tree; None if it is not built."""
    named = os.environ.get("HEAPGAUGE")
    places = [Path(named)] if named else [build.ROOT / "build" / p / "bin/heapgauge" for p in ("release", "dev")]
    return next((p for p in places if p.exists()), None)


def user_space(*words):
    """The verdict of the same stream on the reference allocator in user space; None without the program."""
    if not program():
        return None
    with tempfile.TemporaryDirectory(prefix="heapgauge-") as place:
        verdict = Path(place) / "verdict.json"
        subprocess.run([program(), "check", "--backend=core", *words, f"--json={verdict}"], capture_output=True)
        return json.loads(verdict.read_text()) if verdict.exists() else None


def flat_files(paths, place):
    """[(name, flat stream)]: traces are exported, flat streams taken as they are."""
    files = []
    for number, path in enumerate(map(Path, paths)):
        if not path.exists():
            raise Trouble(f"{path}: no such file")
        flat = path
        if is_trace(path.name):
            if not program():
                raise Trouble(f"{path}: a trace is converted by the program: cmake --workflow --preset release")
            flat = Path(place) / f"{number}.flat"
            done = subprocess.run([program(), "export", path, "--to=flat", "-o", flat], capture_output=True, text=True)
            if done.returncode:
                raise Trouble(done.stderr.strip())
        elif path.read_bytes()[:8] != b"HGFLAT1\n":
            raise Trouble(f"{path}: neither a trace (.hgt) nor a flat stream; fuzz_flat converts inputs of the fuzz targets")
        files.append((path, flat))
    return files


def plan(options, kernel, files):
    """All commands of one guest, in order."""
    jobs = ["info"]
    if options.survey:
        jobs += story.jobs() + story.promise_jobs() + story.class_jobs(kernel.emulated)
    backends = options.backend
    jobs += [f"play {backend} 0 < /stream{i}" for i in range(len(files)) for backend in backends]
    if not files or options.ops_given:
        jobs += [f"generate {b} 0 {options.seed} {options.ops} {LIVE} {SIZE_MAX}" for b in backends]
    if options.faults:
        faults = FAULTS + (["rg_alloc"] if kernel.name == "rust" else []) + (DEBUG_FAULTS if options.debug else [])
        jobs += [f"generate {b} 0 {options.seed} {options.ops} {LIVE} {SIZE_MAX}" for b in faults if b not in backends]
    return jobs


def rate(answer):
    """Operations a second of one answer."""
    return answer.fields.get("ops", 0) / max(answer.ns, 1) * 1e9


def tell_answer(answer, kernel, debug):
    """One line for people."""
    words, fields = answer.command.split(), answer.fields
    where = f"{kernel.name}{' slub_debug=FZ' if debug else ''}"
    timing = f"{rate(answer):,.0f} ops/s{' emulated' if kernel.emulated else ''}"
    if words[0] in ("play", "generate"):
        line = f"{where}  {words[1]:17} {fields.get('verdict', answer.text):7} {fields.get('ops', 0)} ops, " \
               f"{fields.get('failed', 0)} refused, {timing}"
        if fields.get("verdict") == "broken":
            line += f"\n    {fields['item']} at operation {fields['at']}: {fields.get('op')}: {fields.get('text')}"
        return line
    return f"{where}  {answer.command}: {answer.text}"


def tell_survey(outcome, where):
    """The story's cells and the size classes, for people."""
    cells = story.cells(outcome.answers)
    if not cells:
        return
    print(f"{where}: of {story.BLOCKS} blocks less aligned than asked (fresh / grown from 1 byte)")
    print(f"  {'layout':>10}" + "".join(f"{rule:>18}" for rule in story.RULES))
    for size, align in story.LAYOUTS:
        row = ("{} / {}".format(*cells.get((rule, size, align), ("?", "?"))) for rule in story.RULES)
        print(f"  {f'{size}/{align}':>10}" + "".join(f"{cell:>18}" for cell in row))
    for backend in ("kmalloc", "krealloc", "kvmalloc"):
        least = story.least_by_class(story.classes(outcome.answers, backend))
        print(f"  {backend}: least alignment by class " + " ".join(f"{c}:{a}" for c, a in least.items()))


def differs(options, answer, files, known):
    """The digest of the same stream in user space, where it is another; None if it is the same or not known."""
    words = answer.command.split()
    # A libc trace's operations on a block that could not be had are left out: another digest.
    if answer.fields.get("verdict") != "clean" or (words[0] == "play" and answer.fields.get("failed")):
        return None
    stream = words[-1].removeprefix("/stream") if words[0] == "play" else "seeded"
    if stream not in known:
        path = files[int(stream)][0] if words[0] == "play" else None
        if path is None:
            known[stream] = user_space("--layout", f"--seed={options.seed}", f"--ops={options.ops}", f"--live={LIVE}",
                                       f"--size-max={SIZE_MAX}")
        else:
            known[stream] = user_space("--face=layout", "--single", str(path)) if is_trace(path.name) else None
    digest = known[stream] and known[stream]["digest"]
    return digest if digest and digest != answer.fields["digest"] else None


def judge(options, kernel, debug, outcome, jobs, files):
    """Prints what came of a guest; how many findings."""
    findings = 0
    where = f"{kernel.name}{' slub_debug=FZ' if debug else ''}"
    tell_survey(outcome, where)
    known = {}
    for answer in outcome.answers:
        words = answer.command.split()
        if words[0] not in ("play", "generate"):
            continue
        print(tell_answer(answer, kernel, debug))
        verdict, is_fault = answer.fields.get("verdict"), words[1] not in options.backend
        if is_fault and words[1] != "fault-overflow" and verdict != "broken":
            print(f"    a planted fault was not found: {words[1]}")
            findings += 1
        if not is_fault and verdict != "clean":
            findings += 1
        if not is_fault and (digest := differs(options, answer, files, known)):
            print(f"    the stream's digest is {answer.fields['digest']}, and {digest} in user space")
            findings += 1
    for backend, size, least, promised in story.broken_promises(outcome.answers):
        print(f"{where}  C74: {backend}({size}) is aligned to {least} only, and this release promises {promised}")
        findings += 1
    for size, align, bad, count in outcome.vectors:
        print(f"{where}  Rust vectors of {size}/{align}: {bad} of {count} less aligned than their type")
        findings += bad > 0
    if kernel.name == "rust" and not outcome.vectors:
        print(f"{where}  FINDING: the Rust module counted nothing; see {outcome.log}")
        findings += 1
    red_zone = next((alarm for alarm in outcome.alarms if "edzone overwritten" in alarm), None)
    planted = options.faults and debug and red_zone
    if planted:
        print(f"{where}  fault-overflow    found by the kernel's red zone: {red_zone}")
    elif options.faults and debug:
        print("    a planted fault was not found: fault-overflow")
        findings += 1
    missing = [job for job in jobs if job not in {a.command for a in outcome.answers}]
    if planted:
        missing = [job for job in missing if "fault-overflow" not in job]
    if (outcome.trouble and not planted) or missing:
        what = outcome.trouble or f"{len(missing)} commands without an answer, the first: {missing[0]}"
        print(f"{where}  FINDING in the guest: {what}\n    {outcome.log}")
        findings += 1
    return findings


def run_guest(options, name, debug, files):
    """One kernel, one boot: (findings, its record)."""
    built = build.build(name, say)
    kernel = built.kernel
    jobs = plan(options, kernel, files)
    say(f"{name}: booting, {len(jobs)} commands")
    outcome = guest.run(built, jobs, {f"stream{i}": flat for i, (_, flat) in enumerate(files)}, debug, options.timeout)
    for answer in outcome.answers:
        answer.command = answer.command.strip()
    findings = judge(options, kernel, debug, outcome, jobs, files)
    rates = [rate(a) for a in outcome.answers if a.fields.get("verdict") == "clean" and a.fields["ops"] >= 10000]
    say(f"{name}: {outcome.seconds:.1f} s" + (f", {min(rates):,.0f} to {max(rates):,.0f} ops/s" if rates else "") +
        (" (emulated)" if kernel.emulated else ""))
    return findings, story.record(name, outcome), outcome


def fuzz_words(options, folder):
    """The command that fuzzes, guided by this process's side of it."""
    if options.libfuzzer:
        engine = build.ROOT / "build/fuzz/bin/fuzz_kernel"
        if not engine.exists():
            raise Trouble(f"{engine} is not there: cmake --workflow --preset fuzz")
        (folder / "corpus").mkdir(parents=True, exist_ok=True)
        return [engine, f"-max_total_time={options.fuzz:.0f}", f"-artifact_prefix={folder}/", f"-seed={options.seed}",
                folder / "corpus", build.ROOT / "fuzz/corpus/kernel"]
    if not program():
        raise Trouble("--fuzz needs the program: cmake --workflow --preset release")
    return [program(), "fuzz", "--target=kernel", "--backend=core", f"--time={options.fuzz}", f"--seed={options.seed}",
            "-o", folder]


def fuzz(options, name, debug):
    """Guided fuzzing of one kernel's backend; how many findings (0 or 1)."""
    built = build.build(name, say)
    folder = build.KERNELS[name].folder / f"fuzz{'-debug' if debug else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    words = [str(w) for w in fuzz_words(options, folder)]
    backend = options.backend[0]
    where = f"{name}{' slub_debug=FZ' if debug else ''}"
    with guest.Server(built, debug) as server:
        fd = server.ours.fileno()
        say(f"{where}: fuzzing {backend} for {options.fuzz:.0f} s; what is found goes to {folder}")
        server.ours.setblocking(True)
        done = subprocess.run(words, pass_fds=[fd], cwd=folder, stdin=subprocess.DEVNULL,
                              env={**os.environ, "HEAPGAUGE_KERNEL": f"fd:{fd}", "HEAPGAUGE_KERNEL_BACKEND": backend})
        alarms = guest.parse_log(server.log.read_text(errors="replace"), [])[1]
    for alarm in alarms[:1]:
        print(f"{where}  FINDING in the guest: {alarm}\n    {server.log}")
    print(f"{where}  {backend}: {'found something' if done.returncode or alarms else 'nothing found'}")
    if done.returncode == EXIT_TROUBLE:
        raise Trouble("the fuzzer could not run: above")
    return int(bool(done.returncode or alarms))


def whole_number(text):
    """200k, 1M, 5000."""
    factor = {"k": 1000, "M": 1000000}.get(text[-1:], 1)
    return int(text.rstrip("kM")) * factor


def parser():
    made = argparse.ArgumentParser(
        prog="scripts/kernel-run", description="Plays streams inside a real kernel, under the oracle: boots Debian's "
        "user-mode Linux, or Debian's 6.1 or 6.12 emulated by QEMU, with Heapgauge's module in it. Packages are fetched "
        "into build/kernel and unpacked there; nothing is installed. An oops, a red zone overwritten or a hang in the "
        "guest is a finding, with its log.",
        epilog="Exit status: 0 every promise was kept (and every planted fault found); 1 a finding; 2 usage or environment.")
    made.add_argument("streams", nargs="*", metavar="STREAM", help="traces (.hgt) or flat streams to play")
    made.add_argument("--kernel", action="append", choices=["uml", "6.1", "6.12"], help="default: uml; may be repeated")
    made.add_argument("--rust", action="store_const", dest="kernel", const=["rust"], help="a kernel with CONFIG_RUST, built "
                      "here in ten minutes of CPU: its own Rust allocator (rust_alloc; rg_alloc is plain krealloc)")
    made.add_argument("--debug", action="store_true", help="boot with slub_debug=FZ: red zones and checks")
    made.add_argument("--backend", default=",".join(SOUND), type=lambda text: text.split(","), metavar="A,B",
                      help=f"backends to play on ({','.join(SOUND)}); also kmalloc, krealloc, kvmalloc, krealloc_padded")
    made.add_argument("--ops", type=whole_number, metavar="N", help="a seeded stream of N operations too (100k)")
    made.add_argument("--seed", type=int, default=1, metavar="N", help="its seed (1)")
    made.add_argument("--faults", action="store_true", help="play it on the planted faults too: each must be found")
    made.add_argument("--survey", action="store_true", help="the story's table, and the alignment of each size class")
    made.add_argument("--fuzz", type=float, metavar="S", help="guided fuzzing for S seconds: each input is played in user "
                      "space, which guides, and in a guest that stays, on the first backend")
    made.add_argument("--libfuzzer", action="store_true", help="with --fuzz: by libFuzzer (preset fuzz), not by ours")
    made.add_argument("--output", type=Path, metavar="FOLDER", help="keep each run's record and log there, for --page")
    made.add_argument("--page", type=Path, metavar="FOLDER", help="only put the records' tables into FOLDER/README.md")
    made.add_argument("--timeout", type=int, default=300, metavar="S", help="seconds a guest may take (300)")
    return made


def keep(folder, name, debug, record, outcome):
    """The record and the console's text, for a page: of a red zone's report only the beginning."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name}{'-debug' if debug else ''}"
    (folder / f"{stem}.json").write_text(json.dumps(record, indent=1) + "\n")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc|[^\x20-\x7e\n]", "", outcome.log.read_text(errors="replace")).splitlines()
    cut = [f"({len(lines) - LOG_LINES} more lines)"] if len(lines) > LOG_LINES else []
    (folder / f"{stem}.log").write_text("".join(f"{line.rstrip()}\n" for line in lines[:LOG_LINES] + cut))


def main(argv):
    """Runs `scripts/kernel-run` and returns its exit status."""
    options = parser().parse_args(argv)
    if options.kernel == ["rust"] and options.backend == SOUND:
        options.backend = ["rust_alloc", *SOUND]
    options.ops_given = options.ops is not None
    options.ops = options.ops or 100000
    findings = 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TROUBLE))  # so that guests are stopped
    try:
        if options.page:
            text = story.page(options.page)
            (options.page / "README.md").write_text(text)
            return EXIT_WELL
        with tempfile.TemporaryDirectory(prefix="heapgauge-") as place:
            files = flat_files(options.streams, place)
            for name in options.kernel or ["uml"]:
                if options.fuzz:
                    findings += fuzz(options, name, options.debug)
                    continue
                found, record, outcome = run_guest(options, name, options.debug, files)
                findings += found
                if options.output:
                    keep(options.output, name, options.debug, record, outcome)
    except (Trouble, OSError) as trouble:  # a full disk, a cache that can't be written
        say(f"kernel-run: {trouble}")
        return EXIT_TROUBLE
    return EXIT_FINDING if findings else EXIT_WELL

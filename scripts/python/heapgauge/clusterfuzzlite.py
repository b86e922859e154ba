"""Would OSS-Fuzz and ClusterFuzzLite take our targets? Their build step with their variables, then their rules.

The rules are those of the engines' own check of a build (every target starts from /, is instrumented by the sanitizer
asked for and by no other, needs no library that the runner lacks, has a valid name) and those we give ourselves: seeds,
dictionary and options beside each target, nothing written outside. The modes: code-change and batch run a target on its
corpus and must keep what crashes; prune merges a corpus; coverage builds with profiles and must yield a report.
"""

import argparse
import configparser
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from .errors import EXIT_FINDING, EXIT_TROUBLE, EXIT_WELL

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ("clang", "clang++", "zip", "objdump", "ldd")
TARGETS = ("layout", "libc", "threads", "environment", "native", "first", "parallel", "core_inside", "trace_reader")
NAME = re.compile(r"[A-Za-z0-9_-]+\Z")
# What the engines' base runner has, and what Debian's clang++ links instead of the libc++ in theirs.
LIBRARIES = re.compile(r"(linux-vdso|ld-linux[\w-]*|libc|libm|libdl|libpthread|librt|libgcc_s|libresolv|libstdc\+\+)\.so")
COMMON = "-O1 -fno-omit-frame-pointer -gline-tables-only -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION"
FLAGS = {
    "address": "-fsanitize=address -fsanitize-address-use-after-scope -fsanitize=fuzzer-no-link",
    "undefined": "-fsanitize=array-bounds,bool,builtin,enum,integer-divide-by-zero,null,object-size,return,"
                 "returns-nonnull-attribute,shift,signed-integer-overflow,unreachable,vla-bound "
                 "-fno-sanitize-recover=all -fsanitize=fuzzer-no-link",
    "memory": "-fsanitize=memory -fsanitize-memory-track-origins -fsanitize=fuzzer-no-link",
    "coverage": "-fprofile-instr-generate -fcoverage-mapping",
}
CALLS = {"address": "__asan_report_", "undefined": "__ubsan_handle_", "memory": "__msan_warning"}
FAULTY = "fault-align-mask:core"  # in which libc and layout must crash
LIBFUZZER_CRASHED = 77


class Broken(Exception):
    """A rule that does not hold; the text says which, and for what target."""


def missing_tools():
    return [tool for tool in TOOLS if not shutil.which(tool)]


def llvm_tool(name):
    """llvm-cov or llvm-profdata, also where only a version's name is in the PATH."""
    found = shutil.which(name) or next(iter(sorted(Path("/usr/lib").glob(f"llvm-*/bin/{name}"))), None)
    if not found:
        raise Broken(f"{name} is not installed: scripts/setup fuzz")
    return str(found)


def run(words, **options):
    """A command's end: status and what it said, both streams together."""
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=300, check=False, **options)
    return done.returncode, done.stdout


def must(words, what, **options):
    status, said = run(words, **options)
    if status != 0:
        raise Broken(f"{what}: status {status}\n{said[-2500:]}")
    return said


def build(folder, sanitizer):
    """Runs build.sh as the engine does. Returns OUT."""
    source, out, work = folder / "src", folder / "out", folder / "work"
    source.mkdir(parents=True)
    (source / "heapgauge").symlink_to(ROOT)
    flags = f"{COMMON} {FLAGS[sanitizer]}"
    environment = {"PATH": os.environ["PATH"], "SRC": str(source), "OUT": str(out), "WORK": str(work), "CC": "clang",
                   "CXX": "clang++", "CFLAGS": flags, "CXXFLAGS": flags, "SANITIZER": sanitizer,
                   "FUZZING_ENGINE": "libfuzzer", "LIB_FUZZING_ENGINE": "-fsanitize=fuzzer",
                   "ARCHITECTURE": "x86_64", "FUZZING_LANGUAGE": "c"}
    must(["bash", "-eu", ROOT / ".clusterfuzzlite" / "build.sh"], f"build.sh ({sanitizer})", env=environment)
    return out


def find_targets(out):
    """As the engine finds them: programs in OUT that hold the entry point's name."""
    return sorted(path for path in out.iterdir()
                  if os.access(path, os.X_OK) and not path.suffix and b"LLVMFuzzerTestOneInput" in path.read_bytes())


def environment_of(tmp, **more):
    """Little of ours, as in the runner: a HOME that holds nothing, sanitizers told to grant NULL."""
    options = "allocator_may_return_null=1:detect_leaks=0"
    return {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "TMPDIR": str(tmp), "ASAN_OPTIONS": options,
            "MSAN_OPTIONS": options, "UBSAN_OPTIONS": "print_stacktrace=1", **more}


def check_names(out, sanitizer):
    owed = {f"fuzz_{name}" for name in TARGETS if not (sanitizer == "memory" and name == "trace_reader")}
    found = {path.name for path in find_targets(out)}
    if found != owed:
        raise Broken(f"targets in OUT: {sorted(found)}, owed: {sorted(owed)}")
    for name in found:
        if not NAME.match(name):
            raise Broken(f"{name}: no valid name of a target")


def check_files(target):
    """Seeds, dictionary and options, each readable by who will read it. Returns the seeds' count."""
    with zipfile.ZipFile(f"{target}_seed_corpus.zip") as archive:
        if archive.testzip() or not archive.namelist():
            raise Broken(f"{target.name}: its seed corpus is damaged or empty")
        count = len(archive.namelist())
    options = configparser.ConfigParser()
    options.read(f"{target}.options")
    if int(options["libfuzzer"]["max_len"]) < 1 or int(options["libfuzzer"]["timeout"]) < 1:
        raise Broken(f"{target.name}: options without max_len and timeout")
    return count


def check_start(target, tmp):
    """Starts from / with the dictionary, plays a few inputs. Returns libFuzzer's count of edges."""
    said = must([target, "-seed=1337", "-runs=4", f"-dict={target}.dict"], f"{target.name} from /", cwd="/",
                env=environment_of(tmp))
    entries = re.search(r"Dictionary: (\d+) entries", said)
    if not entries or int(entries[1]) == 0:
        raise Broken(f"{target.name}: its dictionary was not read")
    edges = re.search(r"Loaded \d+ modules\s+\((\d+) inline", said)
    return int(edges[1]) if edges else 0


def check_instrumented(target, sanitizer):
    """Calls to the sanitizer asked for, and none to another. Returns how many."""
    code = must(["objdump", "-d", "--no-show-raw-insn", target], f"objdump {target.name}")
    calls = {name: len(re.findall(rf"call\s.*<{mark}", code)) for name, mark in CALLS.items()}
    if not calls[sanitizer]:
        raise Broken(f"{target.name}: not instrumented by {sanitizer}")
    others = {name: count for name, count in calls.items() if name != sanitizer and count > 50}
    if others:
        raise Broken(f"{target.name}: built for {sanitizer}, instrumented by {others}")
    return calls[sanitizer]


def check_libraries(target):
    for line in must(["ldd", target], f"ldd {target.name}").splitlines():
        library = Path(line.split()[0]).name
        if not LIBRARIES.match(library):
            raise Broken(f"{target.name} needs {library}, which the runner lacks")


def check_writes(target, tmp):
    """Nothing is made or changed outside the folder given. Needs strace; says so where it is not there."""
    if not shutil.which("strace"):
        return "not checked: strace is not installed"
    log = tmp / "strace"
    must(["strace", "-f", "-o", log, "-e", "trace=%file", target, "-runs=50", "-seed=1", f"-artifact_prefix={tmp}/"],
         f"{target.name} under strace", cwd="/", env=environment_of(tmp))
    changes = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|^\d+ +(mkdir|rename|unlink|link|symlink|chmod|truncate|creat)")
    for line in log.read_text(errors="replace").splitlines():
        path = re.search(r'"([^"]*)"', line)
        if path and changes.search(line) and " = -1 " not in line and \
                not path[1].startswith((str(tmp), "/dev/", "/proc/")):
            raise Broken(f"{target.name} writes outside: {line}")
    return "nothing"


def unpack(target, tmp):
    seeds = tmp / "seeds"
    with zipfile.ZipFile(f"{target}_seed_corpus.zip") as archive:
        archive.extractall(seeds)
    return seeds


def check_modes(target, seeds, tmp):
    """code-change and batch: some runs on a corpus. prune: a merge that loses no input it needs. Returns how many
    inputs are left of how many."""
    corpus, pruned = tmp / "corpus", tmp / "pruned"
    corpus.mkdir()
    pruned.mkdir()
    environment = environment_of(tmp)
    must([target, "-runs=0", seeds], f"{target.name} on its seeds", cwd=tmp, env=environment)
    must([target, "-runs=300", "-seed=1337", f"-dict={target}.dict", f"-artifact_prefix={tmp}/", corpus, seeds],
         f"{target.name}, a short campaign", cwd=tmp, env=environment)
    must([target, "-merge=1", pruned, corpus, seeds], f"{target.name}, corpus pruning", cwd=tmp, env=environment)
    before, after = len(list(corpus.iterdir())) + len(list(seeds.iterdir())), len(list(pruned.iterdir()))
    if not 0 < after <= before:
        raise Broken(f"{target.name}: {before} inputs pruned to {after}")
    return after, before


def check_crash(target, tmp):
    """What crashes must end with libFuzzer's status and leave its input where the engine looks for it."""
    status, said = run([target, "-seed=1337", "-runs=20000", f"-artifact_prefix={tmp}/"], cwd="/",
                       env=environment_of(tmp, HEAPGAUGE_BACKEND=FAULTY))
    kept = list(tmp.glob("crash-*"))
    if status != LIBFUZZER_CRASHED or len(kept) != 1 or " breaks C" not in said:
        raise Broken(f"{target.name} on {FAULTY}: status {status}, {len(kept)} inputs kept\n{said[-1500:]}")
    again, _ = run([target, kept[0]], cwd="/", env=environment_of(tmp, HEAPGAUGE_BACKEND=FAULTY))
    if again == 0:
        raise Broken(f"{target.name}: what it kept does not crash again")


def check_coverage(target, seeds, tmp):
    """A profile by each target, a report of lines. Returns (covered, all)."""
    raw, merged = tmp / "raw", tmp / "merged"
    must([target, "-runs=0", seeds], f"{target.name} on its seeds", cwd=tmp,
         env=environment_of(tmp, LLVM_PROFILE_FILE=str(raw)))
    must([llvm_tool("llvm-profdata"), "merge", "-sparse", raw, "-o", merged], "llvm-profdata")
    said = must([llvm_tool("llvm-cov"), "export", "-summary-only", f"-instr-profile={merged}", target], "llvm-cov")
    lines = re.search(r'"totals":.*?"lines":\{"count":(\d+),"covered":(\d+)', said)
    if not lines or int(lines[2]) == 0:
        raise Broken(f"{target.name}: a coverage report without lines")
    return int(lines[2]), int(lines[1])


def check_build(folder, sanitizer, say=print):
    """One build against all rules that concern it."""
    out = build(folder, sanitizer)
    check_names(out, sanitizer)
    for target in find_targets(out):
        with tempfile.TemporaryDirectory(prefix="hg-cfl-") as name:
            tmp = Path(name)
            seeds = unpack(target, tmp)
            if sanitizer == "coverage":
                covered, lines = check_coverage(target, seeds, tmp)
                say(f"{sanitizer:<10} {target.name:<18} {covered} of {lines} lines covered by its seeds")
                continue
            count, edges = check_files(target), check_start(target, tmp)
            calls = check_instrumented(target, sanitizer)
            check_libraries(target)
            written = check_writes(target, tmp) if sanitizer == "address" else "not checked under this sanitizer"
            after, before = check_modes(target, seeds, tmp)
            if target.name in ("fuzz_libc", "fuzz_layout"):
                check_crash(target, tmp)
            say(f"{sanitizer:<10} {target.name:<18} {count} seeds, {edges} edges, {calls} calls of the sanitizer, "
                f"pruned {before} to {after}, written outside: {written}")
    return out


def main(argv):
    """Exit status: 0 all rules held, 1 one did not, 2 environment."""
    parser = argparse.ArgumentParser(prog="clusterfuzzlite-check", description=__doc__.splitlines()[0])
    parser.add_argument("--sanitizer", action="append", choices=sorted(FLAGS), help="only this build (all)")
    parser.add_argument("--keep", default="", help="leave the builds in this folder")
    options = parser.parse_args(argv)
    if missing_tools():
        print(f"clusterfuzzlite-check: not installed: {', '.join(missing_tools())}; scripts/setup fuzz",
              file=sys.stderr)
        return EXIT_TROUBLE
    with tempfile.TemporaryDirectory(prefix="hg-cfl-") as name:
        folder = Path(options.keep or name)
        for sanitizer in options.sanitizer or sorted(FLAGS):
            shutil.rmtree(folder / sanitizer, ignore_errors=True)
            try:
                check_build(folder / sanitizer, sanitizer)
            except Broken as broken:
                print(f"{sanitizer}: {broken}", file=sys.stderr)
                return EXIT_FINDING
    return EXIT_WELL

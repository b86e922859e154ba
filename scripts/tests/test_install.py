"""What `cmake --install` puts down works after it was moved: the program, find_package, pkg-config, each component alone."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

BUILD = Path(os.environ.get("HEAPGAUGE_REAL") or ROOT / "build/dev/bin/heapgauge").parent.parent
CONSUMER = ROOT / "scripts/tests/consumer"
C, CXX = os.environ.get("CC", "cc"), os.environ.get("CXX", "c++")
pytestmark = pytest.mark.skipif(not ((BUILD / "CMakeCache.txt").exists() and shutil.which("cmake")),
                                reason="needs a build and cmake: cmake --workflow --preset dev")
needs_cxx = pytest.mark.skipif(not shutil.which(CXX), reason="needs a C++ compiler: apt-get install g++")


def run(*command, status=0, **options):
    """Runs a command that must end with `status`; its output, both streams."""
    done = subprocess.run([str(w) for w in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120, **options)
    assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}"
    return done.stdout


def install(folder, *more):
    """Installs into `folder` and moves it, so that nothing can still lie where it was built for."""
    first = folder.with_name(folder.name + "-first")
    run("cmake", "--install", BUILD, "--prefix", first, *more)
    first.rename(folder)
    return folder


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    return install(tmp_path_factory.mktemp("install") / "prefix")


def clean_environment(**more):
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", **more}


def configure(folder, prefix, *more, status=0):
    return run("cmake", "-S", CONSUMER, "-B", folder, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}", *more, status=status)


# ---- the program ----

def test_the_program_finds_its_parts(installed, tmp_path):
    program = installed / "bin/heapgauge"
    options = {"env": clean_environment(), "cwd": tmp_path}
    assert f"{installed}/bin/heapgauge" in run(program, "backends", "core", **options)
    run(program, "doctor", "--help", **options)
    maps = run(program, "record", "-q", "-o", "t.hgt", "--", "grep", "-o", "/.*heapgauge_record.so", "/proc/self/maps", **options)
    assert set(maps.split()) == {f"{installed}/lib/heapgauge/libheapgauge_record.so"}
    run(program, "check", "--backend=core", "t.hgt", **options)
    run(program, "bench", "--instructions", "--help", **options)


@pytest.mark.skipif(not shutil.which("hyperfine"), reason="needs hyperfine: scripts/setup run")
def test_a_comparison_by_the_installed_program(installed, tmp_path):
    done = subprocess.run([installed / "bin/heapgauge", "compare", "pair/size:64", "--backends=core", "--quick", "--rounds=2",
                           "-o", "out"], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    context = (tmp_path / "out/context.json").read_text()
    assert '"compiler"' in context and "git_sha" not in context  # what built it is known; it is no checkout


def test_a_missing_part_is_named(installed, tmp_path):
    shutil.copytree(installed, tmp_path / "broken")
    shutil.rmtree(tmp_path / "broken/share/heapgauge/python")
    said = run(tmp_path / "broken/bin/heapgauge", "doctor", status=2, env=clean_environment())
    assert "share/heapgauge/python is missing" in said and said.count("\n") == 1
    (tmp_path / "broken/lib/heapgauge/libheapgauge_record.so").unlink()
    said = run(tmp_path / "broken/bin/heapgauge", "record", "--", "true", status=2, env=clean_environment(), cwd=tmp_path)
    assert "libheapgauge_record.so: no such library" in said


def test_the_library_can_be_preloaded(installed):
    for name in ("libheapgauge_malloc.so", "libheapgauge_malloc_hardened.so"):
        assert (installed / "lib/heapgauge" / name).exists()
        run("/usr/bin/python3", "-c", "print(sum(range(10)))", env=clean_environment(LD_PRELOAD=f"{installed}/lib/heapgauge/{name}"))


# ---- projects that use the libraries ----

def uses(folder):
    """Runs the consumer's programs that were built; their names."""
    names = sorted(p.name for p in folder.glob("use_*") if os.access(p, os.X_OK) and p.is_file())
    for name in names:
        if name.startswith("use_core"):
            assert run(folder / name).startswith("core 0.")
        elif name == "use_benchmark":
            assert "pair/size:64" in run(folder / name, "--benchmark_min_time=0.001s")
        else:
            assert "20000 operations, clean" in run(folder / name, "core")
            assert ", C" in run(folder / name, "fault-align-mask:core", status=1)  # its oracle is a real one
    return names


@needs_cxx
def test_find_package(installed, tmp_path):
    configure(tmp_path / "b", installed)
    run("cmake", "--build", tmp_path / "b")
    assert uses(tmp_path / "b") == ["use_backends", "use_benchmark", "use_core", "use_core_cxx"]


@needs_cxx
def test_what_find_package_refuses(installed, tmp_path):
    said = configure(tmp_path / "a", installed, "-DCOMPONENTS=core;kernel", status=1)
    assert "heapgauge has no component kernel" in said
    project = tmp_path / "newer"
    shutil.copytree(CONSUMER, project)
    lists = project / "CMakeLists.txt"
    lists.write_text(lists.read_text().replace("heapgauge 0.1", "heapgauge 0.99"))
    said = run("cmake", "-S", project, "-B", tmp_path / "c", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={installed}", status=1)
    assert "compatible" in said and "0.99" in said


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="needs pkg-config: scripts/setup build")
def test_pkg_config(installed, tmp_path):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(installed / "lib/pkgconfig")}
    programs = [("core", C, "use_core.c", "use_core"), ("benchmark", C, "use_benchmark.c", "use_benchmark"),
                ("backends", C, "use_backends.c", "use_backends")]
    if shutil.which(CXX):
        programs.append(("core", CXX, "use_core.cc", "use_core_cxx"))
    for library, compiler, source, program in programs:
        flags = run("pkg-config", "--cflags", "--libs", f"heapgauge-{library}", env=environment).split()
        run(compiler, "-o", tmp_path / program, CONSUMER / source, *flags)
    assert len(uses(tmp_path)) == len(programs)
    assert run("pkg-config", "--modversion", "heapgauge-core", env=environment) == \
        run(installed / "bin/heapgauge", "--version").split()[1] + "\n"


@needs_cxx
def test_the_core_alone(tmp_path):
    alone = install(tmp_path / "alone", "--component", "core")
    assert not (alone / "bin").exists() and not list(alone.rglob("backend.h"))
    said = configure(tmp_path / "b", alone, status=1)
    assert "component benchmark is not installed" in said or "component backends is not installed" in said
    configure(tmp_path / "b2", alone, "-DCOMPONENTS=core")
    run("cmake", "--build", tmp_path / "b2")
    assert uses(tmp_path / "b2") == ["use_core", "use_core_cxx"]

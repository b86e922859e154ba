"""A kernel that can be booted and a module for it, from the distribution's packages, under build/kernel/.

Nothing is installed: packages are downloaded once, unpacked beside each other, and kept.
"""

import fcntl
import gzip
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import Trouble
from . import rust
from .shell import run

ROOT = Path(__file__).resolve().parents[4]
CLOUD = "cloud-amd64"
# The source is newer than the binary; modules are loaded only into the release they say they are for.
UML_PARTS = ["Makefile", "Kbuild", "include", "arch/um", "arch/x86", "scripts", "security", "kernel/bounds.c",
             "kernel/time/timeconst.bc", "tools/include", "tools/build", "tools/scripts", "tools/objtool", "tools/lib"]


@dataclass
class Kernel:
    """One route to a running kernel."""
    name: str
    series: str       # of the headers' packages; "" for those built from source
    emulated: bool
    tools: tuple      # programs without which it can't be built and run

    @property
    def folder(self):
        return Path(os.environ.get("HEAPGAUGE_KERNEL_CACHE") or ROOT / "build/kernel") / self.name


BUILD_TOOLS = ("make", "gcc-12", "bc")
KERNELS = {k.name: k for k in (
    Kernel("uml", "", False, (*BUILD_TOOLS, "flex", "bison", "xz")),
    Kernel("6.1", "6.1", True, (*BUILD_TOOLS, "qemu-system-x86_64")),
    Kernel("6.12", "6.12", True, (*BUILD_TOOLS, "qemu-system-x86_64")),
    Kernel("rust", "", True, (*BUILD_TOOLS, "flex", "bison", "xz", "qemu-system-x86_64")),
)}
SOURCE = "linux-source-6.1"


def require_tools(kernel):
    """Ends with what to install if something is missing, or if this is not the machine these kernels are for."""
    missing = [tool for tool in (*kernel.tools, "apt-get", "dpkg") if not shutil.which(tool)]
    if missing:
        raise Trouble(f"{kernel.name} needs {', '.join(missing)}: scripts/setup kernel")
    if os.uname().machine != "x86_64":
        raise Trouble(f"{kernel.name} is for x86-64, and this is {os.uname().machine}")


def require_processor(kernel, flags=None):
    """Ends where that kernel can't run: user-mode Linux 6.1 has no room for the registers of AMX, which the host restores whole or
    not at all; its init dies of "ptrace set fp regs failed, errno = 14". `flags`: the processor's, by default this one's."""
    flags = Path("/proc/cpuinfo").read_text().split() if flags is None else flags
    if kernel.name == "uml" and "amx_tile" in flags:
        raise Trouble("uml can't run on a processor with AMX (user-mode Linux 6.1 has no room for its registers): "
                      "take --kernel=6.1, emulated, or another machine")


@contextmanager
def locked(folder):
    """One run prepares a kernel at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# ---- packages ----

def depends(package):
    """What a package of the archive depends on, by apt's lists."""
    shown = subprocess.run(["apt-cache", "depends", package], capture_output=True, text=True).stdout
    return re.findall(r"Depends: (\S+)", shown)


def package_names(kernel):
    """The packages that hold the kernel and what its modules are built with."""
    if not kernel.series:
        return [SOURCE, "user-mode-linux"] if kernel.name == "uml" else [SOURCE, *rust.PACKAGES]
    meta = f"linux-headers-{CLOUD}" if kernel.series == "6.1" else f"linux-headers-{kernel.series}-{CLOUD}"
    release = next((name.removeprefix("linux-headers-") for name in depends(meta)
                    if name.startswith("linux-headers-")), None)
    if not release:
        raise Trouble(f"the package {meta} is not in apt's lists: apt-get update, or a Debian 12")
    base = release.removesuffix(f"-{CLOUD}")
    kbuild = "6.1" if kernel.series == "6.1" else base
    return [f"linux-image-{release}-unsigned", f"linux-headers-{release}", f"linux-headers-{base}-common",
            f"linux-kbuild-{kbuild}"]


def take_source(folder):
    """True if another kernel's download of the source, the largest package, could be linked here."""
    for deb in folder.parents[1].glob(f"*/packages/{SOURCE}_*.deb"):
        if (deb.parent / "complete").exists():
            (folder / deb.name).unlink(missing_ok=True)
            os.link(deb, folder / deb.name)
            return True
    return False


def fetch(kernel, say):
    """Downloads what is not there yet; the .deb files."""
    folder = kernel.folder / "packages"
    done = folder / "complete"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        names = package_names(kernel)
        if SOURCE in names:
            names = names[take_source(folder):]
        say(f"{kernel.name}: downloading {', '.join(names)}")
        run(["apt-get", "download", *names], kernel.folder / "download.log", cwd=folder)
        done.write_text("\n".join(names) + "\n")
    return sorted(folder.glob("*.deb"))


def unpack(kernel, debs):
    """The packages' files under root/."""
    root = kernel.folder / "root"
    if not root.exists():
        part = kernel.folder / "root.part"
        shutil.rmtree(part, ignore_errors=True)
        for deb in debs:
            run(["dpkg", "-x", deb, part], kernel.folder / "unpack.log")
        part.rename(root)
    return root


# ---- what modules are built against ----

def prepare_uml(kernel, root):
    """The make command that builds for Debian's user-mode Linux, from the parts of the source that it takes."""
    tree, source, log = kernel.folder / "tree", kernel.folder / "source", kernel.folder / "prepare.log"
    config = subprocess.run([root / "usr/bin/linux.uml", "--showconfig"], capture_output=True, text=True).stdout
    sublevel = re.search(r"Linux/um \d+\.\d+\.(\d+)", config)
    if not sublevel:
        raise Trouble(f"{root}/usr/bin/linux.uml does not run here; see its --showconfig")
    make = ["make", "-s", "ARCH=um", "CC=gcc-12", "HOSTCC=gcc-12", "-C", source, f"O={tree}",
            f"SUBLEVEL={sublevel[1]}", "KBUILD_MODPOST_WARN=1"]
    if not (tree / "prepared").exists():
        shutil.rmtree(source, ignore_errors=True)
        shutil.rmtree(tree, ignore_errors=True)
        source.mkdir(parents=True)
        tree.mkdir()
        archive = next(root.glob("usr/src/linux-source-*.tar.xz"))
        names = [f"{archive.name.removesuffix('.tar.xz')}/{part}" for part in UML_PARTS]
        run(["tar", "-xJf", archive, "-C", source, "--strip-components=1", "--wildcards", *names, "*Kconfig*"], log)
        (tree / ".config").write_text(config)
        run([*make, "olddefconfig", "modules_prepare"], log)
        (tree / "prepared").touch()
        archive.unlink()  # 138 MB, and the package holds it
    return make


def prepare_headers(root):
    """The make command that builds for one of Debian's kernels, from its headers as they lie in `root`."""
    headers = next(root.glob(f"usr/src/linux-headers-*-{CLOUD}"))
    makefile = headers / "Makefile"
    text = makefile.read_text()
    makefile.write_text(re.sub(r"^include \S*/usr/src", f"include {root}/usr/src", text, flags=re.M))
    image = headers / "vmlinux"  # with it modules want pahole, for types that nobody here reads
    if image.exists():
        image.rename(headers / "vmlinux.off")
    return ["make", "-s", "CC=gcc-12", "-C", headers]


# ---- the module and the guest's first file system ----

def link_sources(folder, with_rust):
    """The folder that Kbuild builds in: links to the sources, so that nothing is written among them. All sources."""
    backends = ROOT / "backends"
    own = [p for p in (backends / "kernel").iterdir()
           if p.name != "guest.c" and (p.suffix in (".c", ".h") or p.name in ("Kbuild", "include")
                                       or (with_rust and p.suffix == ".rs"))]
    shared = [backends / name for name in ("flat.c", "survey.c", "survey.h", "generate.c", "operation.c",
                                           "operation_facts.h", "slab_rule.h", "native.c", "native_call.h")]
    wanted = {folder / p.name: p for p in own}
    wanted |= {folder / "shared" / p.name: p for p in shared}
    wanted |= {folder / "shared/oracle" / p.name: p for p in (backends / "oracle").glob("*.[ch]")}
    wanted |= {folder / "shared/include": backends / "include", folder / "core/include": ROOT / "core/include"}
    for old in folder.rglob("*"):
        if old.is_symlink() and old not in wanted:
            old.unlink()
            (folder / "heapgauge.ko").unlink(missing_ok=True)
    for link, target in wanted.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink() or os.readlink(link) != str(target):
            link.unlink(missing_ok=True)
            link.symlink_to(target)
            (folder / "heapgauge.ko").unlink(missing_ok=True)
    return [file for target in wanted.values() for file in ([target] if target.is_file() else target.rglob("*.h"))]


def build_module(kernel, make, say, environment=None):
    """heapgauge.ko, made of the sources as they are now (and heapgauge_vectors.ko where the kernel has Rust)."""
    folder = kernel.folder / "module"
    module = folder / "heapgauge.ko"
    sources = link_sources(folder, kernel.name == "rust")
    if module.exists() and module.stat().st_mtime > max(file.stat().st_mtime for file in sources):
        return module
    say(f"{kernel.name}: building the module")
    log = kernel.folder / "module.log"
    log.unlink(missing_ok=True)
    run([*make, f"M={folder}", "modules"], log, env=environment)
    wanted = subprocess.run(["nm", "-u", module], capture_output=True, text=True).stdout
    missing = re.findall(r"\bhg_\w+", wanted)
    if missing:  # a kernel would only say: no such file
        module.unlink()
        raise Trouble(f"the shared sources want {', '.join(missing)}, which the kernel module has not; "
                      "see link_sources in build.py, backends/kernel/include")
    return module


def build_init(kernel):
    """The guest's one program."""
    init, source = kernel.folder / "init", ROOT / "backends/kernel/guest.c"
    if not init.exists() or init.stat().st_mtime < source.stat().st_mtime:
        run(["gcc-12", "-O2", "-Wall", "-static", "-o", init, source], kernel.folder / "module.log")
    return init


def cpio(entries):
    """A file system image as the kernel unpacks it ("newc" of cpio): of (name, mode, bytes[, major, minor])."""
    out = bytearray()
    for name, mode, data, *device in [*entries, ("TRAILER!!!", 0, b"")]:
        major, minor = device or (0, 0)
        numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % n for n in numbers) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4)
        out += data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


@dataclass
class Built:
    """What a guest is booted from."""
    kernel: Kernel
    image: Path     # linux.uml, or the compressed kernel for QEMU
    module: Path
    init: Path

    def initramfs(self, path, jobs, files):
        """Writes the first file system: `jobs` (lines of text) and files by name."""
        entries = [("dev", 0o40755, b""), ("dev/console", 0o20600, b"", 5, 1),
                   ("init", 0o100755, self.init.read_bytes()),
                   ("heapgauge.ko", 0o100644, self.module.read_bytes()),
                   ("jobs", 0o100644, "".join(f"{job}\n" for job in jobs).encode())]
        vectors = self.module.with_name("heapgauge_vectors.ko")
        if vectors.exists():
            entries.append((vectors.name, 0o100644, vectors.read_bytes()))
        entries += [(name, 0o100644, Path(source).read_bytes()) for name, source in files.items()]
        path.write_bytes(gzip.compress(cpio(entries), 1))
        return path


def build(name, say):
    """Everything up to a bootable guest of that kernel."""
    kernel = KERNELS[name]
    require_tools(kernel)
    with locked(kernel.folder):
        require_processor(kernel)
        root = unpack(kernel, fetch(kernel, say))
        environment = None
        if name == "uml":
            make, image = prepare_uml(kernel, root), root / "usr/bin/linux.uml"
        elif name == "rust":
            make, environment, image = rust.prepare(kernel, root, say)
        else:
            make, image = prepare_headers(root), next(root.glob("boot/vmlinuz-*"))
        return Built(kernel, image, build_module(kernel, make, say, environment), build_init(kernel))

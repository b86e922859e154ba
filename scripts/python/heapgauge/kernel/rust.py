"""A kernel of our own with CONFIG_RUST: the route to the kernel's own Rust allocator. Long: ten minutes of CPU.

Debian's 6.1 source, built by Debian's rustc 1.63. Its Rust core exports __rust_alloc and its kin (krealloc_aligned in
rust/kernel/allocator.rs), and __rg_alloc and its kin (GlobalAlloc's functions: plain krealloc).
"""

import os
import re
import shutil
from pathlib import Path

from ..errors import Trouble
from .shell import run

PACKAGES = ["rustc", "libstd-rust-dev", "libstd-rust-1.63", "rust-src", "bindgen"]
CONFIG = """
CONFIG_64BIT=y
CONFIG_EXPERT=y
CONFIG_SLUB=y
CONFIG_SLUB_DEBUG=y
CONFIG_RUST=y
CONFIG_MODULES=y
CONFIG_MODULE_UNLOAD=y
# CONFIG_MODVERSIONS is not set
CONFIG_INIT_STACK_NONE=y
CONFIG_PRINTK=y
CONFIG_BUG=y
CONFIG_KALLSYMS=y
CONFIG_MULTIUSER=y
CONFIG_TTY=y
CONFIG_SERIAL_8250=y
CONFIG_SERIAL_8250_CONSOLE=y
CONFIG_BLK_DEV_INITRD=y
CONFIG_RD_GZIP=y
CONFIG_BINFMT_ELF=y
CONFIG_PROC_FS=y
CONFIG_SYSFS=y
CONFIG_DEVTMPFS=y
CONFIG_POSIX_TIMERS=y
CONFIG_FUTEX=y
CONFIG_PCI=y
CONFIG_ACPI=y
CONFIG_HYPERVISOR_GUEST=y
CONFIG_SLAB_FREELIST_RANDOM=y
"""


def libclang():
    """The folder of LLVM 14's libclang: bindgen 0.60 stumbles over newer ones."""
    found = next(Path("/usr/lib/llvm-14/lib").glob("libclang.so*"), None)
    if not found:
        raise Trouble("rust needs libclang of LLVM 14: apt-get install libclang1-14")
    return found.parent


def make_words(root, source):
    """(make command, environment) with the unpacked Rust tools."""
    tools = root / "usr/bin"
    words = ["make", "-s", "CC=gcc-12", "HOSTCC=gcc-12", "-C", source, f"RUSTC={tools}/rustc", f"HOSTRUSTC={tools}/rustc",
             f"BINDGEN={tools}/bindgen", f"RUST_LIB_SRC={root}/usr/src/rustc-1.63.0/library"]
    return words, {**os.environ, "LD_LIBRARY_PATH": f"{root}/usr/lib/x86_64-linux-gnu", "LIBCLANG_PATH": str(libclang())}


def prepare(kernel, root, say):
    """Builds the kernel; (make command, environment, image)."""
    source, log = kernel.folder / "source", kernel.folder / "prepare.log"
    make, environment = make_words(root, source)
    image = source / "arch/x86/boot/bzImage"
    if not (source / "built").exists():
        log.unlink(missing_ok=True)
        if not (source / "unpacked").exists():
            shutil.rmtree(source, ignore_errors=True)
            source.mkdir(parents=True)
            run(["tar", "-xJf", next(root.glob("usr/src/linux-source-*.tar.xz")), "-C", source,
                       "--strip-components=1"], log)
            (source / "unpacked").touch()
        run([*make, "tinyconfig"], log, env=environment)
        with open(source / ".config", "a") as config:
            config.write(CONFIG)
        run([*make, "olddefconfig"], log, env=environment)
        if not re.search(r"^CONFIG_RUST=y", (source / ".config").read_text(), re.M):
            run([*make, "rustavailable"], log, env=environment)
            raise Trouble(f"this source does not take CONFIG_RUST here; see {log}")
        say("rust: building a kernel with CONFIG_RUST: about ten minutes of CPU")
        run([*make, f"-j{os.cpu_count()}", "bzImage", "modules"], log, env=environment)
        (source / "built").touch()
    return make, environment, image

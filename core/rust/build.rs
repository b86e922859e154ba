//! For cargo alone (CMake passes the same to rustc itself): finds or makes libheapgauge_core.a.
//!
//! With HEAPGAUGE_LIB_DIR, the `lib` folder of a build of Heapgauge, its libraries are linked; without,
//! the core is compiled here, with $CC or cc and $AR or ar. AnyBackend needs the former.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn run(command: &mut Command) {
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{:?}: {}", command, status),
        Err(error) => panic!("{:?}: {}; is it installed?", command, error),
    }
}

/// Every C file of the core but the one with malloc's plain names.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {}", folder.display(), error))
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| path.extension().map_or(false, |extension| extension == "c"))
        .filter(|path| !path.ends_with("preload.c"))
        .collect();
    files.sort();
    files
}

fn compile_core(core: &Path, out: &Path) {
    let cc = env::var("CC").unwrap_or_else(|_| "cc".into());
    let ar = env::var("AR").unwrap_or_else(|_| "ar".into());
    let version = env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    let archive = out.join("libheapgauge_core.a");
    let _ = fs::remove_file(&archive);
    let mut objects = Vec::new();
    for source in sources(&core.join("src")) {
        let object = out
            .join(source.file_stem().expect("a file"))
            .with_extension("o");
        run(Command::new(&cc)
            .args([
                "-std=gnu11",
                "-O3",
                "-fPIC",
                "-fexceptions",
                "-fvisibility=hidden",
            ])
            .args([
                "-ftls-model=initial-exec",
                "-fno-semantic-interposition",
                "-fno-builtin-malloc",
            ])
            .args(["-D_GNU_SOURCE", "-DHG_HARDENED=0", "-DHG_PRELOAD=0"])
            .arg(format!("-DHG_VERSION=\"{}\"", version))
            .arg(format!("-I{}", core.join("include").display()))
            .arg(format!("-I{}", core.join("src").display()))
            .arg("-c")
            .arg(&source)
            .arg("-o")
            .arg(&object));
        objects.push(object);
    }
    run(Command::new(&ar).arg("rcs").arg(&archive).args(&objects));
}

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let core = manifest.join("..");
    let any_backend = env::var_os("CARGO_FEATURE_ANY_BACKEND").is_some();
    println!("cargo:rerun-if-env-changed=HEAPGAUGE_LIB_DIR");
    println!("cargo:rerun-if-changed={}", core.join("src").display());
    println!("cargo:rerun-if-changed={}", core.join("include").display());
    match env::var_os("HEAPGAUGE_LIB_DIR") {
        Some(folder) => println!("cargo:rustc-link-search=native={}", Path::new(&folder).display()),
        None if any_backend => panic!(
            "the feature any-backend needs HEAPGAUGE_LIB_DIR, the lib folder of a build of Heapgauge"
        ),
        None => {
            compile_core(&core, &out);
            println!("cargo:rustc-link-search=native={}", out.display());
        }
    }
    if any_backend {
        println!("cargo:rustc-link-lib=static=heapgauge_backends");
    }
    println!("cargo:rustc-link-lib=static=heapgauge_core");
    if any_backend {
        for library in ["md", "dl", "pthread"] {
            println!("cargo:rustc-link-lib=dylib={}", library);
        }
    }
}

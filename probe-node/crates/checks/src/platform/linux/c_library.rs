//! Which C library the programs of this system use.
//!
//! The two common ones read `resolv.conf` differently: glibc asks one server after the other, musl
//! all of them at once.

use super::bounded_file;
use std::path::Path;

/// A C library, as far as name resolution depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum CLibrary {
    /// The GNU C library, and whatever is not recognised as another.
    #[default]
    Glibc,
    /// musl, as in Alpine Linux, and in many containers.
    Musl,
}

/// The folders of shared libraries, relative to the root.
const FOLDERS: [&str; 4] = ["lib", "lib64", "usr/lib", "usr/lib64"];

impl CLibrary {
    /// Recognises the C library of the system under `root`.
    ///
    /// It is musl if musl's loader is there and glibc is not. Where both are, programs of the
    /// distribution use glibc.
    pub(super) fn detect(root: &Path) -> Self {
        let is_musl = bounded_file::list(&root.join("lib")).iter().any(|path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("ld-musl-"))
        });
        if is_musl && !has_library(root, "libc.so.6") { Self::Musl } else { Self::Glibc }
    }
}

/// Returns true if a shared library of this name is in one of the usual folders.
///
/// One that is in truth a part of musl is not counted: compatibility packages install such links.
pub(super) fn has_library(root: &Path, name: &str) -> bool {
    FOLDERS.iter().map(|folder| root.join(folder)).any(|folder| {
        is_library(&folder.join(name))
            || bounded_file::list(&folder)
                .iter()
                .filter(|path| is_of_architecture(path))
                .any(|path| is_library(&path.join(name)))
    })
}

/// Returns true for a folder such as `x86_64-linux-gnu`.
fn is_of_architecture(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains("-linux-"))
}

fn is_library(path: &Path) -> bool {
    path.canonicalize().is_ok_and(|target| {
        let name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        target.is_file() && !name.contains("musl") && !name.contains("gcompat")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn root(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    #[test]
    fn musl_is_recognised_where_glibc_is_not_installed() {
        let detect = |files: &[&str]| CLibrary::detect(root(files).path());
        assert_eq!(detect(&[]), CLibrary::Glibc);
        assert_eq!(detect(&["lib/ld-musl-x86_64.so.1"]), CLibrary::Musl);
        let debian = ["lib/ld-musl-x86_64.so.1", "lib/x86_64-linux-gnu/libc.so.6"];
        assert_eq!(detect(&debian), CLibrary::Glibc);
        assert_eq!(detect(&["lib/ld-musl-x86_64.so.1", "usr/lib64/libc.so.6"]), CLibrary::Glibc);
    }

    #[test]
    fn a_link_that_imitates_glibc_is_not_glibc() {
        let alpine = root(&["lib/ld-musl-x86_64.so.1", "lib/libgcompat.so.0"]);
        std::os::unix::fs::symlink("libgcompat.so.0", alpine.path().join("lib/libc.so.6")).unwrap();
        assert_eq!(CLibrary::detect(alpine.path()), CLibrary::Musl);
    }
}

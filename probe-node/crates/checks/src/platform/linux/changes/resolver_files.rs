//! Changes of the files that hold the resolver configuration.

use crate::platform::{
    api::Change,
    linux::bounded_file::{self, MAX_CONFIG},
    timing::RETRY_AFTER,
};
use rustix::{fd::OwnedFd, fs::inotify};
use std::{io, mem::MaybeUninit, path::PathBuf};
use tokio::{io::unix::AsyncFd, time::sleep};

/// The files of the resolver configuration, with their last contents.
pub(super) struct ResolverFiles {
    paths: Vec<PathBuf>,
    contents: Vec<Option<Vec<u8>>>,
    /// Absent if inotify is unavailable, because a user's inotify instances can be exhausted.
    inotify: Option<AsyncFd<OwnedFd>>,
}

impl ResolverFiles {
    /// Starts watching the files at these paths, and reads them.
    pub(super) fn open(paths: Vec<PathBuf>) -> Self {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let inotify = inotify::init(flags).map_err(io::Error::from).and_then(register);
        let inotify = inotify.inspect_err(|error| tracing::warn!(%error, "inotify is unavailable")).ok();
        let mut files = Self { paths, contents: Vec::new(), inotify };
        files.add_watches();
        files.contents = files.read_contents();
        files
    }

    /// Watches the files, the targets of symbolic links, and the directories of both.
    ///
    /// A file can be written in place, replaced by renaming another over it, or newly created.
    /// Adding a watch that already exists has no effect.
    fn add_watches(&self) {
        let Some(inotify) = &self.inotify else { return };
        for path in &self.paths {
            let target = path.canonicalize().unwrap_or_else(|_| path.clone());
            let paths: [Option<PathBuf>; 4] = [
                Some(path.clone()),
                path.parent().map(Into::into),
                target.parent().map(Into::into),
                Some(target.clone()),
            ];
            for watched in paths.into_iter().flatten() {
                use inotify::WatchFlags as Flags;
                let flags = if watched.is_dir() {
                    Flags::CREATE | Flags::DELETE | Flags::MOVE | Flags::CLOSE_WRITE
                } else {
                    Flags::MODIFY | Flags::CLOSE_WRITE | Flags::DELETE_SELF | Flags::MOVE_SELF
                };
                // A missing file cannot be watched; the watch on its directory reports its
                // creation.
                let _ = inotify::add_watch(inotify, &watched, flags);
            }
        }
    }

    /// Waits until one of the files, or another file in their directories, was changed.
    pub(super) async fn wait_for_event(&self) {
        let Some(inotify) = &self.inotify else { return std::future::pending().await };
        match inotify.readable().await {
            Ok(mut ready) => {
                let mut buffer = [MaybeUninit::uninit(); 4096];
                let mut reader = inotify::Reader::new(inotify, &mut buffer);
                while reader.next().is_ok() {}
                ready.clear_ready();
            }
            Err(error) => {
                tracing::warn!(%error, "could not read from inotify; trying again");
                sleep(RETRY_AFTER).await;
            }
        }
    }

    /// Reads the files again and returns the change if their contents differ.
    pub(super) fn compare(&mut self) -> Option<Change> {
        let contents = self.read_contents();
        if contents == self.contents {
            return None;
        }
        self.contents = contents;
        self.add_watches();
        Some(Change::ResolverConfig)
    }

    fn read_contents(&self) -> Vec<Option<Vec<u8>>> {
        self.paths.iter().map(|path| bounded_file::read(path, MAX_CONFIG).ok()).collect()
    }
}

/// Registers the descriptor with the Tokio runtime.
#[allow(unsafe_code)]
fn register(inotify: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the value passed owns the descriptor, always returns the same one, and is never moved
    // out of the `AsyncFd`. So the descriptor stays open until it is deregistered.
    unsafe { AsyncFd::register(inotify) }.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, time::Duration};
    use tokio::time::timeout;

    #[tokio::test]
    async fn another_file_in_the_directory_and_a_rewrite_of_the_same_text_are_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("resolv.conf");
        fs::write(&main, "nameserver 192.0.2.1\n").unwrap();
        let mut files = ResolverFiles::open(vec![main.clone()]);
        fs::write(dir.path().join("hosts"), "x").unwrap();
        let next = dir.path().join("next");
        fs::write(&next, "nameserver 192.0.2.1\n").unwrap();
        fs::rename(&next, &main).unwrap();
        assert_eq!(timeout(Duration::from_secs(5), files.wait_for_event()).await, Ok(()));
        assert_eq!(files.compare(), None);
    }
}

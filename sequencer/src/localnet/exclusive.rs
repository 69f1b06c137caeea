//! One command at a time changes a local network.
//!
//! Commands read the description, start or stop processes, and write it back. Two at once would forget
//! a process, which then runs until somebody finds it. So whoever changes anything holds the kernel's
//! lock on the directory itself: it needs no file of its own, goes with the process that dies, and a
//! deleted directory is recognised by its inode.

use super::state::{State, StateError};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The right to change a local network; all others wait until it is dropped.
#[derive(Debug)]
pub struct Exclusive {
    directory: PathBuf,
    /// Locked, and open for syncing what was renamed in it.
    handle: File,
}

impl Exclusive {
    /// Waits for the right to change the network in a directory.
    ///
    /// # Errors
    /// [`StateError::Missing`] if there is no such directory, or none any more.
    pub fn acquire(directory: &Path) -> Result<Self, StateError> {
        loop {
            let opened = File::open(directory).and_then(|handle| {
                handle.lock()?;
                let (locked, named) = (handle.metadata()?, fs::metadata(directory)?);
                let same = (locked.dev(), locked.ino()) == (named.dev(), named.ino());
                Ok(same.then_some(handle))
            });
            match opened {
                Ok(Some(handle)) => {
                    return Ok(Self {
                        directory: directory.to_owned(),
                        handle,
                    });
                }
                // While we waited, the directory was deleted and made anew.
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(StateError::Missing(directory.to_owned()));
                }
                Err(error) => return Err(io_error(directory, error)),
            }
        }
    }

    /// The same for a directory that may have to be made.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn acquire_or_make(directory: &Path) -> Result<Self, StateError> {
        loop {
            fs::create_dir_all(directory).map_err(|error| io_error(directory, error))?;
            match Self::acquire(directory) {
                // Deleted by somebody between the two.
                Err(StateError::Missing(_)) => {}
                acquired => return acquired,
            }
        }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The description.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn read(&self) -> Result<State, StateError> {
        State::read(&self.directory)
    }

    /// Writes the description. Readers, and whoever comes after a crash, see the old or the new one.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn write(&self, state: &State) -> Result<(), StateError> {
        let path = State::path(&self.directory);
        let text = serde_json::to_string_pretty(state).map_err(|source| StateError::Json {
            path: path.clone(),
            source,
        })?;
        let draft = self.draft();
        let write = || {
            let mut file = File::create(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            self.handle.sync_all()
        };
        write().map_err(|error| io_error(&path, error))
    }

    /// Deletes what [`super::create`] and the nodes made, and nothing else. The directory stays.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn clear(&self, state: &State) -> Result<(), StateError> {
        for home in state.nodes.iter().map(|node| &node.home) {
            if home.parent() == Some(&self.directory) {
                ignore_missing(home, fs::remove_dir_all(home))?;
            }
        }
        let load = self.directory.join("load");
        ignore_missing(&load, fs::remove_dir_all(&load))?;
        for file in [self.draft(), State::path(&self.directory)] {
            ignore_missing(&file, fs::remove_file(&file))?;
        }
        Ok(())
    }

    /// Deletes the network, and its directory too unless the user keeps something of his own in it.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn remove(&self, state: &State) -> Result<(), StateError> {
        self.clear(state)?;
        self.remove_if_empty()
    }

    /// Deletes the directory, unless the user keeps something of his own in it.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn remove_if_empty(&self) -> Result<(), StateError> {
        match fs::remove_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => ignore_missing(&self.directory, removed),
        }
    }

    fn draft(&self) -> PathBuf {
        self.directory.join("localnet.json.new")
    }
}

fn io_error(path: &Path, source: io::Error) -> StateError {
    StateError::Io {
        path: path.to_owned(),
        source,
    }
}

fn ignore_missing(path: &Path, removed: io::Result<()>) -> Result<(), StateError> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squad_primitives::Digest;
    use std::sync::mpsc;

    fn empty() -> State {
        State {
            network_id: Digest([7; 32]),
            rollups: Vec::new(),
            nodes: Vec::new(),
        }
    }

    #[test]
    fn a_description_is_replaced_whole_and_removed_with_its_directory() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("net");
        let exclusive = Exclusive::acquire_or_make(&directory).unwrap();
        assert!(matches!(exclusive.read(), Err(StateError::Missing(_))));
        exclusive.write(&empty()).unwrap();
        exclusive.write(&empty()).unwrap();
        assert_eq!(exclusive.read().unwrap(), empty());
        fs::write(directory.join("notes"), "mine").unwrap();
        exclusive.remove(&empty()).unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_file(directory.join("notes")).unwrap();
        exclusive.remove_if_empty().unwrap();
        assert!(!directory.exists());
    }

    #[test]
    fn who_waited_for_a_directory_that_goes_does_not_get_it() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("net");
        let first = Exclusive::acquire_or_make(&directory).unwrap();
        let (acquired, second) = mpsc::channel();
        let path = directory.clone();
        let waiter = std::thread::spawn(move || {
            // Whenever it runs, before or after the removal: there is nothing to be had.
            acquired.send(Exclusive::acquire(&path).is_ok()).unwrap();
        });
        first.remove(&empty()).unwrap();
        drop(first);
        assert!(!second.recv().unwrap());
        waiter.join().unwrap();
    }
}

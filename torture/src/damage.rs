//! Damage to files, as failing disks do it.

use rand::{Rng, RngExt as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Most bytes that are cut off.
const CUT_BYTES_MAX: u64 = 4_096;

/// All files below a directory, sorted, so that a draw among them can be repeated.
///
/// # Errors
/// If a directory can't be read.
pub fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            } else if entry.metadata()?.len() > 0 {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Copies a directory with everything in it.
///
/// # Errors
/// If something can't be read or written.
pub fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The file that was written last, with one of these endings.
///
/// # Errors
/// If files can't be read.
pub fn newest(directory: &Path, endings: &[&str]) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for path in files(directory)? {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if !extension.is_some_and(|extension| endings.contains(&extension)) {
            continue;
        }
        let written = std::fs::metadata(&path)?.modified()?;
        if newest.as_ref().is_none_or(|(at, _)| written > *at) {
            newest = Some((written, path));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Cuts some bytes off the end of a file, and all zeros behind them, which are only reserved. Returns how
/// many bytes without the zeros.
///
/// # Errors
/// If the file can't be read or changed.
pub fn cut_tail<R: Rng>(path: &Path, rng: &mut R) -> io::Result<u64> {
    let content = std::fs::read(path)?;
    let written = content.iter().rposition(|byte| *byte != 0);
    let length = written.map_or(0, |last| last as u64 + 1);
    let file = OpenOptions::new().write(true).open(path)?;
    let cut = rng.random_range(1..=length.clamp(1, CUT_BYTES_MAX));
    file.set_len(length.saturating_sub(cut))?;
    Ok(cut)
}

/// A bit that was flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bit {
    /// Its byte.
    pub offset: u64,
    /// The byte as it was.
    was: u8,
    /// The byte as it became.
    is: u8,
}

impl Bit {
    /// Flips it back, if the file still has the damaged byte there.
    ///
    /// # Errors
    /// If the file is there and can't be changed.
    pub fn flip_back(&self, path: &Path) -> io::Result<()> {
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        if file.metadata()?.len() > self.offset && read_byte(&mut file, self.offset)? == self.is {
            write_byte(&mut file, self.offset, self.was)?;
        }
        Ok(())
    }
}

/// Flips one bit of a file.
///
/// # Errors
/// If the file is empty or can't be changed.
pub fn flip_bit<R: Rng>(path: &Path, rng: &mut R) -> io::Result<Bit> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    if length == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "empty file"));
    }
    let offset = rng.random_range(0..length);
    let was = read_byte(&mut file, offset)?;
    let is = was ^ (1 << rng.random_range(0..8));
    write_byte(&mut file, offset, is)?;
    Ok(Bit { offset, was, is })
}

fn read_byte(file: &mut File, offset: u64) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn write_byte(file: &mut File, offset: u64, byte: u8) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(&[byte])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng as _, rngs::StdRng};

    #[test]
    fn damage_is_as_small_as_it_says() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let whole = vec![7; 10_000];
        let mut rng = StdRng::seed_from_u64(3);
        for _ in 0..50 {
            std::fs::write(&path, &whole).unwrap();
            let cut = cut_tail(&path, &mut rng).unwrap();
            let length = std::fs::metadata(&path).unwrap().len();
            assert!((1..=CUT_BYTES_MAX).contains(&cut));
            assert_eq!(length + cut, 10_000);
            let reserved = [whole.as_slice(), &[0; 500]].concat();
            std::fs::write(&path, reserved).unwrap();
            let cut = cut_tail(&path, &mut rng).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().len() + cut, 10_000);

            std::fs::write(&path, &whole).unwrap();
            std::fs::write(&path, &whole).unwrap();
            let bit = flip_bit(&path, &mut rng).unwrap();
            let after = std::fs::read(&path).unwrap();
            assert_eq!((after[bit.offset as usize] ^ 7).count_ones(), 1);
            let other = after.iter().enumerate().filter(|(_, byte)| **byte != 7);
            assert_eq!(other.count(), 1);
            bit.flip_back(&path).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn a_copy_has_every_file_and_the_newest_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let from = directory.path().join("from");
        std::fs::create_dir_all(from.join("deep")).unwrap();
        std::fs::write(from.join("a.log"), b"a").unwrap();
        std::fs::write(from.join("deep/b.log"), b"bb").unwrap();
        std::fs::write(from.join("deep/c.txt"), b"c").unwrap();
        let to = directory.path().join("to");
        copy_directory(&from, &to).unwrap();
        let names = |root: &Path| -> Vec<PathBuf> {
            let paths = files(root).unwrap();
            paths
                .iter()
                .map(|path| path.strip_prefix(root).unwrap().to_owned())
                .collect()
        };
        assert_eq!(names(&from), names(&to));
        let newest = newest(&from, &["log"]).unwrap().unwrap();
        assert!(newest.ends_with("a.log") || newest.ends_with("b.log"));
        assert!(super::newest(&from, &["none"]).unwrap().is_none());
    }
}

//! Passwords of key files. They never come from the command line, where every process could read them.

use std::fmt;
use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::{Zeroize as _, Zeroizing};

/// Environment variable that names a file with the password.
pub const PASSWORD_FILE_VARIABLE: &str = "SQUAD_PASSWORD_FILE";

const BYTES_MAX: u64 = 4_096;

/// A password in the form that EIP-2335 hashes: NFKD, without control characters. So the newline at
/// the end of a file does not count.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Normalises a password.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(
            text.nfkd().filter(|c| !c.is_control()).collect(),
        ))
    }

    /// Bytes to hash.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The file can't be read as UTF-8 text.
    #[error("file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Longer than 4 KiB.
    #[error("file {0}: longer than {BYTES_MAX} bytes")]
    TooLong(PathBuf),
    /// The file is empty, or nothing was typed.
    #[error("empty")]
    Empty,
    /// Nobody to ask.
    #[error("give --password-file or {PASSWORD_FILE_VARIABLE}: there is no terminal to ask on")]
    NoTerminal,
    /// The terminal failed.
    #[error("terminal: {0}")]
    Terminal(std::io::Error),
    /// Two entries differ.
    #[error("the two entries differ")]
    Mismatch,
}

/// Where a password comes from.
#[derive(Clone, Debug)]
pub enum PasswordSource {
    /// Content of a file.
    File(PathBuf),
    /// Asked for on the terminal.
    Prompt,
}

impl PasswordSource {
    /// The first that is given: flag or [`PASSWORD_FILE_VARIABLE`], setting; else the terminal.
    #[must_use]
    pub fn choose(flag: Option<PathBuf>, setting: Option<PathBuf>) -> Self {
        flag.or(setting).map_or(Self::Prompt, Self::File)
    }

    /// Gets the password of an existing key.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub fn read(&self) -> Result<Password, PasswordError> {
        match self {
            Self::File(path) => read_file(path),
            Self::Prompt => ask("Password of the key file: "),
        }
    }

    /// Gets a password for a new key; a typed one is asked for twice.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub fn read_new(&self) -> Result<Password, PasswordError> {
        let password = match self {
            Self::File(path) => read_file(path)?,
            Self::Prompt => {
                let first = ask("New password of the key file: ")?;
                let second = ask("The same again: ")?;
                if first.0 != second.0 {
                    return Err(PasswordError::Mismatch);
                }
                first
            }
        };
        if password.0.is_empty() {
            return Err(PasswordError::Empty);
        }
        Ok(password)
    }
}

fn read_file(path: &PathBuf) -> Result<Password, PasswordError> {
    let error = |source| PasswordError::File {
        path: path.clone(),
        source,
    };
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(error)?;
    file.take(BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(error)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(PasswordError::TooLong(path.clone()));
    }
    Ok(Password::new(&text))
}

fn ask(prompt: &str) -> Result<Password, PasswordError> {
    if !std::io::stdin().is_terminal() {
        return Err(PasswordError::NoTerminal);
    }
    let mut typed = rpassword::prompt_password(prompt).map_err(PasswordError::Terminal)?;
    let password = Password::new(&typed);
    typed.zeroize();
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of EIP-2335.
    #[test]
    fn passwords_are_normalised_as_the_eip_says() {
        let password = Password::new("𝔱𝔢𝔰𝔱𝔭𝔞𝔰𝔰𝔴𝔬𝔯𝔡🔑\n\u{7f}\u{85}");
        assert_eq!(
            hex::encode(password.as_bytes()),
            "7465737470617373776f7264f09f9491"
        );
        assert_eq!(format!("{password:?}"), "Password(..)");
    }

    #[test]
    fn the_flag_wins_over_the_setting() {
        let path = |name: &str| Some(PathBuf::from(name));
        let chosen = |flag, setting| match PasswordSource::choose(flag, setting) {
            PasswordSource::File(path) => path.display().to_string(),
            PasswordSource::Prompt => "prompt".to_owned(),
        };
        assert_eq!(chosen(path("a"), path("b")), "a");
        assert_eq!(chosen(None, path("b")), "b");
        assert_eq!(chosen(None, None), "prompt");
    }
}

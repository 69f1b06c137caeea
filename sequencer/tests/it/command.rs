//! Running the binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Cheap key derivation, so that tests don't spend seconds on it.
pub(crate) const CHEAP: &str = "--kdf-cost=pbkdf2:2";

/// A home directory that goes away with the test, and a file with a password.
pub(crate) struct Home {
    directory: TempDir,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        std::fs::write(directory.path().join("password"), "secret\n").expect("writable");
        Self { directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.file(name);
        std::fs::create_dir_all(path.parent().expect("inside home")).expect("writable");
        std::fs::write(path, text).expect("writable");
    }

    /// Runs `squad` with this home, its password file, and nothing of the caller's own settings.
    pub(crate) fn squad(&self, arguments: &[&str]) -> Ran {
        self.squad_with(arguments, &[])
    }

    pub(crate) fn squad_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        run(self.command(arguments).envs(environment.iter().copied()))
    }

    /// The command that [`squad`](Self::squad) runs.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = squad();
        command.args(arguments).env("SQUAD_HOME", self.path()).env(
            "SQUAD_PASSWORD_FILE",
            self.directory.path().join("password"),
        );
        command
    }

    /// Makes a development network whose only operator is this home.
    pub(crate) fn with_network(&self) -> String {
        let key = self.squad(&["keys", "new", CHEAP]).ok();
        let identity = key.rsplit(' ').next().expect("a key").trim().to_owned();
        self.squad(&["genesis", "new", "--network=test-dev", "--dev"])
            .ok();
        self.squad(&[
            "genesis",
            "add-operator",
            "--name=op-0",
            &format!("--identity={identity}"),
            "--stake=1",
            "--address=127.0.0.1:4100",
        ])
        .ok();
        self.squad(&[
            "genesis",
            "add-rollup",
            "--id=7",
            "--name=kv-7",
            "--executor=kv",
        ])
        .ok();
        identity
    }
}

/// The binary without settings from the environment of the test.
pub(crate) fn squad() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squad"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SQUAD_") {
            command.env_remove(name);
        }
    }
    command
}

pub(crate) fn run(command: &mut Command) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the binary runs");
    Ran {
        code: status.code(),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

impl Ran {
    /// Standard output of a command that must succeed.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Standard error of a command that must end with this code.
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.err
    }

    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).expect("JSON")
    }
}

/// Path inside the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

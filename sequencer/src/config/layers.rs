//! Precedence: flag, environment, file, default.
//!
//! Every value is first tried alone against the defaults. So each unknown key and each wrong type is
//! reported with its own origin, instead of the first one hiding the others.

use super::{Config, Problem, SECTIONS};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use toml::{Table, Value};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The default.
    Default,
    /// The TOML file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A command-line flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Everything that settings can come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file's path and text.
    pub file: Option<(PathBuf, String)>,
    /// Environment variables; those without `SQUAD_<SECTION>_` are ignored.
    pub environment: Vec<(String, String)>,
    /// Flags: name of the flag, `section.key`, value.
    pub flags: Vec<(String, String, String)>,
}

/// A configuration with the origin of each of its values.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The effective settings.
    pub config: Config,
    /// Origin per `section.key`; settings that are missing here have their default.
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Origin of a setting, by `section.key`.
    #[must_use]
    pub fn origin(&self, path: &str) -> &Origin {
        self.origins.get(path).unwrap_or(&Origin::Default)
    }
}

/// Merges the sources. Rules between settings are not looked at: see [`Config::validate`].
///
/// # Errors
/// All unknown keys and all values of a wrong type.
pub fn load(sources: &Sources) -> Result<Loaded, Vec<Problem>> {
    let mut overlay = Overlay::new();
    if let Some((path, text)) = &sources.file {
        overlay.file(path, text);
    }
    for (name, value) in &sources.environment {
        overlay.environment(name, value);
    }
    for (flag, path, value) in &sources.flags {
        overlay.text(path, value, Origin::Flag(flag.clone()));
    }
    overlay.finish()
}

struct Overlay {
    defaults: Table,
    merged: Table,
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
}

impl Overlay {
    fn new() -> Self {
        let defaults = Table::try_from(Config::default()).expect("defaults have a TOML form");
        Self {
            merged: defaults.clone(),
            defaults,
            origins: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    fn problem(&mut self, path: &str, reason: String, origin: &Origin) {
        self.problems.push(Problem {
            field: path.to_owned(),
            reason: format!("{reason} ({origin})"),
        });
    }

    fn file(&mut self, file: &std::path::Path, text: &str) {
        let origin = Origin::File(file.to_owned());
        let table: Table = match toml::from_str(text) {
            Ok(table) => table,
            Err(error) => {
                let reason = error.to_string().trim_end().replace('\n', "\n    ");
                return self.problem("file", reason, &origin);
            }
        };
        for (section, content) in table {
            match content {
                _ if !self.defaults.contains_key(&section) => {
                    let names: Vec<_> = SECTIONS.iter().map(|section| section.name).collect();
                    let reason = format!("unknown section; known: {}", names.join(", "));
                    self.problem(&section, reason, &origin);
                }
                Value::Table(settings) => {
                    for (key, value) in settings {
                        self.value(&format!("{section}.{key}"), value, origin.clone());
                    }
                }
                _ => self.problem(&section, "must be a section: [..]".to_owned(), &origin),
            }
        }
    }

    fn environment(&mut self, name: &str, value: &str) {
        let section = SECTIONS.iter().find_map(|section| {
            let prefix = format!("SQUAD_{}_", section.name.to_ascii_uppercase());
            Some((section.name, name.strip_prefix(&prefix)?))
        });
        if let Some((section, key)) = section {
            let path = format!("{section}.{}", key.to_ascii_lowercase());
            self.text(&path, value, Origin::Environment(name.to_owned()));
        }
    }

    /// A value given as text: its type is that of the default. Lists are separated by commas.
    fn text(&mut self, path: &str, text: &str, origin: Origin) {
        let parsed = match self.default_of(path) {
            Some(Value::Integer(_)) => text.parse().ok().map(Value::Integer),
            Some(Value::Boolean(_)) => text.parse().ok().map(Value::Boolean),
            Some(Value::Array(_)) => {
                let items = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty());
                Some(Value::Array(items.map(Value::from).collect()))
            }
            Some(_) | None => Some(Value::from(text)),
        };
        match parsed {
            Some(value) => self.value(path, value, origin),
            None => {
                let kind = self.default_of(path).map_or("value", Value::type_str);
                self.problem(path, format!("{text:?} is no {kind}"), &origin);
            }
        }
    }

    fn default_of(&self, path: &str) -> Option<&Value> {
        let (section, key) = path.split_once('.')?;
        self.defaults.get(section)?.get(key)
    }

    fn value(&mut self, path: &str, value: Value, origin: Origin) {
        let known = path
            .split_once('.')
            .filter(|_| self.default_of(path).is_some());
        let Some((section, key)) = known else {
            return self.problem(path, "unknown setting".to_owned(), &origin);
        };
        let mut alone = self.defaults.clone();
        set(&mut alone, section, key, value.clone());
        match alone.try_into::<Config>() {
            Ok(_) => {
                set(&mut self.merged, section, key, value);
                self.origins.insert(path.to_owned(), origin);
            }
            Err(error) => {
                let reason = error.message().trim_end().to_owned();
                self.problem(path, reason, &origin);
            }
        }
    }

    fn finish(self) -> Result<Loaded, Vec<Problem>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        // Each value fits its setting, so all together fit the struct of independent settings.
        let config = self.merged.try_into().map_err(|error: toml::de::Error| {
            vec![Problem {
                field: "config".to_owned(),
                reason: error.message().to_owned(),
            }]
        })?;
        Ok(Loaded {
            config,
            origins: self.origins,
        })
    }
}

fn set(table: &mut Table, section: &str, key: &str, value: Value) {
    if let Some(Value::Table(settings)) = table.get_mut(section) {
        settings.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sources(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
        Sources {
            file: Some((PathBuf::from("node.toml"), text.to_owned())),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            flags: flags
                .iter()
                .map(|(path, value)| ("--set".to_owned(), (*path).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let text = "[consensus]\nview_timeout = '1s'\nrebroadcast = '200ms'\n[mempool]\nin_flight_max = 3\n";
        let environment = [
            ("SQUAD_CONSENSUS_VIEW_TIMEOUT", "2s"),
            ("SQUAD_CONSENSUS_REBROADCAST", "300ms"),
            ("SQUAD_LIMITS_TRUSTED", "10.0.0.1, ::1"),
            ("SQUAD_STORAGE_SYNC", "false"),
            ("SQUAD_HOME", "/ignored"),
            ("PATH", "/ignored"),
        ];
        let loaded = load(&sources(
            text,
            &environment,
            &[("consensus.view_timeout", "3s")],
        ))
        .unwrap();
        let config = &loaded.config;
        assert_eq!(config.consensus.view_timeout, Duration::from_secs(3));
        assert_eq!(config.consensus.rebroadcast, Duration::from_millis(300));
        assert_eq!(config.mempool.in_flight_max, 3);
        assert_eq!(config.limits.trusted.len(), 2);
        assert!(!config.storage.sync);
        assert_eq!(config.consensus.view_timeout_max, Duration::from_secs(10));

        let origins = ["view_timeout", "rebroadcast", "view_timeout_max"]
            .map(|key| loaded.origin(&format!("consensus.{key}")).to_string());
        assert_eq!(
            origins,
            [
                "flag --set",
                "environment SQUAD_CONSENSUS_REBROADCAST",
                "default"
            ]
        );
        assert_eq!(
            loaded.origin("mempool.in_flight_max"),
            &Origin::File(PathBuf::from("node.toml"))
        );
    }

    #[test]
    fn all_unknown_keys_and_wrong_types_are_reported_at_once() {
        let text = "[grcp]\nlisten = 1\n[grpc]\nlistn = 2\nlisten = 'nowhere'\nreflection = 'yes'\n\
                    [node]\nrole = 'king'\n[consensus]\nview_timeout = 400\n";
        let environment = [
            ("SQUAD_MEMPOOL_IN_FLIGHT_MAX", "many"),
            ("SQUAD_MEMPOOL_IN_FLIGHT_MX", "1"),
        ];
        let problems = load(&sources(
            text,
            &environment,
            &[("limits", "1"), ("node.worker_threads", "-1")],
        ))
        .expect_err("nothing here is right");
        let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
        let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
        let mut sorted = fields.clone();
        sorted.sort_unstable();
        assert_eq!(
            sorted,
            [
                "consensus.view_timeout",
                "grcp",
                "grpc.listen",
                "grpc.listn",
                "grpc.reflection",
                "limits",
                "mempool.in_flight_max",
                "mempool.in_flight_mx",
                "node.role",
                "node.worker_threads",
            ],
            "{lines:#?}"
        );
        let text = lines.join("\n");
        assert!(
            text.contains("unknown section; known: node, keys"),
            "{text}"
        );
        assert!(
            text.contains("(environment SQUAD_MEMPOOL_IN_FLIGHT_MX)"),
            "{text}"
        );
    }

    #[test]
    fn a_file_that_is_no_toml_names_the_place() {
        let problems = load(&sources("[node\n", &[], &[])).expect_err("no TOML");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].reason.contains("line 1"), "{}", problems[0]);
    }
}

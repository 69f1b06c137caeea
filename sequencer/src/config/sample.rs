//! The commented sample file, made from the declarations of the settings.

use super::{Config, SECTIONS};
use toml::{Table, Value};

/// All settings with their documentation and defaults, as a TOML file.
#[must_use]
pub fn sample() -> String {
    let mut out = String::from(
        "# Configuration of a Squad node, generated from the code. Every value below is the default.\n\
         # A flag wins over the environment (SQUAD_<SECTION>_<KEY>), which wins over this file.\n\
         # Settings that must be equal on all operators are in the genesis, not here.\n",
    );
    let defaults = Table::try_from(Config::default()).expect("defaults have a TOML form");
    for section in SECTIONS {
        out.push('\n');
        comment(section.lines, &mut out);
        out.push_str(&format!("[{}]\n", section.name));
        for (index, setting) in section.settings.iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            comment(setting.lines, &mut out);
            let value = defaults
                .get(section.name)
                .and_then(|table| table.get(setting.key))
                .map(Value::to_string)
                .unwrap_or_default();
            out.push_str(&format!("{} = {value}\n", setting.key));
        }
    }
    out
}

fn comment(lines: &[&str], out: &mut String) {
    for line in lines {
        out.push_str(&format!("#{line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    #[test]
    fn the_sample_loads_and_equals_the_defaults() {
        let sources = Sources {
            file: Some(("sample".into(), sample())),
            ..Sources::default()
        };
        assert_eq!(load(&sources).unwrap().config, Config::default());
    }

    #[test]
    fn every_setting_is_documented_in_its_section() {
        let defaults = Table::try_from(Config::default()).unwrap();
        let documented: Vec<_> = SECTIONS.iter().map(|section| section.name).collect();
        assert_eq!(documented.len(), defaults.len());
        for section in SECTIONS {
            let table = defaults[section.name].as_table().unwrap();
            assert_eq!(table.len(), section.settings.len(), "{}", section.name);
            for setting in section.settings {
                assert!(table.contains_key(setting.key), "{}", setting.key);
            }
        }
    }
}

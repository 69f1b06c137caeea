//! Pages that are derived from the code equal the code. `SQUAD_WRITE_DOCS=1` writes them anew.

use crate::command::repository;
use squad_sequencer::cli::{Code, reference_pages};
use squad_sequencer::config;

fn compare(path: &str, expected: &str) {
    let file = repository(path);
    if std::env::var_os("SQUAD_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, expected).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == expected,
        "{path} differs from the code; run SQUAD_WRITE_DOCS=1 cargo test --release -p squad-sequencer --test it docs"
    );
}

#[test]
fn the_reference_of_the_command_line_is_up_to_date() {
    let pages = reference_pages();
    for (name, text) in &pages {
        compare(&format!("docs/cli/{name}"), text);
    }
    for entry in std::fs::read_dir(repository("docs/cli")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            pages.iter().any(|(page, _)| *page == name),
            "docs/cli/{name} belongs to no command"
        );
    }
}

#[test]
fn the_sample_configuration_is_up_to_date() {
    compare("docs/node.toml", &config::sample());
}

#[test]
fn the_operator_guide_lists_every_exit_code() {
    let guide = std::fs::read_to_string(repository("docs/operator-guide.md")).unwrap();
    for code in Code::ALL.iter().map(|code| code.number()).chain([0, 134]) {
        assert!(
            guide.contains(&format!("\n| {code} |")),
            "exit code {code} is missing"
        );
    }
}

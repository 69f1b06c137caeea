//! What is derived from the command definitions: shell completions and the reference pages.

use super::exit::Outcome;
use super::output;
use clap::{Args, Command};
use clap_complete::Shell;

/// `squad completions`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell to complete in
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: CompletionsArgs, command: &mut Command) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "squad", &mut script);
    output::write(&String::from_utf8_lossy(&script))
}

/// One page per top-level command, and an index.
pub(crate) fn reference_pages(mut root: Command) -> Vec<(String, String)> {
    root.build();
    let mut index = format!(
        "# The `squad` command\n\nGenerated from `--help`. Exit codes: [operator guide](../operator-guide.md#exit-codes).\n\n```text\n{}```\n\n",
        help_of(&mut root.clone())
    );
    let mut pages = Vec::new();
    for command in root
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
    {
        let file = format!("{}.md", command.get_name());
        index.push_str(&format!("- [squad {}]({file})\n", command.get_name()));
        let mut page = format!("# squad {}\n", command.get_name());
        describe(command.clone(), &mut page);
        pages.push((file, page));
    }
    pages.insert(0, ("README.md".to_owned(), index));
    pages
}

fn describe(mut command: Command, page: &mut String) {
    page.push_str(&format!("\n```text\n{}```\n", help_of(&mut command)));
    for verb in command
        .get_subcommands()
        .filter(|verb| verb.get_name() != "help")
    {
        let name = verb.get_bin_name().unwrap_or(verb.get_name());
        page.push_str(&format!("\n## {name}\n"));
        describe(verb.clone(), page);
    }
}

fn help_of(command: &mut Command) -> String {
    let help = command
        .clone()
        .term_width(100)
        .render_long_help()
        .to_string();
    let mut lines: Vec<_> = help.lines().map(str::trim_end).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines.join("\n") + "\n"
}

//! Results on standard output: text for people or one JSON value. Logs and errors go to standard error.

use super::args::Format;
use super::exit::Failure;
use serde::Serialize;
use std::io::{self, Write as _};

/// Prints a result.
///
/// # Errors
/// If standard output fails for another reason than its reader having gone.
pub(crate) fn print(format: Format, text: &str, json: &impl Serialize) -> Result<(), Failure> {
    let mut out = match format {
        Format::Text => text.trim_end().to_owned(),
        Format::Json => serde_json::to_string_pretty(json).map_err(anyhow::Error::from)?,
    };
    out.push('\n');
    write(&out)
}

/// Writes to standard output. A reader that has gone, as `head`, is no error.
///
/// # Errors
/// Other failures of standard output.
pub(crate) fn write(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints a failure to standard error.
pub(crate) fn print_failure(format: Format, failure: &Failure) {
    let message = failure.to_string();
    let code = failure.code.number();
    let text = match format {
        Format::Text => format!("error: {message}"),
        Format::Json => {
            serde_json::json!({"error": {"code": code, "message": message}}).to_string()
        }
    };
    // Nothing is left to do if standard error is closed.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

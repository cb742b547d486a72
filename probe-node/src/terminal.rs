//! Standard output, standard error and questions to the person at the terminal.

use anyhow::{Result, bail};
use sentinel_model::SCHEMA;
use serde::Serialize;
use serde_json::Value;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// Prints a result to standard output.
///
/// A reader that has closed its end, as `| head` does, is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints a result as JSON, with the version of the format in `schema`.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    let mut value = serde_json::to_value(value)?;
    if let Value::Object(fields) = &mut value {
        fields.entry("schema").or_insert_with(|| SCHEMA.into());
    }
    print(&serde_json::to_string_pretty(&value)?)
}

/// Prints a remark beside the result, to standard error.
pub(crate) fn print_note(text: &str) {
    // If standard error is closed, there is nowhere left to report it.
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

/// Asks the person at the terminal a question, and returns true if they agree.
///
/// Without a terminal it fails with an error that names the command to type instead.
pub(crate) fn confirm(question: &str, command_instead: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        bail!(
            "{question}\nThis is not a terminal, so the question cannot be asked. To agree, run `{command_instead}`."
        );
    }
    print_note(question);
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Formats an error as a sentence.
pub(crate) fn error_sentence(error: &anyhow::Error) -> String {
    let text = error.to_string();
    let mut letters = text.trim_end().chars();
    let mut sentence: String =
        letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    sentence.push_str(letters.as_str());
    if !sentence.ends_with(['.', '?']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sentences() {
        for (given, expected) in
            [("cannot do it", "Cannot do it."), ("Done?", "Done?"), ("No.\n", "No."), ("", ".")]
        {
            assert_eq!(error_sentence(&anyhow::anyhow!(given.to_owned())), expected);
        }
    }
}

//! Payloads on the command line: JSON, `@FILE`, or `-` for standard input.

use std::io::Read as _;

use durawasm_client::Payload;
use durawasm_errors::{Code, CodedError, Context as _};

/// Reads a payload as the user gave it. `raw` takes the text as it is, without asking that it is JSON.
pub(crate) fn payload(given: &str, raw: bool) -> Result<Payload, CodedError> {
    let (text, from) = match given.strip_prefix('@') {
        Some(file) => (
            std::fs::read_to_string(file).coded(Code::InvalidInput, || format!("the file `{file}` cannot be read"))?,
            format!("the file `{file}`"),
        ),
        None if given == "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .coded(Code::InvalidInput, || "standard input cannot be read".to_owned())?;
            (text, "standard input".to_owned())
        }
        None => (given.to_owned(), format!("`{given}`")),
    };
    if raw {
        return Ok(Payload::from_text(text));
    }
    Payload::from_json_text(text).map_err(|error| {
        let hint = if given.chars().all(|c| c.is_alphanumeric() || c == '_') && from.starts_with('`') {
            format!("Text needs quotes that the shell leaves alone: '\"{given}\"'.")
        } else {
            Code::InvalidInput.page().advice().to_owned()
        };
        CodedError::new(Code::InvalidInput, format!("{from} is not JSON")).because(error).advise(hint)
    })
}

/// Reads `KEY=VALUE`.
pub(crate) fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a tag looks like KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_without_quotes_is_refused_with_the_quotes_it_needs() {
        let error = payload("Tokyo", false).unwrap_err();
        assert_eq!(error.code(), Code::InvalidInput);
        assert!(error.advice().unwrap().contains("'\"Tokyo\"'"));
        assert_eq!(payload("Tokyo", true).unwrap().as_str(), "Tokyo");
        assert_eq!(payload("{\"a\": 1}", false).unwrap().as_str(), "{\"a\": 1}");
    }

    #[test]
    fn a_file_is_read_and_one_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("input.json");
        std::fs::write(&file, "[1]").unwrap();
        assert_eq!(payload(&format!("@{}", file.display()), false).unwrap().as_str(), "[1]");
        let error = payload("@no-such-file", false).unwrap_err();
        assert!(error.message().contains("no-such-file"));
    }
}

//! `durawasm errors`: the pages of the error codes.

use clap::Args;
use durawasm_errors::{Code, CodedError};
use serde::Serialize;

use crate::console::{Console, STRONG, styled};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The code to explain, for instance DW0010. Without it: all codes.
    code: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    code: &'static str,
    title: &'static str,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'static str>,
}

pub(crate) fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    if let Some(text) = arguments.code {
        let code: Code = text.parse().map_err(|error| {
            CodedError::new(Code::Usage, format!("`{text}` is not an error code"))
                .because(error)
                .advise("See all codes: durawasm errors")
        })?;
        console.data(&entry(code, true), || code.page().text().trim_end().to_owned());
        return Ok(());
    }
    for &code in Code::ALL {
        console.data(&entry(code, false), || format!("{}  {}", styled(STRONG, code), code.page().title()));
    }
    console.next_step("Explain one", "durawasm errors DW0001");
    Ok(())
}

fn entry(code: Code, with_page: bool) -> Entry {
    let page = code.page();
    Entry {
        code: code.as_str(),
        title: page.title(),
        exit_code: code.class().exit_code(),
        page: with_page.then(|| page.text()),
    }
}

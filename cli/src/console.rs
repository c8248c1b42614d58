//! What a command says: data on standard output, everything else on standard error.

use std::{
    fmt::Display,
    io::{IsTerminal as _, Write},
};

use anstyle::{AnsiColor, Style};
use durawasm_errors::{Code, CodedError};
use serde::Serialize;

use crate::arguments::OutputArguments;

pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// A text in a style. The style is dropped where the output is not a terminal or NO_COLOR is set.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Where a command's words go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Console {
    options: OutputArguments,
}

impl Console {
    pub(crate) fn new(options: &OutputArguments) -> Console {
        Console { options: options.clone() }
    }

    /// A console for programs.
    pub(crate) fn json() -> Console {
        Console { options: OutputArguments { json: true, ..OutputArguments::default() } }
    }

    /// Whether a program reads the output.
    pub(crate) fn is_json(&self) -> bool {
        self.options.json
    }

    /// Prints data: one JSON document for programs, or the text for people.
    pub(crate) fn data(&self, document: &impl Serialize, text: impl FnOnce() -> String) {
        let line = if self.options.json {
            serde_json::to_string(document).expect("our documents have text as keys, so they serialize")
        } else {
            text()
        };
        let mut out = anstream::stdout().lock();
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            // The reader has seen enough (`durawasm history ID | head`); there is nobody left to write to.
            let code = if error.kind() == std::io::ErrorKind::BrokenPipe { 0 } else { 1 };
            std::process::exit(code);
        }
    }

    /// Says something that is not data. Programs do not get it.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.options.json {
            self.say(&text);
        }
    }

    /// Warns, people and programs alike.
    pub(crate) fn warn(&self, text: impl Display) {
        self.say(&format_args!("{} {text}", styled(WARN, "note:")));
    }

    /// Names the command that is most likely wanted next.
    pub(crate) fn next_step(&self, what: &str, command: impl Display) {
        self.note(format_args!("{} {}", styled(DIM, format_args!("{what}:")), command));
    }

    /// Reports the error that ends the command.
    pub(crate) fn error(&self, error: &CodedError) {
        if self.options.json {
            let document = serde_json::json!({ "error": {
                "code": error.code().as_str(),
                "title": error.code().page().title(),
                "message": error.message(),
                "causes": error.causes(),
                "advice": error.advice().unwrap_or_else(|| error.code().page().advice()),
            }});
            return self.say(&document);
        }
        self.say(&format_args!("{} {}", styled(BAD, format_args!("error[{}]:", error.code())), error.message()));
        for cause in error.causes() {
            self.say(&format_args!("  {} {}", styled(DIM, "caused by:"), indented(&cause, "    ")));
        }
        self.say(&"");
        self.say(&error.advice().unwrap_or_else(|| error.code().page().advice()));
        self.say(&format_args!("{} durawasm errors {}", styled(DIM, "Read on:"), error.code()));
    }

    /// Whether every question is answered yes, so that none need be prepared.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.options.yes
    }

    /// Asks before something is lost for good.
    pub(crate) fn confirm(&self, what: &str) -> Result<(), CodedError> {
        let needed = |message: String| Err(CodedError::new(Code::ConfirmationNeeded, message));
        if self.options.yes {
            return Ok(());
        }
        let somebody_is_there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if self.options.json || self.options.non_interactive || !somebody_is_there {
            return needed(format!("{what}, which cannot be undone; nothing was done"));
        }
        let mut err = anstream::stderr().lock();
        let asked = write!(err, "{what}, which cannot be undone. Go on? [y/N] ").and_then(|()| err.flush());
        let mut answer = String::new();
        match asked.and_then(|()| std::io::stdin().read_line(&mut answer)) {
            Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
            _ => needed("the answer was not yes; nothing was done".to_owned()).map_err(|error| {
                error.advise("Run the command again to be asked again; `--yes` answers from the start.")
            }),
        }
    }

    fn say(&self, text: &dyn Display) {
        // If standard error is closed there is no place to complain.
        let _ = writeln!(anstream::stderr(), "{text}");
    }
}

fn indented(text: &str, by: &str) -> String {
    text.trim_end().replace('\n', &format!("\n{by}"))
}

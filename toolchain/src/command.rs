//! Runs programs: their lines go to the progress sink as they come, and a failure becomes an error that names the step.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use crate::{Error, Progress, Result};

/// How many of a failed program's last lines its error repeats.
const LINES_IN_ERROR: usize = 5;

/// One step that a program does.
pub(crate) struct Step<'a> {
    /// Such as `downloading packages`.
    pub(crate) name: &'a str,
    /// What to do if it fails.
    pub(crate) remedy: &'a str,
}

enum Line {
    Out(String),
    Err(String),
}

impl Step<'_> {
    /// Runs it to the end and returns the lines of its standard output. Standard error goes to `progress`.
    pub(crate) fn run(&self, command: &mut Command, progress: &mut dyn Progress) -> Result<Vec<String>> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.failed(format!("`{program}` cannot be run: {error}")))?;
        let (sender, lines) = mpsc::channel();
        let readers = [
            child.stdout.take().map(|stream| forward(stream, sender.clone(), Line::Out)),
            child.stderr.take().map(|stream| forward(stream, sender, Line::Err)),
        ];
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        for line in lines {
            match line {
                Line::Out(line) => output.push(line),
                Line::Err(line) => {
                    progress.line(&line);
                    errors.push(line);
                }
            }
        }
        for reader in readers.into_iter().flatten() {
            // A reader cannot panic, and if it did the program's status below still counts.
            let _ended = reader.join();
        }
        let status = child.wait().map_err(|error| self.failed(format!("`{program}` was lost: {error}")))?;
        if status.success() {
            return Ok(output);
        }
        let last = errors.len().saturating_sub(LINES_IN_ERROR);
        let mut problem = format!("`{program}` ended with {status}");
        for line in errors[last..].iter().filter(|line| !line.trim().is_empty()) {
            problem.push_str("\n    ");
            problem.push_str(line);
        }
        Err(self.failed(problem))
    }

    pub(crate) fn failed(&self, problem: impl Into<String>) -> Error {
        Error::new(self.name, problem, self.remedy)
    }
}

fn forward(
    stream: impl Read + Send + 'static,
    lines: mpsc::Sender<Line>,
    kind: fn(String) -> Line,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        // What programs print need not be UTF-8.
        while matches!(stream.read_until(b'\n', &mut line), Ok(read) if read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            line.clear();
            if lines.send(kind(text)).is_err() {
                return;
            }
        }
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::Silent;

    const STEP: Step<'_> = Step { name: "testing", remedy: "test less" };

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn standard_output_is_returned() {
        assert_eq!(STEP.run(&mut shell("echo a; echo b"), &mut Silent), Ok(vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn a_failure_names_the_step_the_last_lines_and_the_remedy() {
        let error = STEP.run(&mut shell("echo why >&2; exit 3"), &mut Silent).expect_err("exits with 3");
        let text = error.to_string();
        for part in ["testing failed", "exit status: 3", "why", "test less"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_program_that_does_not_exist_is_said() {
        let error = STEP.run(&mut Command::new("durawasm-no-such-program"), &mut Silent).expect_err("does not exist");
        assert!(error.problem().contains("durawasm-no-such-program"), "{error}");
    }
}

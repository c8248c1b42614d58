//! Where the lines about progress go.

/// Told what is being done. Setting up a toolchain takes minutes, so silence would look like a hang.
pub trait Progress {
    /// A new step begins.
    fn step(&mut self, what: &str);
    /// Something that a program said during the step.
    fn line(&mut self, line: &str);
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&mut self, _what: &str) {}
    fn line(&mut self, _line: &str) {}
}

/// Writes to standard error: steps with an arrow, what programs say below them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stderr;

impl Progress for Stderr {
    fn step(&mut self, what: &str) {
        eprintln!("==> {what}");
    }

    fn line(&mut self, line: &str) {
        eprintln!("    {line}");
    }
}

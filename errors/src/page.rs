//! A code's page: Markdown of a fixed shape (a title, a summary, then sections).

/// The page of one code.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    text: &'static str,
}

impl Page {
    pub(crate) fn new(text: &'static str) -> Page {
        Page { text }
    }

    /// The whole page, as Markdown.
    pub fn text(self) -> &'static str {
        self.text
    }

    /// What went wrong, in a few words: the page's title without the code.
    pub fn title(self) -> &'static str {
        let line = self.text.lines().next().unwrap_or_default();
        line.split_once(": ").map_or(line, |(_, title)| title)
    }

    /// What it means: the page's first paragraph.
    pub fn summary(self) -> &'static str {
        self.text.split("\n\n").nth(1).unwrap_or_default().trim()
    }

    /// What to do: the section of that name.
    pub fn advice(self) -> &'static str {
        self.text
            .split_once("## What to do\n")
            .map_or("", |(_, rest)| rest.split("\n## ").next().unwrap_or(rest).trim())
    }
}

//! The table that is printed in the end. Never judges: it puts figure and target side by side.

use std::io::Write as _;

/// Figures with their targets, in the order in which they were found.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<[String; 3]>,
}

impl Table {
    /// Adds a figure, and says so at once to whoever waits for the end.
    pub(crate) fn add(&mut self, what: &str, figure: impl Into<String>, target: &str) {
        let figure = figure.into();
        say(&format!("{what}: {figure}"));
        self.rows.push([what.to_owned(), figure, target.to_owned()]);
    }

    /// Prints all of it, as Markdown.
    pub(crate) fn print(self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n| what | figure | target |\n| --- | --- | --- |")?;
        for [what, figure, target] in self.rows {
            writeln!(out, "| {what} | {figure} | {target} |")?;
        }
        Ok(())
    }
}

/// Tells what goes on; apart from the table.
pub(crate) fn say(what: &str) {
    // Nobody reads it if standard error is closed.
    let _ = writeln!(std::io::stderr(), "bench: {what}");
}

/// Bytes as people read them.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1024 * 1024))
}

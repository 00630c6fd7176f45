//! What the `testbed` command says on its standard output; never logs.

use std::io::Write as _;

/// Writes a line. Nobody may be reading any more, which is no reason to stop.
pub(crate) fn line(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Writes a line to the standard output, formatted as `println!` does.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::output::line(format_args!($($text)*))
    };
}

pub(crate) use say;

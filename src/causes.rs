//! An error and what has caused it, from the outside in. Never makes a message of its own.

use std::error::Error;

/// An error and its causes, from the outermost on.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The innermost cause: outer ones of HTTP clients only say that a request failed.
pub fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_innermost_cause_is_the_one_without_a_source() {
        let alone = io::Error::other("connection refused");
        assert_eq!(innermost(&alone).to_string(), "connection refused");
        let wrapped = kube::Error::ReadEvents(io::Error::new(io::ErrorKind::TimedOut, alone));
        assert_eq!((causes(&wrapped).count(), innermost(&wrapped).to_string().as_str()), (2, "connection refused"));
    }
}

//! What the ARM client is held to for input of any form, shared by the fuzz targets and the tests. Never sends anything.

#![allow(dead_code, reason = "each fuzz target holds the client to one of these")]

pub mod error_body;
pub mod operation_answer;
pub mod pool_document;

/// Splits an HTTP status off an input: the first two bytes say which.
pub fn with_status(input: &[u8]) -> Option<(u16, &[u8])> {
    let (status, body) = input.split_first_chunk::<2>()?;
    Some((100 + u16::from_be_bytes(*status) % 500, body))
}

/// Whether a text of somebody else is fit for a log and a status.
pub fn is_fit(text: &str, most: usize) -> bool {
    !text.chars().any(char::is_control) && text.chars().count() <= most
}

//! The ARM client over real HTTP: against the AKS emulator, against recorded answers of the service, and against
//! answers that nobody should give.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failure in a helper is to end the test with its place"
)]

mod bad_answers;
mod cut_answers;
mod emulated;
#[path = "../../fuzz/hold/mod.rs"]
mod hold;
mod input;
mod operations;
mod options;
mod recorded;
mod removal;
mod server;
mod signed;
mod support;

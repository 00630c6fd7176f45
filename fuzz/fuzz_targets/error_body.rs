//! Feeds the ARM client bodies of errors of any form. Never asks more than `hold::error_body` does.

#![no_main]

#[path = "../hold/mod.rs"]
mod hold;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| hold::error_body::hold(input));

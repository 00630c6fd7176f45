//! Feeds the ARM client documents of pools and clusters of any form. Never asks more than `hold::pool_document` does.

#![no_main]

#[path = "../hold/mod.rs"]
mod hold;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| hold::pool_document::hold(input));

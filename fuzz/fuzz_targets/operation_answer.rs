//! Feeds the ARM client answers about operations of any form. Never asks more than `hold::operation_answer` does.

#![no_main]

#[path = "../hold/mod.rs"]
mod hold;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| hold::operation_answer::hold(input));

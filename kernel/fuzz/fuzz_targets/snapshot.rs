//! Feeds the kernel one snapshot of any form. Never asks more than `hold::hold` does.

#![no_main]

#[path = "../drains.rs"]
mod drains;
#[path = "../hold.rs"]
mod hold;
#[path = "../odd.rs"]
mod odd;
#[path = "../strange.rs"]
mod strange;
#[path = "../versions.rs"]
mod versions;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    hold::hold(input);
});

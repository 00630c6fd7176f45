//! Feeds the emulator one request of any form. Never asks more than `request::hold` does.

#![no_main]

#[path = "../request.rs"]
mod request;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(request::hold(input));
});

//! Fuzzes `step` of `tests/fuzz/targets.rs`.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(
    // The seam around JSONata turns panics of the engine into errors; libfuzzer's own hook would
    // end the run before it can. One that gets past the seam still ends it.
    init: std::panic::set_hook(Box::new(|_| {})),
    |data: &[u8]| targets::step(data)
);

//! A frame as a TAP gives it, cut into segments.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| packet::fuzzing::vnet_segment(bytes));

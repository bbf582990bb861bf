//! Frames joined, cut again, and compared.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| packet::fuzzing::coalesce(bytes));

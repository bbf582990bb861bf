//! Fragments in any order.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nat::fuzzing::fragments(bytes));

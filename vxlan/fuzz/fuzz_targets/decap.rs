//! Datagrams from anybody, received.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vxlan::fuzzing::decap(bytes));

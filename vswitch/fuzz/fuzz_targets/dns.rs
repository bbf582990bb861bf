//! A query of a client, or an answer of a server.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vswitch::names::fuzzing::dns(bytes));

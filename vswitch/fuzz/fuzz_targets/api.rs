//! What a client asks of the daemon.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vswitch::control::api::fuzzing::api(bytes));

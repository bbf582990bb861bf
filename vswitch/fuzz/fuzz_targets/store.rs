//! What somebody with a shell does to the store that hosts share.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    vswitch::control::cluster::fuzzing::store(bytes);
});

//! What a station says to the DHCP server.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    vswitch::gateway::fuzzing::dhcp(bytes);
});

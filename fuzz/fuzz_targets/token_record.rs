#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    keyvault::fuzzing::token_record(bytes);
});

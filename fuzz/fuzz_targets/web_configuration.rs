#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| smtptls_exporter_fuzz::invariants::web_configuration(bytes));

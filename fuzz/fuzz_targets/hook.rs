#![no_main]
libfuzzer_sys::fuzz_target!(
    init: mdevkit_fuzz::swallow_the_log(),
    |data: &[u8]| mdevkit_fuzz::hook(data)
);

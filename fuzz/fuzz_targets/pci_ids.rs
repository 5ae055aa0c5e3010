#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mdevkit_fuzz::pci_ids(data));

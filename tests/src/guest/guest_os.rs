//! The operating system inside the lab's domains: one boot sector.
//!
//! It writes one `K` on its serial line each time it boots, lets go of a device that is unplugged, and answers the power
//! button by switching itself off or by a reset. That is all that libvirt wants of a guest, and it boots at once.

/// What the guest does at the power button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PowerButton {
    SwitchOff,
    Reset,
}

/// Up to the power button; 16-bit code, ports of QEMU's q35.
const POLL: &[u8] = &[
    0xfa, //                               cli
    0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, // outw(PM1_EN 0x602, power button)
    0xba, 0xf8, 0x03, 0xb0, b'K', 0xee, //       outb(COM1 0x3f8, 'K')
    0xbb, 0x0f, 0x00, //             poll: for bus in 15..=0
    0x66, 0x0f, 0xb7, 0xc3, 0xba, 0xd0, 0x0c, 0x66, 0xef, // outl(0xcd0, bus): QEMU's ACPI PCI hot-plug, select
    0xba, 0xc4, 0x0c, 0x66, 0xed, 0x66, 0x85, 0xc0, 0x74, 0x05, // slots = inl(0xcc4): asked to unplug; none: next
    0xba, 0xc8, 0x0c, 0x66, 0xef, //             outl(0xcc8, slots): eject
    0x4b, 0x79, 0xe5, //                   next
    0xba, 0x00, 0x06, 0xfb, 0xf4, 0xfa, 0xed, // sti; hlt (until the timer); cli; inw(PM1_STS 0x600)
    0xf6, 0xc4, 0x01, 0x74, 0xd6, //             power button not pressed: poll
];
/// outw(PM1_CNT 0x604, S5); hlt for ever.
const SWITCH_OFF: &[u8] = &[0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4, 0xeb, 0xfd];
/// outb(reset control 0xcf9, full reset); hlt for ever.
const RESET: &[u8] = &[0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4, 0xeb, 0xfd];

/// The disk image: the sector and room that the firmware is content with.
pub(crate) fn image(button: PowerButton) -> Vec<u8> {
    let end = match button {
        PowerButton::SwitchOff => SWITCH_OFF,
        PowerButton::Reset => RESET,
    };
    let mut image = [POLL, end].concat();
    image.resize(510, 0);
    image.extend([0x55, 0xaa]);
    image.resize(1 << 20, 0);
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_one_boot_sector_and_padding() {
        for button in [PowerButton::SwitchOff, PowerButton::Reset] {
            let image = image(button);
            assert_eq!(image.len(), 1 << 20);
            assert_eq!(image[510..512], [0x55, 0xaa]);
            // The two backward jumps land on the head of their loops.
            assert_eq!(image[0x2a..0x2c], [0x79, 0xe5]); // 0x2c - 27 = 0x11
            assert_eq!(image[0x36..0x38], [0x74, 0xd6]); // 0x38 - 42 = 0x0e
        }
    }
}

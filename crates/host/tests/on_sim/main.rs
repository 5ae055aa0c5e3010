//! The host on a simulated kernel.
#![cfg(test)]

mod by_hand;
mod common;
mod crashes;
mod start_and_end;

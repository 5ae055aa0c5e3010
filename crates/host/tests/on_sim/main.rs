//! The host on a simulated kernel.
#![cfg(test)]

mod by_hand;
mod check;
mod common;
mod crashes;
mod decisions;
mod gpus;
mod settings;
mod start_and_end;
mod survey;
mod wants;

//! The real hook binary, called as libvirt calls it, on a simulated kernel.
#![cfg(test)]

mod bad_input;
mod common;
mod laws;
mod opens;
mod parallel;
mod requests;

//! The simulated host seen from outside, through its mount. Root (or a user namespace with it) and `/dev/fuse` needed.

#[cfg(test)]
mod common;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod gpus;
#[cfg(test)]
mod holders;
#[cfg(test)]
mod independence;
#[cfg(test)]
mod kernels;
#[cfg(test)]
mod mounting;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod sriov;

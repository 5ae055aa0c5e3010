//! The crate from outside, one story a module.

#[cfg(test)]
mod common;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod devices;
#[cfg(test)]
mod diff;
#[cfg(test)]
mod format;
#[cfg(test)]
mod functions;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod layout;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod replace;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod screen;
#[cfg(test)]
mod view;
#[cfg(test)]
mod words;

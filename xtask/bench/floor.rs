// The floor of every ratio: a Rust program that does nothing, `rustc -O`, linked as usual.
fn main() {}

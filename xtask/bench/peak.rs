// Runs a program and prints its peak memory in KiB. A program of its own, because the kernel counts what the parent
// had at the moment of exec, and this one has little.
use std::process::Command;

#[repr(C)]
struct Usage {
    times: [i64; 4],
    max_rss_kib: i64,
    rest: [i64; 13],
}

unsafe extern "C" {
    fn getrusage(who: i32, usage: *mut Usage) -> i32;
}

fn main() {
    let mut args = std::env::args_os().skip(1);
    let status = Command::new(args.next().expect("a program")).args(args).status().expect("it runs");
    let mut usage = Usage { times: [0; 4], max_rss_kib: 0, rest: [0; 13] };
    // SAFETY: a live struct of getrusage(2)'s layout; -1 is RUSAGE_CHILDREN, of which there was one.
    unsafe { getrusage(-1, &mut usage) };
    eprintln!("{}", usage.max_rss_kib);
    std::process::exit(status.code().unwrap_or(255));
}

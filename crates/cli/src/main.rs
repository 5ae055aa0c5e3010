//! The operator's command: see `mdevkit --help`.

fn main() -> std::process::ExitCode {
    mdevkit::run(std::env::args_os()).into()
}

//! The `squad` command.

use std::process::ExitCode;

/// The system allocator keeps much more memory after a burst of transactions.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    squad_sequencer::cli::main()
}

//! Every operation and every layer: `cargo bench -p att-bench`.
//!
//! - `-- --backend flex,ndarray`: on these devices; without it on all that are compiled in
//! - `-- lstm`: those whose name matches, and all else that criterion takes
//! - `--features wgpu` (or `cuda`), before the `--`: with a GPU
//!
//! A run ends with a table and pictures, in `att-bench/` of the target folder; they also hold what
//! earlier runs measured and this one did not.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use att_bench::{CountingAllocator, Options, Summary, cases, run, serve};
use criterion::Criterion;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Holds the choice of `--backend` for the process that criterion runs in.
const BACKENDS: &str = "ATT_BENCH_BACKEND";

fn main() -> ExitCode {
    // Where runs of training and decoding stand: no operation has to wake the threads first.
    att_core::on_kernel_threads(|| match run_all() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    })
}

fn run_all() -> Result<ExitCode, Box<dyn Error>> {
    let mut options = Options::parse(env::args().skip(1));
    let again = options.backends.is_some();
    options.backends = options.backends.or_else(|| env::var(BACKENDS).ok());
    let devices = options.devices()?;
    if options.serve {
        serve(
            &cases::all(),
            &devices,
            std::io::stdin().lock(),
            std::io::stdout(),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.rest.iter().any(|argument| argument == "--help") {
        println!("{}", Options::HELP);
    }
    if again {
        // Criterion reads the command line of the process itself and refuses what it does not know.
        let status = Command::new(env::current_exe()?)
            .args(options.rest)
            .env(BACKENDS, options.backends.unwrap_or_default())
            .status()?;
        return Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }

    // There are some hundred benchmarks: each is short.
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .nresamples(10_000)
        .configure_from_args();
    let records = run(&mut criterion, &cases::all(), &devices);
    criterion.final_summary();
    if !records.is_empty() {
        let folder = summary_folder()?;
        Summary::new(records, &folder)?.write(&folder)?;
        println!("table and pictures: {}", folder.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// `att-bench/` in the target folder, where cargo puts this program into `<profile>/deps/`.
fn summary_folder() -> std::io::Result<PathBuf> {
    let program = env::current_exe()?;
    let target = program.ancestors().nth(3).unwrap_or(Path::new("."));
    Ok(target.join("att-bench"))
}

//! `corallite bench`: puts load on a running cell and says what came of it.
//!
//! A closed loop: a fixed number of requests is in flight, and the next is sent when one is
//! answered. One thread does it all, so pin it with `taskset` where that matters. Latencies of a
//! closed loop hide queueing of callers that would not wait; the sweep over numbers in flight shows
//! where it begins.

mod cpu;
mod keys;
mod mix;
mod report;
mod tally;
mod template;
mod transport;
mod window;
mod workload;

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use corallite_cell::outcome::Outcome;

use crate::bench::cpu::Process;
use crate::bench::keys::{Distribution, Keys};
use crate::bench::mix::Mix;
use crate::bench::report::Row;
use crate::bench::tally::Tally;
use crate::bench::transport::{Shared, Target, Transport};
use crate::bench::window::{Length, Measured, Window};
use crate::bench::workload::{Action, Operation, Workload};
use crate::exit::{self, Exit};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  corallite bench                                          the shop, 64 in flight, 10 s
  corallite bench --sweep 1,8,64,256,1024 --server-pid \"$(pgrep -x corallite)\"
  corallite bench --transport stream,grpc,http --sweep 1,64 --repeat 3
  corallite bench --type Inventory --command receive --payload '{\"quantity\":{{rand:1-9}}}' --commands 100000

Holes in --payload and --id: {{number}} number of the request, {{key}} drawn key, {{any}} any key,
{{run}} differs from run to run, {{rand}} and {{rand:1-10}} random whole numbers.

Rates count what was applied, read or refused. For numbers worth keeping, use a release build, put
server and client on different cores (taskset), and look at server µs/cmd, which other work on the
machine disturbs least.";

/// Requests in flight while the shop is prepared.
const PREPARE_IN_FLIGHT: usize = 64;

/// Puts load on a running cell.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The cell's gRPC address
    #[arg(long, env = "CORALLITE_SERVER", default_value = "http://127.0.0.1:7070", value_name = "URL")]
    server: String,
    /// The cell's HTTP address, for --transport http
    #[arg(long, default_value = "http://127.0.0.1:7080", value_name = "URL", value_parser = parse_http)]
    http: String,
    /// How requests travel; several are measured one after the other
    #[arg(long, value_enum, value_delimiter = ',', default_value = "stream")]
    transport: Vec<Transport>,
    /// gRPC connections; HTTP has one per request in flight
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = parse_count)]
    connections: usize,
    /// Requests in flight, over all connections
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = parse_count)]
    in_flight: usize,
    /// Several numbers in flight, measured one after the other
    #[arg(long, value_delimiter = ',', value_name = "N,…", conflicts_with = "in_flight")]
    #[arg(value_parser = parse_count)]
    sweep: Vec<usize>,
    /// How long to measure
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = crate::duration::parse)]
    duration: Duration,
    /// Measure this many answers instead of a duration
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    commands: Option<u64>,
    /// How long to run before measuring
    #[arg(long, default_value = "2s", value_name = "DURATION", value_parser = crate::duration::parse)]
    warmup: Duration,
    /// Measure each point so often and report medians
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = parse_count)]
    repeat: usize,
    /// What is asked, unless --type and --command say
    #[arg(long, value_enum, default_value = "shop", conflicts_with = "command")]
    mix: Mix,
    /// Actor type of the command that is sent
    #[arg(long = "type", value_name = "TYPE", requires = "command")]
    type_name: Option<String>,
    /// The command that is sent
    #[arg(long, value_name = "NAME", requires = "type_name")]
    command: Option<String>,
    /// Its payload, with holes
    #[arg(long, value_name = "JSON", default_value = "null", requires = "command")]
    payload: String,
    /// The actor's id, with holes
    #[arg(long, value_name = "TEMPLATE", default_value = "bench-{{key}}", requires = "command")]
    id: String,
    /// Do not prepare the shop (products created, stock received) before the first measurement
    #[arg(long)]
    no_prepare: bool,
    /// How many different keys there are
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    keys: u32,
    /// How requests spread over the keys
    #[arg(long, value_enum, default_value = "zipf")]
    distribution: Distribution,
    /// How uneven zipf is: 0 is uniform
    #[arg(long, default_value_t = 0.99, value_name = "X", value_parser = parse_exponent)]
    zipf_exponent: f64,
    /// The same seed asks the same
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Process of the cell: reports its processor time per command (Linux)
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A Markdown table.
    Table,
    /// One JSON object a row.
    Json,
}

fn parse_http(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").ok_or("write it as http://127.0.0.1:7080")?;
    Ok(rest.trim_end_matches('/').to_owned())
}

fn parse_count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=65_536).contains(n))
        .ok_or_else(|| "a number from 1 to 65536".to_owned())
}

fn parse_exponent(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x| (0.0..=10.0).contains(x)).ok_or_else(|| "a number from 0 to 10".to_owned())
}

/// Measures every point and prints the rows.
pub fn run(args: Args) -> ExitCode {
    match measure_all(&args) {
        Ok(rows) if rows.iter().all(Row::answered) => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("error: nothing was applied or refused at some point; see the codes above");
            Exit::from(Outcome::NotApplied).into()
        }
        Err(message) => {
            eprintln!("error: {message}");
            exit::LOCAL.into()
        }
    }
}

fn measure_all(args: &Args) -> Result<Vec<Row>, String> {
    let numbers = if args.sweep.is_empty() { vec![args.in_flight] } else { args.sweep.clone() };
    if args.command.is_none() && !args.no_prepare {
        prepare(args)?;
    }
    let mut rows = Vec::new();
    for &transport in &args.transport {
        for &in_flight in &numbers {
            let repetitions: Result<Vec<Row>, String> =
                (0..args.repeat).map(|_| measure(args, transport, in_flight)).collect();
            rows.extend(Row::median(repetitions?));
            eprintln!("measured {} with {in_flight} in flight", transport.as_str());
        }
    }
    let printed = match args.output {
        Output::Json => rows.iter().try_for_each(|row| output::print(row, Some(output::Format::Json))),
        Output::Table => {
            eprint!("{}", report::remarks(&rows));
            print!("{}", report::table(&rows));
            Ok(())
        }
    };
    printed.map_err(|error| format!("cannot write to standard output: {error}"))?;
    Ok(rows)
}

fn measure(args: &Args, transport: Transport, in_flight: usize) -> Result<Row, String> {
    let workload = Workload::new(operations(args, transport)?, keys(args), args.seed)?;
    let length = args.commands.map_or(Length::Time(args.duration), Length::Answers);
    let server = args.server_pid.map(Process::with_id);
    let tally = Tally::new().map_err(|error| format!("cannot make a histogram: {error}"))?;
    let window = Window::begin(workload, tally, args.warmup, length, server).map_err(|e| e.to_string())?;
    let measured = drive(args, transport, in_flight, window)?;
    Ok(Row::new(transport, in_flight, &measured))
}

/// Makes what the mix stands on. What was there before is refused, which is as good.
fn prepare(args: &Args) -> Result<(), String> {
    let workload = Workload::each(args.mix.preparation()?, keys(args));
    let tally = Tally::new().map_err(|error| format!("cannot make a histogram: {error}"))?;
    let length = Length::Answers(u64::MAX);
    let window = Window::begin(workload, tally, Duration::ZERO, length, None).map_err(|e| e.to_string())?;
    let done = drive(args, args.transport[0], PREPARE_IN_FLIGHT, window)?.tally;
    if done.not_applied + done.unknown > 0 {
        return Err(format!("cannot prepare the shop; is examples/shop served there? {:?}", done.codes));
    }
    eprintln!("prepared {} keys", args.keys);
    Ok(())
}

fn drive(args: &Args, transport: Transport, in_flight: usize, window: Window) -> Result<Measured, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let shared = Shared::new(window);
    let target = Target { grpc: args.server.clone(), http: args.http.clone() };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, transport::drive(transport, &target, in_flight, args.connections, &shared))?;
    Ok(shared.into_inner().ok_or("a connection outlived the measurement")?.end())
}

fn keys(args: &Args) -> Keys {
    Keys::new(args.distribution, args.keys, args.zipf_exponent)
}

fn operations(args: &Args, transport: Transport) -> Result<Vec<Operation>, String> {
    let mut operations = match (&args.type_name, &args.command) {
        (Some(type_name), Some(command)) => mix::single(type_name, &args.id, command, &args.payload)?,
        _ => args.mix.operations()?,
    };
    if transport == Transport::Stream {
        operations.retain(|operation| matches!(operation.action, Action::Execute { .. }));
    }
    Ok(operations)
}

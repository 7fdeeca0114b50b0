//! One measurement: a warm-up, then a window in which every answer is counted, in a closed loop.
//!
//! The window is driven by the answers themselves: it opens with the first answer after the
//! warm-up and closes with the first after its end, so a server that stops answering lengthens it.

use std::time::{Duration, Instant};

use crate::bench::cpu::{CpuError, Process};
use crate::bench::tally::{Answer, Tally};
use crate::bench::workload::{Request, Workload};

/// When the window closes.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// After this time.
    Time(Duration),
    /// After this many answers.
    Answers(u64),
}

/// A measurement under way. All connections share it on one thread.
#[derive(Debug)]
pub struct Window {
    workload: Workload,
    tally: Tally,
    length: Length,
    warm_at: Instant,
    opened: Option<Mark>,
    closed: Option<Mark>,
    server: Option<Process>,
    client: Process,
}

/// A moment, and the processor time used until then.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    server: Option<Duration>,
    client: Option<Duration>,
}

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// The answers in the window.
    pub tally: Tally,
    /// How long the window was open.
    pub elapsed: Duration,
    /// Processor time of the server in it.
    pub server_cpu: Option<Duration>,
    /// Processor time of this process in it; `None` where it cannot be read.
    pub client_cpu: Option<Duration>,
}

impl Window {
    /// Begins the warm-up.
    ///
    /// # Errors
    /// The server's processor time cannot be read.
    pub fn begin(
        workload: Workload,
        tally: Tally,
        warmup: Duration,
        length: Length,
        server: Option<Process>,
    ) -> Result<Self, CpuError> {
        if let Some(server) = &server {
            server.time()?;
        }
        Ok(Self {
            workload,
            tally,
            length,
            warm_at: Instant::now() + warmup,
            opened: None,
            closed: None,
            server,
            client: Process::with_id(std::process::id()),
        })
    }

    /// The next request to send; `None` when the window is closed or there is nothing left to ask.
    pub fn next(&mut self) -> Option<Request> {
        if self.closed.is_some() { None } else { self.workload.next() }
    }

    /// Takes note of an answer.
    pub fn answered(&mut self, sent: Instant, bytes_out: usize, answer: &Answer) {
        let now = Instant::now();
        let Some(opened) = self.opened else {
            if now >= self.warm_at {
                self.opened = Some(self.mark(now));
            }
            return;
        };
        if self.closed.is_some() {
            return;
        }
        self.tally.record(now.duration_since(sent), bytes_out, answer);
        let full = match self.length {
            Length::Time(time) => now.duration_since(opened.at) >= time,
            Length::Answers(count) => self.tally.answers() >= count,
        };
        if full {
            self.closed = Some(self.mark(now));
        }
    }

    /// What was measured, up to now if the window is still open.
    pub fn end(self) -> Measured {
        let now = self.mark(Instant::now());
        let opened = self.opened.unwrap_or(now);
        let closed = self.closed.unwrap_or(now);
        let used = |from: Option<Duration>, to: Option<Duration>| Some(to?.saturating_sub(from?));
        Measured {
            tally: self.tally,
            elapsed: closed.at.duration_since(opened.at),
            server_cpu: used(opened.server, closed.server),
            client_cpu: used(opened.client, closed.client),
        }
    }

    fn mark(&self, at: Instant) -> Mark {
        Mark {
            at,
            server: self.server.as_ref().and_then(|server| server.time().ok()),
            client: self.client.time().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::keys::{Distribution, Keys};
    use crate::bench::template::Template;
    use crate::bench::workload::{Action, Operation};

    fn window(length: Length) -> Window {
        let id = Template::parse("a").expect("valid");
        let operation = Operation { weight: 1, type_name: "A".into(), id, action: Action::Get };
        let keys = Keys::new(Distribution::Uniform, 1, 0.0);
        let workload = Workload::new(vec![operation], keys, 1).expect("weights");
        let tally = Tally::new().expect("valid bounds");
        Window::begin(workload, tally, Duration::ZERO, length, None).expect("no server process")
    }

    #[test]
    fn the_answer_that_opens_the_window_is_not_counted() {
        let mut window = window(Length::Answers(3));
        for n in 0..4 {
            assert!(window.next().is_some(), "answer {n} is still wanted");
            window.answered(Instant::now(), 1, &Answer::Applied(1));
        }
        assert!(window.next().is_none());
        window.answered(Instant::now(), 1, &Answer::Applied(1));
        assert_eq!(window.end().tally.answers(), 3);
    }

    #[test]
    fn a_window_that_never_opened_measured_nothing() {
        let measured = window(Length::Time(Duration::from_secs(1))).end();
        assert_eq!((measured.tally.answers(), measured.elapsed), (0, Duration::ZERO));
    }
}
